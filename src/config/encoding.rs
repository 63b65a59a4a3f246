//! In which language topics hold data, and how records name the schema that wrote it.

use crate::event::{Enforcement, Format, Storage, TopicRule, Wire};

use super::section::Section;

/// Where schemas come from files, which no reader of a record can ask for.
const FOLDER: &str = "folder";

/// Reads `format` and `wire` of a section `schema`. A topic that names a format has that format's own wire, unless it
/// says otherwise.
pub(super) fn read(schema: &Section<'_>, rule: &mut TopicRule) {
    let formats = [Format::Json, Format::Avro, Format::Protobuf].map(|format| (format.as_str(), format));
    let wires = [
        ("auto", None),
        ("none", Some(Wire::None)),
        ("prefix", Some(Wire::Prefix)),
        ("header", Some(Wire::Header)),
    ];
    let has_format = schema.is_set("format");
    if has_format {
        rule.format = schema.choice("format", &formats).unwrap_or(rule.format);
    }
    let own = match rule.format {
        Format::Json => Wire::None,
        Format::Avro | Format::Protobuf => Wire::Prefix,
    };
    if schema.is_set("wire") {
        rule.wire = schema.choice("wire", &wires).flatten().unwrap_or(own);
    } else if has_format {
        rule.wire = own;
    }
}

/// Tells what cannot be together, where the section says anything of it.
pub(super) fn check(section: &Section<'_>, rule: &TopicRule, store: &str) {
    if !section.is_set("envelope") && !section.is_set("schema") {
        return;
    }
    if !rule.is_by_schema() {
        return;
    }
    let (source, why) = if rule.wire.is_framed() {
        ("schema.wire", "where records name the schema of their data (schema.wire)")
    } else {
        ("schema.format", "where data is in another language than JSON (schema.format)")
    };
    let mistake = |path: &str, problem: &str| section.mistake_below(path, &format!("{problem} {why}"));
    match rule.storage {
        Storage::Headers | Storage::CloudEventsBinary => {}
        Storage::Native | Storage::CloudEventsStructured => mistake(
            "envelope",
            "must be headers or cloudevents-binary: an envelope is not what the schema describes,",
        ),
    }
    if !rule.is_schema_required {
        mistake("schema.required", "must be true");
    }
    if rule.enforcement != Enforcement::Enforce {
        mistake("schema.enforcement", "must be enforce");
    }
    if store == FOLDER {
        section.mistake_below(
            source,
            "needs schemas.store: embedded or confluent, so that whoever reads a record can ask for its schema",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Sources};
    use crate::event::{Format, Topic, Wire};

    const EMBEDDED: &str = "schemas: {store: embedded}\n";

    fn read(file: &str) -> Result<Config, Vec<String>> {
        let sources = Sources { file: Some(file.to_owned()), ..Sources::default() };
        Config::read(&sources).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_format_has_its_own_wire_unless_another_is_named() {
        let config = read(&format!(
            "{EMBEDDED}topic_defaults: {{envelope: headers, schema: {{format: avro}}}}\n\
             topics: [{{name: a}}, {{name: b, schema: {{format: json}}}}, {{name: c, schema: {{wire: header}}}},\n\
             {{name: d, schema: {{format: protobuf}}}}, {{name: e, schema: {{format: json, wire: prefix}}}},\n\
             {{name: f, schema: {{wire: auto}}}}, {{name: g, schema: {{wire: none}}}},\n\
             {{name: h, envelope: cloudevents-binary, schema: {{format: protobuf, wire: none}}}}]"
        ))
        .unwrap();
        let of = |name: &str| {
            let rule = config.catalogue.rule(&Topic::parse(name).unwrap());
            (rule.format, rule.wire)
        };
        assert_eq!(of("not.listed"), (Format::Avro, Wire::Prefix));
        assert_eq!(of("a"), (Format::Avro, Wire::Prefix));
        assert_eq!(of("b"), (Format::Json, Wire::None));
        assert_eq!(of("c"), (Format::Avro, Wire::Header));
        assert_eq!(of("d"), (Format::Protobuf, Wire::Prefix));
        assert_eq!(of("e"), (Format::Json, Wire::Prefix));
        assert_eq!(of("f"), (Format::Avro, Wire::Prefix));
        assert_eq!(of("g"), (Format::Avro, Wire::None));
        assert_eq!(of("h"), (Format::Protobuf, Wire::None));
        let plain = read("topics: [{name: a}]").unwrap();
        let rule = plain.catalogue.rule(&Topic::parse("a").unwrap());
        assert_eq!((rule.format, rule.wire), (Format::Json, Wire::None));
    }

    #[test]
    fn what_cannot_be_together_is_told_at_once() {
        let mistakes = read(
            "topics:\n- {name: a, schema: {format: avro, required: false, enforcement: warn}}\n\
             - {name: b, envelope: headers, schema: {format: protobuf, wire: none}}\n\
             - {name: c, envelope: headers, schema: {wire: header}}\n- {name: d}\n- {name: e, schema: {wire: v1}}\n\
             - {name: f, schema: {format: avro, wire: none, required: false, enforcement: observe}}",
        )
        .unwrap_err();
        let expected = [
            "topics[0].envelope: must be headers",
            "topics[0].schema.required: must be true",
            "topics[0].schema.enforcement: must be enforce",
            "topics[0].schema.wire: needs schemas.store: embedded or confluent",
            "topics[1].schema.format: needs schemas.store: embedded or confluent",
            "topics[2].schema.wire: needs schemas.store: embedded or confluent",
            "topics[4].schema.wire: must be one of auto, none, prefix, header",
            "topics[5].envelope: must be headers",
            "topics[5].schema.required: must be true where data is in another language than JSON",
            "topics[5].schema.enforcement: must be enforce",
            "topics[5].schema.format: needs schemas.store: embedded or confluent",
        ];
        for text in expected {
            assert!(mistakes.iter().any(|mistake| mistake.contains(text)), "{text}: {mistakes:#?}");
        }
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    }
}
