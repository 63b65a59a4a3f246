//! The schema's part of the judgement: what a topic does about data that breaks its schema, and who is told of it.

use crate::auth::Principal;
use crate::event::{Draft, Enforcement, TopicRule};
use crate::schema::{self, Checked, SchemaId, Violation};

use super::super::Error;
use super::super::parts::Parts;
use super::{Labels, Request};

impl Parts {
    /// What its schema says of an event, as far as its topic asks: the schema, and what it only warns of.
    pub(super) fn check_schema(
        &self,
        request: Request<'_>,
        rule: &TopicRule,
        draft: &Draft<'_>,
        labels: &Labels,
    ) -> Result<(Checked, Vec<Violation>), Error> {
        let error = match self.schemas.check(&draft.event_type, rule.format, draft.data) {
            Ok(checked) if rule.is_schema_required => {
                return Ok((checked.into_required(&draft.event_type)?, Vec::new()));
            }
            Ok(checked) => return Ok((checked, Vec::new())),
            // Nothing is known of the data then, whatever a violation would do.
            Err(
                error @ (schema::Error::NotReady
                | schema::Error::Unavailable { .. }
                | schema::Error::Unusable { .. }
                | schema::Error::Nameless { .. }
                | schema::Error::OtherFormat { .. }),
            ) => return Err(error.into()),
            Err(error) => error,
        };
        // What is only tried is nobody's violation.
        if !request.options.dry_run {
            self.count_violation(request.principal, rule, labels, &error);
        }
        let broken = |schema| Checked { schema, ..Checked::default() };
        match (rule.enforcement, error) {
            (Enforcement::Observe, error) => Ok((broken(schema_id(&error)), Vec::new())),
            (Enforcement::Warn, schema::Error::Violation { schema_id, errors, .. }) => {
                Ok((broken(Some(schema_id)), errors))
            }
            (Enforcement::Warn, schema::Error::PatternLimit { schema_id, .. }) => {
                let message = "a pattern of the schema takes too many steps on the data".to_owned();
                let (pointer, keyword) = ("/data".to_owned(), "pattern".to_owned());
                let place = pointer.clone();
                Ok((broken(Some(schema_id)), vec![Violation { pointer, place, keyword, message }]))
            }
            (Enforcement::Enforce | Enforcement::Warn, error) => Err(error.into()),
        }
    }

    fn count_violation(
        &self,
        principal: &Principal,
        rule: &TopicRule,
        labels: &Labels,
        error: &schema::Error,
    ) {
        self.metrics
            .schema_violations
            .with_label_values(&[labels.event_type(), labels.topic(), rule.enforcement.as_str()])
            .inc();
        self.violators.count(principal.id(), error);
        if let Some(event_type) = &labels.event_type {
            self.sightings.count(event_type, error);
        }
    }
}

const fn schema_id(error: &schema::Error) -> Option<SchemaId> {
    match error {
        schema::Error::Violation { schema_id, .. } | schema::Error::PatternLimit { schema_id, .. } => {
            Some(*schema_id)
        }
        schema::Error::Missing { .. }
        | schema::Error::Unusable { .. }
        | schema::Error::OtherFormat { .. }
        | schema::Error::Nameless { .. }
        | schema::Error::Unavailable { .. }
        | schema::Error::NotReady => None,
    }
}
