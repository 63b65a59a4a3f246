//! What can be told of an event whose envelope is wrong: its id, and its lane where type and key can be read.

use bytes::Bytes;

use crate::event::json::{Node, Value};
use crate::event::{Catalogue, EventId, EventType, envelope};
use crate::schema::Schemas;

use super::judge::{Labels, Refused, rule_of_text};
use super::lanes::Lane;
use super::{BatchForm, key};

/// The refusal of an event that is none.
pub(super) fn guess(
    schemas: &Schemas,
    catalogue: &Catalogue,
    form: BatchForm,
    node: Node<'_>,
    error: envelope::Error,
) -> Refused {
    let text = |name| node.value().member(name).and_then(|value| value.as_str());
    let (id, event_type) = match form {
        BatchForm::Native => (text("eventId"), text("eventType")),
        BatchForm::CloudEvents => (text("id"), text("type")),
    };
    Refused {
        error: error.into(),
        event_id: id.and_then(|id| EventId::parse(id).ok()),
        lane: event_type.and_then(|event_type| guess_lane(schemas, catalogue, form, event_type, node)),
        labels: Labels::default(),
        keeping: None,
    }
}

fn guess_lane(
    schemas: &Schemas,
    catalogue: &Catalogue,
    form: BatchForm,
    event_type: &str,
    node: Node<'_>,
) -> Option<Lane> {
    let rule = rule_of_text(catalogue, event_type)?;
    let partition_key = match form {
        BatchForm::Native => None,
        BatchForm::CloudEvents => node.value().member("partitionkey"),
    };
    // A pointer into /data leads to the same place in both forms, and so does any in the native one.
    let ruled = || {
        let pointer = &rule.key.as_ref()?.pointer;
        let data = node.value().member("data").unwrap_or(&Value::Null);
        let event_type = EventType::parse(event_type).ok();
        let spelled = event_type.map(|event_type| schemas.spelled(&event_type, rule.format, data, pointer));
        node.value().at(spelled.as_deref().unwrap_or(pointer))
    };
    let value = partition_key.or_else(ruled)?;
    let key = key::text_of(value).filter(|key| key.len() <= key::KEY_BYTES_MAX)?;
    Some((rule.topic.clone(), Bytes::copy_from_slice(key.as_bytes())))
}
