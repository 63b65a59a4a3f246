//! What a publishing request says beside its body: query and headers, checked.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;

use crate::event::{DataMembers, Partition};
use crate::problem::{Code, Problem};
use crate::publish::{Ack, Options, Validation};
use crate::telemetry::TraceContext;

use super::query::{Query, invalid};

/// Set on an answer that was given before.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// All that was given beside the body.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) options: Options,
    pub(super) validation: Validation,
    pub(super) idempotency_key: Option<String>,
    attributes: Vec<(String, String)>,
    members: DataMembers,
    /// The first envelope member that was given by a header.
    member_name: Option<&'static str>,
}

impl Given {
    /// Reads query and headers.
    ///
    /// # Errors
    /// `invalid_parameter` for anything unknown or unusable.
    pub(super) fn read(headers: &HeaderMap, query: Option<&str>) -> Result<Self, Problem> {
        let mut given = Self {
            options: Options::default(),
            validation: Validation::All,
            idempotency_key: None,
            attributes: Vec::new(),
            members: DataMembers::default(),
            member_name: None,
        };
        given.read_headers(headers)?;
        if query.is_some() {
            given.read_query(query)?;
        }
        Ok(given)
    }

    /// Refuses envelope members in headers, where the envelope is in the body.
    pub(super) fn refuse_envelope_members(&self) -> Result<(), Problem> {
        self.member_name.map_or(Ok(()), |name| {
            Err(invalid(format!(
                "{name} goes with POST /v1/topics/{{topic}}/events; here the envelope says it"
            )))
        })
    }

    /// Whether `ce-` headers were given.
    pub(super) const fn has_attributes(&self) -> bool {
        !self.attributes.is_empty()
    }

    /// The attributes of a CloudEvent in binary mode; `None` where it is no such event.
    pub(super) fn take_attributes(&mut self) -> Result<Option<Vec<(String, String)>>, Problem> {
        let attributes = std::mem::take(&mut self.attributes);
        let has = |wanted: &str| attributes.iter().any(|(name, _)| name == wanted);
        if has("specversion") {
            return Ok(Some(attributes));
        }
        match ["id", "type", "source"].into_iter().find(|name| has(name)) {
            Some(name) => {
                let detail =
                    format!("ce-{name} without ce-specversion: a CloudEvent in binary mode needs it");
                Err(Problem::new(Code::InvalidCloudevent, detail))
            }
            None => Ok(None),
        }
    }

    /// The envelope's members given by headers.
    pub(super) fn take_members(&mut self) -> DataMembers {
        std::mem::take(&mut self.members)
    }

    fn read_query(&mut self, query: Option<&str>) -> Result<(), Problem> {
        let query = Query::parse(query, &["ack", "validation", "atomic", "dryRun"])?;
        self.options.ack = match query.get("ack") {
            None | Some("stored") => Ack::Stored,
            Some("none") => Ack::None,
            Some(_) => return Err(invalid("'ack' must be stored or none")),
        };
        let is_atomic = query.flag("atomic")?;
        self.validation = match query.get("validation") {
            None | Some("all") if is_atomic => Validation::Atomic,
            None | Some("all") => Validation::All,
            Some("each") if is_atomic => {
                return Err(invalid("validation=each stores a part, and atomic=true all or nothing"));
            }
            Some("each") => Validation::Each,
            Some(_) => return Err(invalid("'validation' must be all or each")),
        };
        self.options.dry_run = query.flag("dryRun")?;
        if self.options.ack == Ack::None && (is_atomic || self.idempotency_key.is_some()) {
            return Err(invalid("ack=none promises too little for atomic or an Idempotency-Key"));
        }
        Ok(())
    }

    fn read_headers(&mut self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut trace = (None, None);
        for (name, value) in headers {
            match name.as_str() {
                "idempotency-key" => set(&mut self.idempotency_key, name, idempotency_key(value)?)?,
                "x-correlation-id" => {
                    let text = text(name, value)?;
                    set(&mut self.options.correlation_id, name, text.to_owned())?;
                }
                "traceparent" => trace.0 = value.to_str().ok(),
                "tracestate" => trace.1 = value.to_str().ok(),
                name_text if name_text.starts_with("weirgate-") => self.read_ours(name, value)?,
                name_text => {
                    if let Some(attribute) = name_text.strip_prefix("ce-") {
                        let decoded = percent_decode(value.as_bytes()).decode_utf8().map_err(|_| {
                            let detail = format!("{name} must be percent-encoded UTF-8");
                            Problem::new(Code::InvalidCloudevent, detail)
                        })?;
                        self.attributes.push((attribute.to_owned(), decoded.into_owned()));
                    }
                }
            }
        }
        self.options.trace = trace.0.and_then(|parent| TraceContext::parse(parent, trace.1));
        Ok(())
    }

