//! Schemas and data at random, beside the codec of the Apache project: equal bytes, equal values, and no bytes that harm.

use apache_avro::types::Value as Theirs;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{avro, read, written};

/// A type with a value of it.
#[derive(Debug, Clone)]
enum Shape {
    Null,
    Boolean(bool),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Bytes(Vec<u8>),
    Text(String),
    Date(i32),
    Instant(i64),
    Fixed(Vec<u8>),
    Enum(usize, usize),
    Array(Box<Self>, usize),
    Map(Box<Self>, Option<String>),
    Union(Vec<Self>, usize),
    Record(Vec<(Self, Member)>),
}

/// Whether a field's value stands in the data.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Member {
    Given,
    LeftToDefault,
}

/// A shape as each side sees it.
struct Told {
    schema: Value,
    /// Without logical types, whose values are others on the other side.
    plain: Value,
    name: String,
    data: Value,
    default: Option<Value>,
    theirs: Theirs,
}

fn scalar() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Null),
        any::<bool>().prop_map(Shape::Boolean),
        any::<i32>().prop_map(Shape::Int),
        any::<i64>().prop_map(Shape::Long),
        any::<f32>().prop_filter("JSON has none", |float| float.is_finite()).prop_map(Shape::Float),
        any::<f64>().prop_filter("JSON has none", |float| float.is_finite()).prop_map(Shape::Double),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Shape::Bytes),
        ".{0,9}".prop_map(Shape::Text),
        (-700_000..2_900_000_i32).prop_map(Shape::Date),
        (-60_000_000_000_000..250_000_000_000_000_i64).prop_map(Shape::Instant),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Shape::Fixed),
        (1..5_usize)
            .prop_flat_map(|count| (Just(count), 0..count))
            .prop_map(|(count, at)| Shape::Enum(count, at)),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    scalar().prop_recursive(4, 40, 5, |inner| {
        let member = prop_oneof![3 => Just(Member::Given), 1 => Just(Member::LeftToDefault)];
        prop_oneof![
            1 => (inner.clone(), 0..4_usize).prop_map(|(item, count)| Shape::Array(item.into(), count)),
            1 => (inner.clone(), proptest::option::of(".{0,5}"))
                .prop_map(|(value, key)| Shape::Map(value.into(), key)),
            2 => (proptest::collection::vec(inner.clone(), 1..5), any::<proptest::sample::Index>())
                .prop_map(|(branches, at)| union_of(branches, at)),
            3 => proptest::collection::vec((inner, member), 0..5).prop_map(Shape::Record),
        ]
    })
}

/// One branch of each kind; a union holds no union.
fn union_of(branches: Vec<Shape>, at: proptest::sample::Index) -> Shape {
    let mut distinct: Vec<Shape> = Vec::new();
    for branch in branches {
        let kind = |shape: &Shape| match shape {
            Shape::Date(_) => std::mem::discriminant(&Shape::Int(0)),
            Shape::Instant(_) => std::mem::discriminant(&Shape::Long(0)),
            other => std::mem::discriminant(other),
        };
        let is_named = matches!(branch, Shape::Fixed(_) | Shape::Enum(..) | Shape::Record(_));
        let is_new = is_named || distinct.iter().all(|other| kind(other) != kind(&branch));
        if is_new && !matches!(branch, Shape::Union(..)) {
            distinct.push(branch);
        }
    }
    if distinct.is_empty() {
        distinct.push(Shape::Null);
    }
    let at = at.index(distinct.len());
    Shape::Union(distinct, at)
}

/// Whether a number may come back as one of another branch.
fn has_numbers_of_two_kinds(shape: &Shape) -> bool {
    match shape {
        Shape::Union(branches, _) => {
            let is_number = |shape: &&Shape| {
                matches!(shape, Shape::Int(_) | Shape::Long(_) | Shape::Float(_) | Shape::Double(_))
            };
            branches.iter().filter(is_number).count() > 1 || branches.iter().any(has_numbers_of_two_kinds)
        }
        Shape::Array(inner, _) | Shape::Map(inner, _) => has_numbers_of_two_kinds(inner),
        Shape::Record(fields) => fields.iter().any(|(shape, _)| has_numbers_of_two_kinds(shape)),
        _ => false,
    }
}

