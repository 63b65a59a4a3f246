//! Records as librdkafka has them, and as the house has them. Keys, values and headers pass byte for byte: null is not
//! empty, names may repeat, order is kept.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rdkafka::message::{
    BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders, Timestamp as NativeTimestamp,
};
use rdkafka::producer::BaseRecord;
use rdkafka::util::IntoOpaque;

use crate::event::{HeaderName, Headers, Offset, Partition, Record, Timestamp, Topic};
use crate::log::NewRecord;

use super::metrics::Metrics;
use super::native;

/// Names kept at most; a producer that makes ever new ones gains nothing by them.
const NAMES_MAX: usize = 256;

/// Header names seen before, so that each is kept once.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<Box<str>, HeaderName>);

impl Names {
    fn of(&mut self, name: &str) -> HeaderName {
        if let Some(known) = self.0.get(name) {
            return HeaderName::clone(known);
        }
        let new = HeaderName::from(name);
        if self.0.len() < NAMES_MAX {
            self.0.insert(name.into(), HeaderName::clone(&new));
        }
        new
    }
}

/// A record read; its bytes are copied, so that librdkafka's buffer can go.
pub(super) fn read(message: &BorrowedMessage<'_>, names: &mut Names, metrics: &Metrics) -> Record {
    Record {
        offset: offset(message.offset()),
        timestamp: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or(0)),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: headers(message, names, metrics),
        decoded: None,
    }
}

/// An offset librdkafka told; it tells negative ones only for what is no offset.
pub(super) fn offset(number: i64) -> Offset {
    Offset::new(u64::try_from(number).unwrap_or(0))
}

/// An offset as librdkafka takes it.
pub(super) fn place(offset: Offset) -> rdkafka::Offset {
    rdkafka::Offset::Offset(i64::try_from(offset.number()).unwrap_or(i64::MAX))
}

fn headers(message: &BorrowedMessage<'_>, names: &mut Names, metrics: &Metrics) -> Headers {
    let Some(native) = message.headers() else { return Headers::default() };
    let mut headers = Vec::with_capacity(native.count());
    for index in 0..native.count() {
        // rdkafka panics on a name that is not UTF-8, which any producer may write: one header less, not a stuck
        // partition.
        match catch_unwind(AssertUnwindSafe(|| native.try_get(index))) {
            Ok(Some(header)) => {
                headers.push((names.of(header.key), header.value.map(Bytes::copy_from_slice)))
            }
            Ok(None) => {}
            Err(_) => metrics.undecodable_headers.inc(),
        }
    }
    Headers::new(headers)
}

/// The headers of a record to be stored; `None` where it has none.
fn native_headers(record: &NewRecord) -> Option<OwnedHeaders> {
    if record.headers.is_empty() {
        return None;
    }
    let empty = OwnedHeaders::new_with_capacity(record.headers.len());
    let add = |headers: OwnedHeaders, (name, value): (&HeaderName, Option<&Bytes>)| {
        headers.insert(Header { key: name, value: value.map(|value| &**value) })
    };
    Some(record.headers.iter().fold(empty, add))
}

/// A record to be stored, as of `now` unless it has a time of its own; `opaque` comes back with its report.
pub(super) fn native_record<'r, O: IntoOpaque>(
    (topic, partition): (&'r Topic, Partition),
    record: &'r NewRecord,
    now: Timestamp,
    opaque: O,
) -> BaseRecord<'r, [u8], [u8], O> {
    BaseRecord {
        topic: topic.as_str(),
        partition: Some(native(partition)),
        payload: record.value.as_deref(),
        key: record.key.as_deref(),
        timestamp: Some(record.timestamp.unwrap_or(now).millis()),
        headers: native_headers(record),
        delivery_opaque: opaque,
    }
}

/// The time that the broker gave a stored record, where it sets one.
pub(super) fn broker_time(message: &BorrowedMessage<'_>) -> Option<Timestamp> {
    match message.timestamp() {
        NativeTimestamp::LogAppendTime(millis) => Some(Timestamp::from_millis(millis)),
        NativeTimestamp::CreateTime(_) | NativeTimestamp::NotAvailable => None,
    }
}

/// Bytes of key, value and headers of a record that librdkafka gives back.
pub(super) fn native_bytes(message: &BorrowedMessage<'_>) -> usize {
    let header = |header: Header<'_, &[u8]>| header.key.len() + header.value.map_or(0, <[u8]>::len);
    let headers = message.headers().map_or(0, |headers| headers.iter().map(header).sum());
    message.key_len() + message.payload_len() + headers
}

/// Bytes of key, value and headers.
pub(super) fn bytes_of(record: &NewRecord) -> usize {
    let length = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
    length(&record.key) + length(&record.value) + record.headers.bytes()
}
