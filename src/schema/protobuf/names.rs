//! Members by either of their names: JSON may have a field as the JSON mapping names it or as the schema does, and a
//! pointer leads to it all the same.

use super::plan::{Kind, Message, Plan, Shape};
use crate::event::json::Value;

/// What a part of a path leads from.
#[derive(Clone, Copy)]
enum Place<'p> {
    Message(&'p Message),
    /// Of a list or a map.
    Values(Kind),
    /// What has no members, or names of its own.
    Plain,
}

/// A path into data of a message, each part as the data names it; what is not there stays as it is.
pub(super) fn spelled(plan: &Plan, message: &Message, data: &Value<'_>, path: &[&str]) -> Vec<String> {
    let (mut place, mut value) = (of(message), Some(data));
    let mut spelled = Vec::with_capacity(path.len());
    for part in path {
        let (name, next) = match place {
            Place::Message(message) => step(plan, message, value, part),
            Place::Values(kind) => (*part, of_kind(plan, kind)),
            Place::Plain => (*part, Place::Plain),
        };
        value = value.and_then(|value| value.follow(std::iter::once(name)));
        spelled.push(name.to_owned());
        place = next;
    }
    spelled
}

/// The name that the data has for a field, and what that leads to.
fn step<'n, 'p>(
    plan: &'p Plan,
    message: &'p Message,
    value: Option<&'n Value<'n>>,
    part: &'n str,
) -> (&'n str, Place<'p>) {
    let Some((index, field)) =
        message.find(part, 0).and_then(|index| Some((index, message.fields.get(index)?)))
    else {
        return (part, Place::Plain);
    };
    let members = value.and_then(Value::as_object).unwrap_or_default();
    let name = members.iter().map(|(name, _)| &**name).find(|name| message.find(name, index) == Some(index));
    let place = match field.shape {
        Shape::One { .. } => of_kind(plan, field.kind),
        Shape::List { .. } | Shape::Map { .. } => Place::Values(field.kind),
    };
    (name.unwrap_or(part), place)
}

fn of_kind(plan: &Plan, kind: Kind) -> Place<'_> {
    match kind {
        Kind::Message(index) | Kind::Group(index) => plan.message(index).map_or(Place::Plain, of),
        Kind::Scalar(_) | Kind::Enum(_) => Place::Plain,
    }
}

const fn of(message: &Message) -> Place<'_> {
    if message.known.is_some() { Place::Plain } else { Place::Message(message) }
}

#[cfg(test)]
mod tests {
    use crate::event::json::{Document, Limits};
    use crate::schema::codec::Codec as _;
    use crate::schema::protobuf::Protobuf;

    const ORDER: &str = "syntax = \"proto3\"; message Order {
        string customer_id = 1; string other = 2 [json_name = \"theOther\"]; Buyer the_buyer = 3;
        repeated Buyer all_buyers = 4; map<string, Buyer> by_name = 5; message Buyer { string last_name = 1; } }";

    #[test]
    fn a_path_leads_to_a_member_under_either_name() {
        let order = Protobuf::compile(ORDER, []).unwrap();
        let spelled = |data: &str, path: &str| {
            let document = Document::parse(data.as_bytes(), Limits::default()).unwrap();
            let parts: Vec<&str> = path.split('/').collect();
            order.spelled(document.root(), &parts).map(|parts| parts.join("/"))
        };
        let found = |data, path, name: &str| assert_eq!(spelled(data, path).as_deref(), Some(name), "{data}");
        found(r#"{"customer_id":"c"}"#, "customerId", "customer_id");
        found(r#"{"customerId":"c"}"#, "customer_id", "customerId");
        found(r#"{"other":"c"}"#, "theOther", "other");
        found(r#"{"the_buyer":{"last_name":"c"}}"#, "theBuyer/lastName", "the_buyer/last_name");
        found(r#"{"theBuyer":{"last_name":"c"}}"#, "theBuyer/lastName", "theBuyer/last_name");
        found(r#"{"all_buyers":[{},{"lastName":"c"}]}"#, "allBuyers/1/lastName", "all_buyers/1/lastName");
        found(r#"{"byName":{"a_b":{"last_name":"c"}}}"#, "byName/a_b/lastName", "byName/a_b/last_name");
        for (data, path) in [
            (r#"{"customerId":"c"}"#, "customerId"),
            (r#"{"theBuyer":{"lastName":"c"}}"#, "theBuyer/lastName"),
            (r#"{"by_name":{"aB":{}}}"#, "by_name/a_b"),
            ("{}", "customerId"),
            ("[]", "customerId"),
            (r#"{"absent":1}"#, "absent/more"),
            (r#"{"customer_id":{"x":1}}"#, "customer_id/x"),
        ] {
            assert_eq!(spelled(data, path), None, "{data} {path}");
        }
    }
}