/// The letters that bytes are in a default.
fn latin(bytes: &[u8]) -> Option<Value> {
    Some(bytes.iter().copied().map(char::from).collect::<String>().into())
}

fn base64(bytes: &[u8]) -> Value {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes).into()
}

fn simple(name: &str, data: Value, theirs: Theirs) -> Told {
    let schema = json!(name);
    let default = Some(data.clone());
    Told { plain: schema.clone(), schema, name: name.to_owned(), data, default, theirs }
}

/// Tells a shape; named types are numbered.
fn tell(shape: &Shape, names: &mut usize) -> Told {
    let mut next = |stem: &str| {
        *names += 1;
        format!("{stem}{names}")
    };
    match shape {
        Shape::Null => simple("null", Value::Null, Theirs::Null),
        Shape::Boolean(truth) => simple("boolean", json!(truth), Theirs::Boolean(*truth)),
        Shape::Int(number) => simple("int", json!(number), Theirs::Int(*number)),
        Shape::Long(number) => simple("long", json!(number), Theirs::Long(*number)),
        Shape::Float(number) => simple("float", json!(f64::from(*number)), Theirs::Float(*number)),
        Shape::Double(number) => simple("double", json!(number), Theirs::Double(*number)),
        Shape::Text(text) => simple("string", json!(text), Theirs::String(text.clone())),
        Shape::Bytes(bytes) => {
            Told { default: latin(bytes), ..simple("bytes", base64(bytes), Theirs::Bytes(bytes.clone())) }
        }
        Shape::Date(days) => Told {
            schema: json!({"type": "int", "logicalType": "date"}),
            ..simple("int", json!(days), Theirs::Int(*days))
        },
        Shape::Instant(millis) => Told {
            schema: json!({"type": "long", "logicalType": "timestamp-millis"}),
            ..simple("long", json!(millis), Theirs::Long(*millis))
        },
        Shape::Fixed(bytes) => {
            let name = next("F");
            let schema = json!({"type": "fixed", "name": name, "size": bytes.len()});
            let (plain, theirs) = (schema.clone(), Theirs::Fixed(bytes.len(), bytes.clone()));
            Told { schema, plain, name, data: base64(bytes), default: latin(bytes), theirs }
        }
        Shape::Enum(count, at) => {
            let name = next("E");
            let symbols: Vec<String> = (0..*count).map(|at| format!("S{at}")).collect();
            let schema = json!({"type": "enum", "name": name, "symbols": symbols});
            let theirs = Theirs::Enum(u32::try_from(*at).unwrap(), symbols[*at].clone());
            let data = json!(symbols[*at]);
            Told { plain: schema.clone(), schema, name, default: Some(data.clone()), data, theirs }
        }
        Shape::Array(item, count) => {
            let item = tell(item, names);
            let list = |of: &Value| Value::from(vec![of.clone(); *count]);
            Told {
                schema: json!({"type": "array", "items": item.schema}),
                plain: json!({"type": "array", "items": item.plain}),
                name: "array".to_owned(),
                data: list(&item.data),
                default: item.default.as_ref().map(list),
                theirs: Theirs::Array(vec![item.theirs; *count]),
            }
        }
        Shape::Map(value, key) => {
            let value = tell(value, names);
            let object =
                |of: &Value| Value::Object(key.iter().map(|key| (key.clone(), of.clone())).collect());
            Told {
                schema: json!({"type": "map", "values": value.schema}),
                plain: json!({"type": "map", "values": value.plain}),
                name: "map".to_owned(),
                data: object(&value.data),
                default: value.default.as_ref().map(object),
                theirs: Theirs::Map(key.iter().map(|key| (key.clone(), value.theirs.clone())).collect()),
            }
        }
        Shape::Union(branches, at) => {
            let told: Vec<Told> = branches.iter().map(|branch| tell(branch, names)).collect();
            let chosen = &told[*at];
            Told {
                schema: told.iter().map(|branch| branch.schema.clone()).collect(),
                plain: told.iter().map(|branch| branch.plain.clone()).collect(),
                name: "union".to_owned(),
                data: json!({&chosen.name: chosen.data}),
                default: None,
                theirs: Theirs::Union(u32::try_from(*at).unwrap(), chosen.theirs.clone().into()),
            }
        }
        Shape::Record(fields) => record(fields, next("R"), names),
    }
}

