//! Judging data by the schema of its type, with nothing published: what a violation says is what publishing would say.

use std::sync::Arc;

use super::{Error, Publisher};
use crate::auth::{Object, Operation, Principal};
use crate::event::json::{Document, Limits};
use crate::event::{EventType, TopicRule};
use crate::schema::SchemaId;

/// Data that satisfies its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// The subject; `None` where the type has no schema, and the topic wants none.
    pub subject: Option<Arc<str>>,
    /// The schema.
    pub schema_id: Option<SchemaId>,
}

impl Publisher {
    /// Judges the data of an event of a type that the catalogue binds to this topic, after a wait where its schema has to be
    /// fetched first. A violation is told even where the topic would let it pass, and is not counted as one.
    ///
    /// # Errors
    /// Without the right to publish, over quota, for what is no JSON, and for what breaks the schema.
    pub async fn validate(
        &self,
        principal: &Principal,
        rule: &TopicRule,
        event_type: &EventType,
        body: &[u8],
    ) -> Result<Validated, Error> {
        let validated = self.validate_known(principal, rule, event_type, body);
        if validated.as_ref().is_err_and(|error| error.unfetched().is_some()) {
            self.parts().schemas.learn(event_type).await;
            return self.validate_known(principal, rule, event_type, body);
        }
        validated
    }

    fn validate_known(
        &self,
        principal: &Principal,
        rule: &TopicRule,
        event_type: &EventType,
        body: &[u8],
    ) -> Result<Validated, Error> {
        let parts = self.parts();
        let depth_max = parts.config.load().json_depth_max;
        let document = Document::parse(body, Limits { depth_max })?;
        parts.authenticator.authorize(principal, Operation::Publish, Object::Topic(&rule.topic))?;
        let checked = parts.schemas.check(event_type, rule.format, document.root())?;
        let checked = if rule.is_schema_required { checked.into_required(event_type)? } else { checked };
        // It costs what publishing costs, the log apart.
        parts.take_quota(principal.id(), 1, body.len() as u64)?;
        Ok(Validated { subject: checked.subject, schema_id: checked.schema })
    }
}
