//! Public error codes with status, title, meaning and whether the same request may succeed later.

macro_rules! codes {
    ($( $variant:ident = $code:literal, $status:literal, $retryable:literal, $title:literal, $meaning:literal; )*) => {
        /// A public error code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $( #[doc = $meaning] $variant, )*
        }

        impl Code {
            /// Every code, by status.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as clients see it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// Its HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// Whether the same request, unchanged, may succeed later.
            #[must_use]
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$variant => $retryable),* }
            }

            /// A short name for a person.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }

            /// What it means and what to do, for a person.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }
        }
    };
}

codes! {
    MalformedJson = "malformed_json", 400, false, "Malformed JSON", "The body is not JSON; nothing was stored. The detail names line and column.";
    DuplicateMember = "duplicate_member", 400, false, "Duplicate member", "An object names a member twice, which parsers read differently; nothing was stored. Send each member once.";
    TooDeep = "too_deep", 400, false, "Too deeply nested", "The body nests arrays and objects deeper than the limit; nothing was stored.";
    InvalidEnvelope = "invalid_envelope", 400, false, "Invalid envelope", "A member of the event's envelope is missing, unknown or wrong; nothing was stored. The errors name it.";
    InvalidCloudevent = "invalid_cloudevent", 400, false, "Invalid CloudEvent", "An attribute of the CloudEvent is missing or wrong; nothing was stored. The errors name it.";
    InvalidParameter = "invalid_parameter", 400, false, "Invalid parameter", "A query parameter or header has a value that cannot be used here. The detail names it.";
    BadRequest = "bad_request", 400, false, "Bad request", "The request cannot be understood. The detail says why.";
    Unauthenticated = "unauthenticated", 401, false, "Not authenticated", "The request carries no credential. Send a bearer token or an API key.";
    TokenExpired = "token_expired", 401, false, "Credential expired", "The credential was good and has expired. Get a new one.";
    TokenInvalid = "token_invalid", 401, false, "Credential not accepted", "The credential is not one this gateway accepts.";
    Forbidden = "forbidden", 403, false, "Not allowed", "No grant allows this, or the thing does not exist; both look the same on purpose.";
    TopicNotFound = "topic_not_found", 404, false, "No such topic", "There is no topic of this name, or none that takes this event type.";
    GroupNotFound = "group_not_found", 404, false, "No such group", "There is no consumer group of this name. PUT /v1/groups/{group} creates one.";
    DeadLetterNotFound = "dead_letter_not_found", 404, false, "No such dead letter", "There is no dead letter of this id in this group, or retention has removed it. Lists of dead letters have their ids.";
    RedriveNotFound = "redrive_not_found", 404, false, "No such redrive", "There is no redrive of this id. GET /v1/groups/{group}/redrives lists the last ones of a group.";
    ReplayNotFound = "replay_not_found", 404, false, "No such replay", "There is no replay of this id. GET /v1/groups/{group}/replays lists the last ones of a group.";
    NotFound = "not_found", 404, false, "Not found", "There is nothing at this address.";
    MethodNotAllowed = "method_not_allowed", 405, false, "Method not allowed", "This address does not take this method. The Allow header lists those it takes.";
    NotAcceptable = "not_acceptable", 406, false, "Not acceptable", "None of the media types in Accept can be produced here.";
    RequestTimeout = "request_timeout", 408, true, "Request too slow", "The body did not arrive in time; nothing was stored.";
    EventIdConflict = "event_id_conflict", 409, false, "Event id already used", "Another event with this id was stored before; this one was not. Give it an id of its own.";
    IdempotencyInProgress = "idempotency_in_progress", 409, true, "Still running", "The first request with this idempotency key still runs. Retry after the time given.";
    Conflict = "conflict", 409, false, "Conflict", "The request contradicts the present state. The detail says how.";
    AlreadySubscribed = "already_subscribed", 409, false, "Already subscribed", "This connection has the same subscription already.";
    BodyTooLarge = "body_too_large", 413, false, "Body too large", "The body is above the limit; nothing was stored.";
    EventTooLarge = "event_too_large", 413, false, "Event too large", "The event with its key and headers is above the limit; it was not stored.";
    UriTooLong = "uri_too_long", 414, false, "Address too long", "The request's URI is above the limit.";
    UnsupportedMediaType = "unsupported_media_type", 415, false, "Unsupported media type", "The body's media type is not taken here. The detail lists those that are.";
    UnsupportedEncoding = "unsupported_encoding", 415, false, "Unsupported encoding", "Send the body without a content coding.";
    SchemaViolation = "schema_violation", 422, false, "Event breaks its schema", "The event's data does not fit the registered schema; it was not stored. The errors name the places.";
    SchemaMissing = "schema_missing", 422, false, "No schema", "The topic takes only events with a registered schema of its format, and this type has none.";
    VersionMismatch = "version_mismatch", 422, false, "Version and type disagree", "The major number of eventVersion is not the vN of eventType.";
    PatternLimit = "pattern_limit", 422, false, "Pattern too costly", "A pattern of the schema costs too much on this value, so the event could not be judged.";
    IdempotencyKeyReused = "idempotency_key_reused", 422, false, "Idempotency key reused", "This idempotency key was used before with another request.";
    SourceNotAllowed = "source_not_allowed", 422, false, "Source not allowed", "The caller may not publish in the name of this source.";
    InvalidKey = "invalid_key", 422, false, "No usable key", "The topic's key rule points at a member that is absent or cannot be a key.";
    BatchRefused = "batch_refused", 422, false, "Batch refused", "At least one item is wrong, so nothing of the batch was stored. The items say which.";
    HeadersTooLarge = "headers_too_large", 431, false, "Headers too large", "The request's headers are above the limit.";
    RateLimited = "rate_limited", 429, true, "Too many requests", "The caller's quota is used up; nothing was stored. Retry after the time given.";
    Internal = "internal", 500, false, "Internal error", "The gateway made a mistake. It is logged under the request id in instance.";
    NotSupported = "not_supported", 501, false, "Not supported", "This gateway or its log cannot do this.";
    KeysUnavailable = "keys_unavailable", 503, true, "Issuer's keys unavailable", "The keys of the token's issuer cannot be fetched, so the token cannot be judged; nothing was stored. Retry after the time given.";
    SchemasUnavailable = "schemas_unavailable", 503, true, "Schema unavailable", "The schema of the event's type has to be fetched from the schema registry, which cannot be asked now; nothing was stored. Retry after the time given.";
    LogUnavailable = "log_unavailable", 503, true, "Log unavailable", "The log cannot serve now; what was to be published is surely not stored. Retry after the time given.";
    Overloaded = "overloaded", 503, true, "Overloaded", "A queue is full; nothing was stored. Retry after the time given.";
    Draining = "draining", 503, true, "Going away", "This gateway is shutting down; what was to be published is surely not stored. Retry, and another one will answer.";
    OutcomeUnknown = "outcome_unknown", 504, true, "Outcome unknown", "The event may or may not have been stored. Retry with the same event id or idempotency key.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Code;

    #[test]
    fn codes_are_distinct_and_their_statuses_are_errors() {
        let distinct: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(distinct.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| (400..=504).contains(&code.status())));
    }
}
