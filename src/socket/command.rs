//! What a client may say: one JSON object, read once into a checked command.
//!
//! A text that is no object, or names no `op`, is [`Malformed`] and ends the connection. Everything else becomes a
//! command or a problem that answers it; unknown members are ignored, members that cannot go together are refused.

mod members;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::delivery::{AckMode, ConnectionId, Settlement};
use crate::event::{Filter, GroupName, Pattern, Topic};
use crate::feed::{From, OnSlow};
use crate::problem::{Code, Problem, Violation};
use crate::publish::Options;

/// Credit of a group subscription that names none.
const CREDIT_DEFAULT: u32 = 32;

/// Bytes of the longest `id`.
const ID_BYTES_MAX: usize = 128;

/// The text is not a command at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

macro_rules! ops {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The `op` of a command.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Op { $($(#[$doc])* $variant,)* }

        impl Op {
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            fn parse(text: &str) -> Option<Self> {
                match text { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

ops! {
    Hello = "hello",
    Subscribe = "subscribe",
    Unsubscribe = "unsubscribe",
    Ack = "ack",
    Nack = "nack",
    Reject = "reject",
    Extend = "extend",
    Credit = "credit",
    Pause = "pause",
    Resume = "resume",
    Publish = "publish",
    Refresh = "refresh",
    Ping = "ping",
    Pong = "pong",
}

/// To whom an answer goes: the command's `id` as it was written, and its `op` for commands without one.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) id: Option<Box<RawValue>>,
    /// `None` for an operation that does not exist.
    pub(super) op: Option<Op>,
}

/// One message of a client.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) reply: Reply,
    pub(super) body: Result<Body, Problem>,
}

/// What the client wants.
#[derive(Debug)]
pub(super) enum Body {
    Hello { token: Option<String> },
    Subscribe(Box<Audience>),
    Join(Box<Worker>),
    Unsubscribe { sub: u32 },
    Settle { sub: u32, settling: Settling },
    Credit { sub: u32, credit: u32 },
    Pause { sub: u32 },
    Resume { sub: u32 },
    Publish(Box<Publishing>),
    Refresh { token: String },
    Ping,
    Pong,
}

/// A broadcast subscription.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) topics: Vec<Pattern>,
    pub(super) from: From,
    pub(super) filter: Option<Filter>,
    pub(super) on_slow: OnSlow,
}

/// A group subscription.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) group: GroupName,
    pub(super) topics: Option<Vec<Topic>>,
    pub(super) credit: Option<u32>,
    pub(super) ack: AckMode,
    pub(super) adopt: Option<ConnectionId>,
}

/// A settlement, and the tags in it that no gateway made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settling {
    pub(super) settlement: Option<Settlement>,
    pub(super) unknown: Vec<String>,
}

/// An event to be published.
#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) event: Bytes,
    pub(super) options: Options,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    op: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

impl Command {
    /// Reads a message.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        if !text.trim_ascii_start().starts_with('{') {
            return Err(Malformed("a message must be a JSON object"));
        }
        let head: Head<'_> = serde_json::from_str(text)
            .map_err(|_| Malformed("a message must be one JSON object with an op"))?;
        let op = head.op.ok_or(Malformed("a message must have an op"))?;
        let op: String = serde_json::from_str(op.get()).map_err(|_| Malformed("op must be a string"))?;
        let id = head.id.map(read_id).transpose()?;
        let op = Op::parse(&op);
        let body = op.map_or_else(
            || Err(Problem::new(Code::BadRequest, "there is no such op")),
            |op| members::read_body(op, text),
        );
        Ok(Self { reply: Reply { id, op }, body })
    }
}

impl Settling {
    fn new(settlement: Settlement) -> Self {
        Self { settlement: Some(settlement), unknown: Vec::new() }
    }
}

impl Worker {
    /// The window asked for, or the default.
    pub(super) fn credit(&self, in_flight_max: u32) -> u32 {
        self.credit.unwrap_or_else(|| CREDIT_DEFAULT.min(in_flight_max))
    }
}

/// A problem of one member of a command.
pub(super) fn invalid(pointer: &str, message: impl Into<String>) -> Problem {
    let message = message.into();
    Problem::new(Code::InvalidParameter, format!("{pointer}: {message}")).with_errors(vec![Violation {
        pointer: pointer.to_owned(),
        keyword: "parameter".to_owned(),
        message,
    }])
}

