//! Record headers: those a caller may give, and all that an event's record gets.

use std::sync::Arc;

use bytes::Bytes;

use crate::event::{Draft, HeaderName, Headers, Storage};

use super::parts::Parts;
use super::{Error, Options, Part};

/// How many record headers a caller may give an event.
const HEADERS_MAX: usize = 64;
/// How large the name and value of one of them may be.
const HEADER_BYTES_MAX: usize = 4_096;
/// Record headers that only the gateway writes.
const RESERVED: &[&str] =
    &["weirgate-", "__dlq.", "traceparent", "tracestate", "ce_", "__value_schema_id", "__key_schema_id"];

impl Parts {
    /// All headers of the record: the envelope's and extensions, the caller's, the trace context's.
    pub(super) fn headers(
        &self,
        mut sealed: Vec<(HeaderName, Option<Bytes>)>,
        draft: &Draft<'_>,
        options: &Options,
        storage: Storage,
    ) -> Result<Headers, Error> {
        if storage.is_cloud_events()
            && let Some((name, _)) = options.headers.iter().find(|(name, _)| **name == *"content-type")
        {
            let problem = "is the gateway's where the topic stores CloudEvents";
            return Err(Error::InvalidHeader { name: name.to_string(), problem });
        }
        let given = draft.extensions.len() + options.headers.len();
        if given > HEADERS_MAX {
            return Err(Error::TooManyHeaders { headers: given, headers_max: HEADERS_MAX });
        }
        draft.extensions.iter().try_for_each(|(name, value)| check_header_size(name, value))?;
        sealed.extend(options.headers.iter().map(|(name, value)| (Arc::clone(name), Some(value.clone()))));
        if let Some(trace) = &options.trace {
            let text = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
            sealed.push((Arc::clone(&self.names.traceparent), text(&trace.traceparent)));
            if let Some(state) = &trace.tracestate {
                sealed.push((Arc::clone(&self.names.tracestate), text(state)));
            }
        }
        Ok(Headers::new(sealed))
    }
}

/// Checks the record headers a caller gave with the request, once for all its events.
pub(super) fn check_headers(options: &Options) -> Result<(), Error> {
    for (name, value) in &options.headers {
        let invalid = |problem| Err(Error::InvalidHeader { name: name.to_string(), problem });
        if name.is_empty() {
            return invalid("needs a name");
        }
        let begins = |reserved: &&str| {
            let beginning = name.as_bytes().get(..reserved.len());
            beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(reserved.as_bytes()))
        };
        if RESERVED.iter().any(begins) {
            return invalid("has a name that belongs to the gateway");
        }
        if value.contains(&0) {
            return invalid("must not hold U+0000");
        }
        check_header_size(name, value)?;
    }
    Ok(())
}

fn check_header_size(name: &str, value: &[u8]) -> Result<(), Error> {
    let bytes = name.len() + value.len();
    if bytes > HEADER_BYTES_MAX {
        return Err(Error::TooLarge { part: Part::Header, bytes, bytes_max: HEADER_BYTES_MAX });
    }
    Ok(())
}
