//! Writing a record as JSON: once for each record and variant of a frame.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Form, Marks, RecordView, cloud_event};
use crate::event::envelope::HEADERS;
use crate::event::json::write_text;
use crate::event::{Partition, Topic};

/// A header as it is shown.
type Header<'a> = (&'a str, Option<&'a [u8]>);

/// How a stored value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// In one line, for what is told apart by lines.
    OneLine,
    /// Byte for byte.
    AsStored,
}

/// Writes all members of a record, without braces.
pub(super) fn members(
    view: &RecordView<'_>,
    out: &mut Vec<u8>,
    topic: &Topic,
    partition: Partition,
    layout: Layout,
) {
    let record = view.record;
    out.reserve(192 + record.bytes());
    out.extend_from_slice(b"\"topic\":\"");
    out.extend_from_slice(topic.as_str().as_bytes());
    out.extend_from_slice(b"\",\"partition\":");
    number(out, u64::from(partition.number()));
    out.extend_from_slice(b",\"offset\":");
    number(out, record.offset.number());
    out.extend_from_slice(b",\"timestamp\":\"");
    out.extend_from_slice(&record.timestamp.to_digits());
    out.extend_from_slice(b"\",");
    key(out, record.key.as_ref());
    out.extend_from_slice(b",\"headers\":{");
    headers(view, out);
    out.extend_from_slice(b"},");
    event(view, out, layout);
}

fn key(out: &mut Vec<u8>, key: Option<&Bytes>) {
    match key.map(|key| std::str::from_utf8(key).map_err(|_| key)) {
        None => out.extend_from_slice(b"\"key\":null"),
        Some(Ok(key)) => {
            out.extend_from_slice(b"\"key\":");
            write_text(out, key);
        }
        Some(Err(key)) => {
            out.extend_from_slice(b"\"keyBase64\":");
            base64(out, key);
        }
    }
}

/// Headers by name; those of the envelope are shown in `meta` instead, and attributes in a value as they are in headers.
fn headers(view: &RecordView<'_>, out: &mut Vec<u8>) {
    if view.record.headers.is_empty() && view.attributes.is_empty() {
        return;
    }
    let stored = view.record.headers.iter().map(|(name, value)| (&**name, value.map(|value| &**value)));
    let in_value = view.attributes.iter().map(|(name, text)| (name.as_str(), Some(text.as_bytes())));
    let mut headers: Vec<Header<'_>> =
        stored.chain(in_value).filter(|(name, value)| !is_meta(view, name, *value)).collect();
    headers.sort_by_key(|(name, _)| *name);
    for (at, group) in headers.chunk_by(|(left, _), (right, _)| left == right).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if let [(name, value)] = group {
            write_text(out, name);
            out.push(b':');
            header(out, *value);
        } else {
            repeated(out, group);
        }
    }
}

fn is_meta(view: &RecordView<'_>, name: &str, value: Option<&[u8]>) -> bool {
    match marks(view) {
        Marks::None => false,
        Marks::Headers => HEADERS.iter().any(|(_, header)| *header == name),
        Marks::CloudEvent => {
            let text = value.and_then(|value| std::str::from_utf8(value).ok());
            cloud_event::is_told(name, text, &view.envelope)
        }
    }
}

fn repeated(out: &mut Vec<u8>, group: &[Header<'_>]) {
    for (at, (name, value)) in group.iter().enumerate() {
        if at == 0 {
            write_text(out, name);
            out.extend_from_slice(b":[");
        } else {
            out.push(b',');
        }
        header(out, *value);
    }
    out.push(b']');
}

fn header(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value.map(|value| std::str::from_utf8(value).map_err(|_| value)) {
        None => out.extend_from_slice(b"null"),
        Some(Ok(text)) => write_text(out, text),
        Some(Err(bytes)) => {
            out.extend_from_slice(b"{\"base64\":");
            base64(out, bytes);
            out.push(b'}');
        }
    }
}

/// Writes the event's own members, without braces.
pub(super) fn event(view: &RecordView<'_>, out: &mut Vec<u8>, layout: Layout) {
    match view.form {
        Form::Envelope { value, .. } => {
            out.extend_from_slice(b"\"event\":");
            stored(out, value, layout);
        }
        Form::Data { value, .. } => {
            meta(view, out);
            out.extend_from_slice(b",\"data\":");
            stored(out, value, layout);
        }
        Form::NoData => {
            meta(view, out);
            out.extend_from_slice(b",\"data\":null");
        }
        Form::Tombstone { .. } => {
            meta(view, out);
            out.extend_from_slice(b",\"data\":null,\"tombstone\":true");
        }
        Form::Undecodable { problem, .. } => {
            meta(view, out);
            out.extend_from_slice(b",\"eventBase64\":");
            base64(out, view.record.value.as_deref().unwrap_or_default());
            out.extend_from_slice(b",\"undecodable\":");
            write_text(out, problem);
        }
    }
}

fn meta(view: &RecordView<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"meta\":{");
    let known =
        view.envelope.iter().zip(HEADERS).filter_map(|(text, (name, _))| Some((name, text.as_deref()?)));
    for (at, (name, text)) in known.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(out, name);
        out.push(b':');
        write_text(out, text);
    }
    out.push(b'}');
}

const fn marks(view: &RecordView<'_>) -> Marks {
    match view.form {
        Form::Envelope { .. } => Marks::None,
        Form::NoData => Marks::CloudEvent,
        Form::Data { marks, .. } | Form::Tombstone { marks } | Form::Undecodable { marks, .. } => marks,
    }
}

fn stored(out: &mut Vec<u8>, json: &str, layout: Layout) {
    match layout {
        Layout::OneLine => one_line(out, json),
        Layout::AsStored => out.extend_from_slice(json.as_bytes()),
    }
}

/// CR and LF stand only between tokens of valid JSON, so that a space takes their place without a change of meaning.
fn one_line(out: &mut Vec<u8>, json: &str) {
    let start = out.len();
    out.extend_from_slice(json.as_bytes());
    for byte in out.get_mut(start..).unwrap_or_default() {
        // Written back in any case: without a branch, many bytes are looked at in one step.
        *byte = if *byte == b'\r' || *byte == b'\n' { b' ' } else { *byte };
    }
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    write_text(out, &STANDARD.encode(bytes));
}

fn number(out: &mut Vec<u8>, number: u64) {
    let (mut digits, mut rest, mut used) = ([b'0'; 20], number, 0);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}