fn read_id(raw: &RawValue) -> Result<Box<RawValue>, Malformed> {
    let is_scalar = !raw.get().starts_with(['{', '[', 't', 'f']);
    if is_scalar && raw.get().len() <= ID_BYTES_MAX {
        Ok(raw.to_owned())
    } else {
        Err(Malformed("id must be a number or a string of at most 128 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, Command, Op};
    use crate::problem::Code;

    fn code(text: &str) -> Code {
        Command::parse(text).unwrap().body.unwrap_err().code
    }

    #[test]
    fn every_op_reads_its_own_name() {
        for op in Op::ALL {
            assert_eq!(Op::parse(op.as_str()), Some(*op));
        }
    }

    #[test]
    fn what_is_no_object_with_an_op_is_malformed() {
        for text in [
            "",
            "null",
            "[]",
            r#"["hello"]"#,
            "{}",
            r#"{"op":7}"#,
            r#"{"op":null}"#,
            r#"{"op":"ping"} {}"#,
            "{\"op\":\"ping\"",
            r#"{"op":"ping","op":"pong"}"#,
            r#"{"op":"ping","id":{}}"#,
            r#"{"op":"ping","id":true}"#,
        ] {
            assert!(Command::parse(text).is_err(), "{text}");
        }
        let long = format!(r#"{{"op":"ping","id":"{}"}}"#, "x".repeat(200));
        assert!(Command::parse(&long).is_err());
    }

    #[test]
    fn ids_are_kept_as_written_and_unknown_members_ignored() {
        let command = Command::parse(r#" {"id": 1.50, "op":"ping", "colour":"red"}"#).unwrap();
        assert_eq!(command.reply.id.unwrap().get(), "1.50");
        assert!(matches!(command.body, Ok(Body::Ping)));
        assert!(Command::parse(r#"{"id":null,"op":"ping"}"#).unwrap().reply.id.is_none());
    }

    #[test]
    fn members_that_do_not_go_together_are_refused() {
        assert_eq!(code(r#"{"op":"dance"}"#), Code::BadRequest);
        for text in [
            r#"{"op":"subscribe"}"#,
            r#"{"op":"subscribe","topics":[]}"#,
            r#"{"op":"subscribe","topics":["a"],"credit":1}"#,
            r#"{"op":"subscribe","topics":["a"],"onSlow":"cry"}"#,
            r#"{"op":"subscribe","topics":["a"],"from":"yesterday"}"#,
            r#"{"op":"subscribe","group":"g","from":"latest"}"#,
            r#"{"op":"subscribe","group":"g","credit":0}"#,
            r#"{"op":"subscribe","group":"a b"}"#,
            r#"{"op":"subscribe","group":"g","ack":"maybe"}"#,
            r#"{"op":"ack","sub":1}"#,
            r#"{"op":"ack","sub":1,"delivery":"x","upTo":"y"}"#,
            r#"{"op":"ack","delivery":"x"}"#,
            r#"{"op":"unsubscribe","sub":-1}"#,
            r#"{"op":"publish"}"#,
            r#"{"op":"refresh"}"#,
        ] {
            assert_eq!(code(text), Code::InvalidParameter, "{text}");
        }
        assert_eq!(code(r#"{"op":"subscribe","topics":["a"],"onSlow":"latest"}"#), Code::NotSupported);
    }

    #[test]
    fn an_event_is_taken_byte_for_byte() {
        let command = Command::parse(r#"{"op":"publish","event": {"a" : 1.0,"a":2} }"#).unwrap();
        let Ok(Body::Publish(publishing)) = command.body else { panic!() };
        assert_eq!(&publishing.event[..], br#"{"a" : 1.0,"a":2}"#);
    }

    #[test]
    fn a_tag_no_gateway_made_is_unknown() {
        let command = Command::parse(r#"{"op":"nack","sub":9,"delivery":"?"}"#).unwrap();
        let Ok(Body::Settle { sub: 9, settling }) = command.body else { panic!() };
        assert_eq!((settling.settlement, settling.unknown), (None, vec!["?".to_owned()]));
    }
}
