//! The latest versions over a table in memory.

use std::sync::Arc;

use super::{CONTRACT_MIN, Live, SUFFIX, WEIGHT_MIN};
use crate::event::json::{Document, Limits};
use crate::event::{EventType, Format, Subject};
use crate::schema::registry::change::{self, Wanted};
use crate::schema::registry::content::{Content, Kind};
use crate::schema::registry::model::Memory;
use crate::schema::registry::{reading, rows};
use crate::schema::{Error, SchemaId};

/// Registers a schema that takes only a number as data, and answers its id.
fn register(rows: &mut Memory, subject: &str, number: usize) -> SchemaId {
    let (subject, text) = (Subject::parse(subject).unwrap(), format!(r#"{{"const":{number}}}"#));
    let content = Content::new(Kind::Json, text.clone(), &text, vec![]);
    let fits = Some(reading::comparison(rows, &subject));
    let wanted = Wanted { content, id: None, version: None, fits, referred: vec![] };
    change::register(rows, &subject, &wanted).unwrap().id
}

fn check(live: &Live, rows: &Memory, event_type: &str, data: usize) -> Result<Option<SchemaId>, Error> {
    let text = data.to_string();
    let document = Document::parse(text.as_bytes(), Limits::default()).unwrap();
    let checked = live.check(rows, &EventType::parse(event_type).unwrap(), Format::Json, document.root());
    checked.map(|checked| checked.schema)
}

#[test]
fn a_type_is_judged_by_its_subject_or_by_its_first_version() {
    let (mut rows, live) = (Memory::default(), Live::default());
    let (plain, first) = (register(&mut rows, "a.b-value", 1), register(&mut rows, "c.d.v1-value", 2));
    register(&mut rows, "e.f.v1-key", 3);
    live.fill(&rows);
    assert_eq!(check(&live, &rows, "a.b", 1), Ok(Some(plain)));
    assert!(
        matches!(check(&live, &rows, "a.b", 2), Err(Error::Violation { schema_id, .. }) if schema_id == plain)
    );
    assert_eq!(check(&live, &rows, "c.d.v1", 2), Ok(Some(first)));
    assert_eq!(check(&live, &rows, "c.d", 2), Ok(Some(first)));
    for without in ["c.d.v2", "a.b.v1", "e.f.v1", "a"] {
        assert_eq!(check(&live, &rows, without, 9), Ok(None), "{without}");
        assert_eq!(live.latest(&EventType::parse(without).unwrap()), None, "{without}");
    }
    for (name, id) in [("a.b", plain), ("c.d.v1", first), ("c.d", first)] {
        assert_eq!(live.latest(&EventType::parse(name).unwrap()), Some(id), "{name}");
    }
    assert_eq!(live.event_types().len(), 2);
}

#[test]
fn a_schema_of_another_format_than_the_topics_judges_nothing() {
    let (mut rows, live) = (Memory::default(), Live::default());
    let id = register(&mut rows, "a.b-value", 1);
    live.fill(&rows);
    let document = Document::parse(b"1", Limits::default()).unwrap();
    let check = |format| live.check(&rows, &EventType::parse("a.b").unwrap(), format, document.root());
    let checked = check(Format::Json).unwrap();
    assert_eq!(
        (checked.schema, checked.guid),
        (Some(id), rows::content(&rows, id).map(|content| content.guid))
    );
    for format in [Format::Avro, Format::Protobuf] {
        let refused = check(format).unwrap_err();
        assert!(matches!(refused, Error::OtherFormat { kind: Kind::Json, .. }), "{refused}");
    }
}

#[test]
fn one_subjects_change_is_taken_over_alone() {
    let (mut rows, live) = (Memory::default(), Live::default());
    register(&mut rows, "a.b-value", 1);
    live.fill(&rows);
    let second = register(&mut rows, "a.b-value", 2);
    assert!(check(&live, &rows, "a.b", 1).is_ok());
    let subject = Subject::parse("a.b-value").unwrap();
    live.fill_some(&rows, &[subject.clone()].into());
    assert_eq!(check(&live, &rows, "a.b", 2), Ok(Some(second)));
    change::delete_subject(&mut rows, &subject).unwrap();
    live.fill_some(&rows, &[subject].into());
    assert_eq!(check(&live, &rows, "a.b", 7), Ok(None));
}

#[test]
fn what_is_compiled_is_bounded_and_what_is_used_stays() {
    let bound = 20;
    let (mut rows, live) = (Memory::default(), Live::bounded(bound * WEIGHT_MIN));
    let name = |number: usize| format!("type.{number}");
    for number in 0..bound + bound / 2 {
        register(&mut rows, &format!("{}{SUFFIX}", name(number)), number);
    }
    live.fill(&rows);
    assert_eq!(live.weight(), 0);
    for number in 0..bound + bound / 2 {
        assert!(check(&live, &rows, &name(number), number).unwrap().is_some());
        assert!(check(&live, &rows, &name(0), 0).unwrap().is_some());
        assert!(live.weight() <= bound * WEIGHT_MIN);
    }
    let slots = live.slots.load();
    assert!(slots["type.0"].compiled.load().is_some());
    assert!(slots["type.1"].compiled.load().is_none());
    drop(slots);
    live.fill(&Memory::default());
    assert_eq!(live.weight(), 0, "what nobody has weighs nothing");
}

#[test]
fn contracts_are_bounded_too_and_written_anew_when_they_are_asked_for_again() {
    let bound = 5;
    let (mut rows, live) = (Memory::default(), Live::bounded(bound * CONTRACT_MIN));
    let types = 0..bound * 3;
    for number in types.clone() {
        register(&mut rows, &format!("type.{number}{SUFFIX}"), number);
    }
    live.fill(&rows);
    for number in types.clone().chain(types) {
        let contract = live.contract(&rows, &EventType::parse(&format!("type.{number}")).unwrap()).unwrap();
        assert_eq!(contract.schema["const"], number);
        assert!(live.weight() <= bound * CONTRACT_MIN);
    }
}

#[test]
fn what_did_not_change_keeps_what_it_compiled() {
    let (mut rows, live) = (Memory::default(), Live::default());
    register(&mut rows, "a.b-value", 1);
    register(&mut rows, "c.d-value", 2);
    live.fill(&rows);
    assert!(check(&live, &rows, "a.b", 1).is_ok());
    let before = live.slots.load_full();
    let subjects = ["a.b-value", "c.d-value", "e.f-value"].map(|name| Subject::parse(name).unwrap());
    live.fill_some(&rows, &subjects.clone().into());
    assert!(Arc::ptr_eq(&before, &live.slots.load_full()), "nothing changed");
    register(&mut rows, "c.d-value", 3);
    live.fill_some(&rows, &subjects.into());
    live.fill(&rows);
    assert!(live.slots.load()["a.b"].compiled.load().is_some());
    assert!(check(&live, &rows, "c.d", 3).is_ok());
}