fn record(fields: &[(Shape, Member)], name: String, names: &mut usize) -> Told {
    let (mut schemas, mut plains, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut data, mut default) = (serde_json::Map::new(), Some(serde_json::Map::new()));
    for (at, (shape, member)) in fields.iter().enumerate() {
        let told = tell(shape, names);
        let field = format!("f{at}");
        let mut schema = json!({"name": field, "type": told.schema});
        match (&told.default, member) {
            (Some(own), Member::LeftToDefault) => schema["default"] = own.clone(),
            (own, _) => {
                data.insert(field.clone(), told.data);
                default = default.zip(own.clone()).map(|(mut members, own)| {
                    members.insert(field.clone(), own);
                    members
                });
            }
        }
        plains.push(json!({"name": field, "type": told.plain}));
        schemas.push(schema);
        theirs.push((field, told.theirs));
    }
    Told {
        schema: json!({"type": "record", "name": name, "fields": schemas}),
        plain: json!({"type": "record", "name": name, "fields": plains}),
        name,
        data: data.into(),
        default: default.map(Value::from),
        theirs: Theirs::Record(theirs),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_and_values_are_those_of_the_apache_codec(shape in shape()) {
        let told = tell(&shape, &mut 0);
        let (ours, theirs) = (avro(&told.schema), apache_avro::Schema::parse(&told.plain).unwrap());
        let bytes = written(&ours, &told.data.to_string()).unwrap();
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&theirs).build().unwrap();
        prop_assert_eq!(&bytes, &writer.write_value_to_vec(told.theirs.clone()).unwrap());
        let reader = apache_avro::reader::datum::GenericDatumReader::builder(&theirs).build().unwrap();
        let value = reader.read_value(&mut &*bytes).unwrap();
        prop_assert_eq!(value, told.theirs);
        let text = read(&ours, &bytes, 1 << 20).unwrap();
        let again = written(&ours, &text).unwrap();
        if has_numbers_of_two_kinds(&shape) {
            // A single as a double has another notation; from there on nothing changes.
            let settled = read(&ours, &again, 1 << 20).unwrap();
            prop_assert_eq!(written(&ours, &settled).unwrap(), again, "{} was read as {}", text, settled);
        } else {
            prop_assert_eq!(&again, &bytes, "{} was read as {}", told.data, text);
        }
        prop_assert_eq!(theirs.canonical_form(), ours.parsing_form());
    }

    #[test]
    fn no_bytes_do_harm(
        shape in shape(),
        noise in proptest::collection::vec(any::<u8>(), 0..40),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 0..8_u8), 1..4),
    ) {
        let told = tell(&shape, &mut 0);
        let ours = avro(&told.schema);
        let bytes = written(&ours, &told.data.to_string()).unwrap();
        for length in 0..bytes.len() {
            read(&ours, &bytes[..length], 4_096);
        }
        let mut flipped = bytes;
        for (at, bit) in flips {
            if !flipped.is_empty() {
                let at = at.index(flipped.len());
                flipped[at] ^= 1 << bit;
            }
        }
        read(&ours, &flipped, 4_096);
        read(&ours, &noise, 4_096);
    }
}