    fn read_ours(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Problem> {
        let member = match name.as_str() {
            "weirgate-key" => {
                return set(&mut self.options.key, name, Bytes::copy_from_slice(value.as_bytes()));
            }
            "weirgate-partition" => {
                let number = text(name, value)?.parse().ok();
                let number =
                    number.ok_or_else(|| invalid("Weirgate-Partition must be a partition's number"))?;
                return set(&mut self.options.partition, name, Partition::new(number));
            }
            "weirgate-event-id" => ("Weirgate-Event-Id", &mut self.members.event_id),
            "weirgate-event-type" => ("Weirgate-Event-Type", &mut self.members.event_type),
            "weirgate-source" => ("Weirgate-Source", &mut self.members.source),
            "weirgate-correlation-id" => ("Weirgate-Correlation-Id", &mut self.members.correlation_id),
            "weirgate-timestamp" => ("Weirgate-Timestamp", &mut self.members.timestamp),
            other => {
                let Some(header) = other.strip_prefix("weirgate-header-").filter(|name| !name.is_empty())
                else {
                    return Err(invalid(format!("the header {other} is not known")));
                };
                self.options.headers.push((header.into(), Bytes::copy_from_slice(value.as_bytes())));
                return Ok(());
            }
        };
        set(member.1, name, text(name, value)?.to_owned())?;
        self.member_name.get_or_insert(member.0);
        Ok(())
    }
}

fn set<T>(place: &mut Option<T>, name: &HeaderName, value: T) -> Result<(), Problem> {
    if place.replace(value).is_some() { Err(invalid(format!("send {name} once"))) } else { Ok(()) }
}

fn text<'a>(name: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, Problem> {
    std::str::from_utf8(value.as_bytes()).map_err(|_| invalid(format!("{name} must be UTF-8")))
}

/// A key is 1 to 255 visible ASCII characters, bare or in quotes.
fn idempotency_key(value: &HeaderValue) -> Result<String, Problem> {
    let text = value.to_str().unwrap_or_default();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let is_visible = bare.bytes().all(|byte| byte.is_ascii_graphic());
    if (1..=255).contains(&bare.len()) && is_visible {
        Ok(bare.to_owned())
    } else {
        Err(invalid("Idempotency-Key must be 1 to 255 visible ASCII characters"))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::Given;
    use crate::event::Partition;
    use crate::publish::{Ack, Validation};

    fn given(list: &[(&'static str, &[u8])], query: &str) -> Result<Given, &'static str> {
        let headers = list.iter().fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
            headers
        });
        Given::read(&headers, Some(query)).map_err(|problem| problem.code.as_str())
    }

    #[test]
    fn options_come_from_query_and_headers() {
        let list: &[(&str, &[u8])] = &[
            ("weirgate-key", b"caf\xc3\xa9"),
            ("weirgate-partition", b"3"),
            ("weirgate-header-Region", b"eu"),
            ("idempotency-key", b"\"k-1\""),
            ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ];
        let given = given(list, "validation=each&dryRun=true").unwrap();
        assert_eq!(given.options.key.as_deref(), Some("café".as_bytes()));
        assert_eq!(given.options.partition, Some(Partition::new(3)));
        assert_eq!(&*given.options.headers[0].0, "region");
        assert_eq!(given.idempotency_key.as_deref(), Some("k-1"));
        assert!(given.options.trace.is_some() && given.options.dry_run);
        assert_eq!((given.validation, given.options.ack), (Validation::Each, Ack::Stored));
    }

    #[test]
    fn an_atomic_batch_is_judged_whole() {
        assert_eq!(given(&[], "atomic=true").unwrap().validation, Validation::Atomic);
        assert_eq!(given(&[], "validation=all&atomic=true").unwrap().validation, Validation::Atomic);
        assert_eq!(given(&[], "atomic=false").unwrap().validation, Validation::All);
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for (list, query, code) in [
            (&[("weirgate-kee", &b"a"[..])][..], "", "invalid_parameter"),
            (&[("weirgate-key", b"a"), ("weirgate-key", b"b")], "", "invalid_parameter"),
            (&[("weirgate-partition", b"-1")], "", "invalid_parameter"),
            (&[("idempotency-key", b"")], "", "invalid_parameter"),
            (&[("idempotency-key", b"a b")], "", "invalid_parameter"),
            (&[("idempotency-key", b"a")], "ack=none", "invalid_parameter"),
            (&[], "ack=none&atomic=true", "invalid_parameter"),
            (&[], "validation=each&atomic=true", "invalid_parameter"),
            (&[], "ack=all", "invalid_parameter"),
            (&[], "dryrun=true", "invalid_parameter"),
            (&[("ce-subject", b"%ff")], "", "invalid_cloudevent"),
        ] {
            assert_eq!(given(list, query).unwrap_err(), code, "{list:?} {query}");
        }
    }

    #[test]
    fn binary_cloud_events_are_known_by_their_version() {
        let mut binary = given(&[("ce-specversion", b"1.0"), ("ce-subject", b"a%20b")], "").unwrap();
        let attributes = binary.take_attributes().unwrap().unwrap();
        assert!(attributes.contains(&("subject".to_owned(), "a b".to_owned())));
        assert!(given(&[("ce-id", b"1")], "").unwrap().take_attributes().is_err());
        assert!(given(&[], "").unwrap().take_attributes().unwrap().is_none());
    }
}
