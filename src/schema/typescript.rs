//! The data of event types as TypeScript knows it.
//!
//! A type says what TypeScript can say: members, which of them must be there, enumerations, unions, tuples. Formats, patterns,
//! ranges and conditions it cannot say; the gateway judges by those all the same. Members that a schema does not name
//! are left out, as producers should leave them out.

mod expression;
mod names;

use serde_json::Value;

use self::expression::Writer;
use self::names::pascal;
use super::{Config, Contract, LoadError, Schemas};
use crate::event::EventType;

/// What stands before the types.
const HEAD: &str = "// The events of this gateway, written by `weirgate schemas types`. Do not edit.\n";
/// The envelope, and what is made of all types together.
const ENVELOPE: &str = "\
/** An event as it is published and read. */
export interface Envelope<Type extends string, Data> {
  /** A UUID, the same when the event is sent again; the gateway gives one where it is absent. */
  eventId?: string;
  eventType: Type;
  /** A semantic version, whose major is that of the type. */
  eventVersion?: string;
  /** RFC 3339, with an offset. */
  timestamp?: string;
  source?: string;
  correlationId?: string;
  causationId?: string;
  data: Data;
}

/** Any event. */
export type Event = { [Type in keyof Events]: Envelope<Type, Events[Type]> }[keyof Events];
";

/// The types of all event types of a folder. Blocks.
///
/// # Errors
/// All mistakes of the folder at once.
pub fn of_folder(config: &Config) -> Result<String, Vec<LoadError>> {
    let schemas = Schemas::load(config)?;
    let contracts: Vec<(EventType, _)> = schemas
        .event_types()
        .into_iter()
        .filter_map(|event_type| schemas.contract(&event_type).map(|contract| (event_type, contract)))
        .collect();
    if contracts.is_empty() {
        let problem = "holds no schema of an event type".to_owned();
        return Err(vec![LoadError { path: config.directory.clone(), problem }]);
    }
    Ok(write(contracts.iter().map(|(event_type, contract)| (event_type, &**contract))))
}

/// The types of these event types, a module.
fn write<'c>(contracts: impl Iterator<Item = (&'c EventType, &'c Contract)>) -> String {
    let (mut out, mut events) = (HEAD.to_owned(), String::new());
    let mut taken = names::Taken::new(["Envelope", "Event", "Events"]);
    for (event_type, contract) in contracts {
        let name = taken.free(&pascal(event_type.as_str()));
        write_type(&mut out, event_type, (&name, &contract.schema), &mut taken);
        let key = Value::from(event_type.as_str());
        events.push_str(&format!("  {key}: {name};\n"));
    }
    out.push_str(&format!(
        "\n/** The data of each event type. */\nexport interface Events {{\n{events}}}\n\n{ENVELOPE}"
    ));
    out
}

/// One event type's data, and what its schema refers to.
fn write_type(
    out: &mut String,
    event_type: &EventType,
    (name, schema): (&str, &Value),
    taken: &mut names::Taken,
) {
    let mut writer = Writer::new(name, schema, taken);
    let about = format!("The data of {event_type}.");
    let data = writer.expression(schema, 0);
    out.push_str(&format!("\n{}{}", notes(schema, Some(about)), data.declare(name)));
    while let Some((name, schema)) = writer.next_referred() {
        let written = writer.expression(schema, 0);
        out.push_str(&format!("\n{}{}", notes(schema, None), written.declare(&name)));
    }
}

/// A comment of what a schema says of itself, and whatever is said before it.
fn notes(schema: &Value, about: Option<String>) -> String {
    let said = |keyword: &str| schema.get(keyword).and_then(Value::as_str).map(str::to_owned);
    let lines: Vec<String> = about.into_iter().chain(said("description").or_else(|| said("title"))).collect();
    expression::comment(&lines.join(" "), 0)
}

#[cfg(test)]
mod tests;
