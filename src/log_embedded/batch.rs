//! A batch: records of one partition that were committed together, as one checksummed run of bytes.
//!
//! The checksum covers everything after itself, the log's id and both ends included, so that a batch put in another's
//! place is noticed as surely as a flipped bit. Keys and values of records read are slices of the batch.
//!
//! ```text
//! crc32c u32 │ version u32 │ log u64 │ base u64 │ last u64 │ time i64 │ latest time i64 │ count u32 │ records …
//! record: offset − base │ zigzag(timestamp − time) │ key │ value │ headers      (numbers are varints, 0 is null)
//! ```

use bytes::Bytes;

use crate::event::{HeaderName, Headers, Offset, Record, Timestamp};

use super::storage::LogId;

const VERSION: u32 = 1;
const HEADER_BYTES: usize = 52;
/// More than any record's bytes beyond its key, value and headers.
const RECORD_OVERHEAD: usize = 30;
/// More than a header's bytes beyond its name and value.
const HEADER_OVERHEAD: usize = 10;

/// The bytes are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

/// A sealed batch. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    /// The offset of the first record it was made with.
    pub(super) base: Offset,
    /// The offset of the last record it was made with; compaction keeps both.
    pub(super) last: Offset,
    /// When it was made.
    pub(super) time: Timestamp,
    /// The latest time of its records.
    pub(super) time_max: Timestamp,
    count: u32,
    /// The stored form.
    pub(super) bytes: Bytes,
}

/// The largest size `record` can have in a batch.
pub(super) fn encoded_bytes_max(record_bytes: usize, headers: usize) -> usize {
    record_bytes + RECORD_OVERHEAD + headers * HEADER_OVERHEAD
}

/// A batch being written.
#[derive(Debug)]
pub(super) struct Builder {
    log: LogId,
    base: Offset,
    time: Timestamp,
    time_max: Timestamp,
    count: u32,
    bytes: Vec<u8>,
}

/// What a record holds, borrowed, whether new or read back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content<'a> {
    pub(super) timestamp: Timestamp,
    pub(super) key: Option<&'a Bytes>,
    pub(super) value: Option<&'a Bytes>,
    pub(super) headers: &'a Headers,
}

impl Builder {
    /// A batch whose offsets begin at `base`, made at `time`, with room for `capacity` bytes of records.
    pub(super) fn new(log: LogId, base: Offset, time: Timestamp, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + capacity);
        bytes.resize(HEADER_BYTES, 0);
        // Age counts from the append at the earliest, however old a record says that it is.
        Self { log, base, time, time_max: time, count: 0, bytes }
    }

    /// Adds a record; offsets only grow.
    pub(super) fn push(&mut self, offset: Offset, content: Content<'_>) {
        put_number(&mut self.bytes, offset.since(self.base));
        let timestamp = content.timestamp;
        put_number(&mut self.bytes, zigzag(timestamp.millis().wrapping_sub(self.time.millis())));
        put_optional(&mut self.bytes, content.key);
        put_optional(&mut self.bytes, content.value);
        put_number(&mut self.bytes, content.headers.len() as u64);
        for (name, value) in content.headers.iter() {
            put_number(&mut self.bytes, name.len() as u64);
            self.bytes.extend_from_slice(name.as_bytes());
            put_optional(&mut self.bytes, value);
        }
        self.time_max = self.time_max.max(timestamp);
        self.count += 1;
    }

    /// Bytes so far.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The finished batch, which ends at `last`.
    pub(super) fn seal(mut self, last: Offset) -> Batch {
        let mut header = Vec::with_capacity(HEADER_BYTES - 4);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&self.log.number().to_le_bytes());
        header.extend_from_slice(&self.base.number().to_le_bytes());
        header.extend_from_slice(&last.number().to_le_bytes());
        header.extend_from_slice(&self.time.millis().to_le_bytes());
        header.extend_from_slice(&self.time_max.millis().to_le_bytes());
        header.extend_from_slice(&self.count.to_le_bytes());
        if let Some(place) = self.bytes.get_mut(4..HEADER_BYTES) {
            place.copy_from_slice(&header);
        }
        let crc = crc32c::crc32c(self.bytes.get(4..).unwrap_or_default());
        if let Some(place) = self.bytes.get_mut(..4) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        let Self { base, time, time_max, count, bytes, .. } = self;
        Batch { base, last, time, time_max, count, bytes: bytes.into() }
    }
}

impl Batch {
    /// Opens bytes that come from a disk.
    pub(super) fn open(log: LogId, bytes: Bytes) -> Result<Self, Damaged> {
        let mut at = 0;
        let crc = u32::from_le_bytes(array(&bytes, &mut at)?);
        if crc32c::crc32c(bytes.get(4..).ok_or(Damaged)?) != crc {
            return Err(Damaged);
        }
        let version = u32::from_le_bytes(array(&bytes, &mut at)?);
        let written_for = u64::from_le_bytes(array(&bytes, &mut at)?);
        let base = Offset::new(u64::from_le_bytes(array(&bytes, &mut at)?));
        let last = Offset::new(u64::from_le_bytes(array(&bytes, &mut at)?));
        let time = Timestamp::from_millis(i64::from_le_bytes(array(&bytes, &mut at)?));
        let time_max = Timestamp::from_millis(i64::from_le_bytes(array(&bytes, &mut at)?));
        let count = u32::from_le_bytes(array(&bytes, &mut at)?);
        if version != VERSION || written_for != log.number() || last < base {
            return Err(Damaged);
        }
        Ok(Self { base, last, time, time_max, count, bytes })
    }

    /// Appends the records from `from` on to `records`, until they hold `bytes_max` bytes but at least one. Answers
    /// the offset after the last one taken: the batch's end when all were.
    pub(super) fn records(
        &self,
        from: Offset,
        bytes_max: usize,
        names: &mut Names,
        records: &mut Vec<Record>,
    ) -> Result<Offset, Damaged> {
        let mut at = HEADER_BYTES;
        let mut bytes = 0;
        let before = records.len();
        for _ in 0..self.count {
            let offset = self.base.plus(number(&self.bytes, &mut at)?);
            if offset > self.last {
                return Err(Damaged);
            }
            if bytes >= bytes_max && records.len() > before {
                return Ok(offset);
            }
            let delta = unzigzag(number(&self.bytes, &mut at)?);
            let timestamp = Timestamp::from_millis(self.time.millis().wrapping_add(delta));
            let key = optional(&self.bytes, &mut at)?;
            let value = optional(&self.bytes, &mut at)?;
            let (key, value) =
                (key.map(|range| self.bytes.slice(range)), value.map(|range| self.bytes.slice(range)));
            let headers = self.headers(&mut at, names)?;
            if offset >= from {
                let record = Record { offset, timestamp, key, value, headers, decoded: None };
                bytes += record.bytes() + RECORD_OVERHEAD;
                records.push(record);
            }
        }
        Ok(self.last.next())
    }

    fn headers(&self, at: &mut usize, names: &mut Names) -> Result<Headers, Damaged> {
        let count = number(&self.bytes, at)?;
        if count == 0 {
            return Ok(Headers::default());
        }
        let mut headers = Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(64));
        for _ in 0..count {
            let length = number(&self.bytes, at)?;
            let range = range(&self.bytes, at, length)?;
            let name =
                self.bytes.get(range).and_then(|name| std::str::from_utf8(name).ok()).ok_or(Damaged)?;
            let name = names.shared(name);
            let value = optional(&self.bytes, at)?.map(|range| self.bytes.slice(range));
            headers.push((name, value));
        }
        Ok(Headers::new(headers))
    }
}

/// Header names met before, shared rather than made anew for every record.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<HeaderName>);

impl Names {
    const MAX: usize = 32;

    fn shared(&mut self, text: &str) -> HeaderName {
        if let Some(name) = self.0.iter().find(|name| &***name == text) {
            return HeaderName::clone(name);
        }
        if self.0.len() == Self::MAX {
            self.0.clear();
        }
        let name = HeaderName::from(text);
        self.0.push(HeaderName::clone(&name));
        name
    }
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "a varint takes the low seven bits at a time")]
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the loop left less than 0x80")]
    bytes.push(number as u8);
}

fn put_optional(bytes: &mut Vec<u8>, value: Option<&Bytes>) {
    match value {
        None => bytes.push(0),
        Some(value) => {
            put_number(bytes, value.len() as u64 + 1);
            bytes.extend_from_slice(value);
        }
    }
}

#[expect(clippy::cast_sign_loss, reason = "the mapping is between bit patterns")]
const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

#[expect(clippy::cast_possible_wrap, reason = "the mapping is between bit patterns")]
const fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn array<const N: usize>(bytes: &[u8], at: &mut usize) -> Result<[u8; N], Damaged> {
    let taken = bytes.get(*at..*at + N).and_then(|slice| slice.try_into().ok()).ok_or(Damaged)?;
    *at += N;
    Ok(taken)
}

fn number(bytes: &[u8], at: &mut usize) -> Result<u64, Damaged> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at).ok_or(Damaged)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Damaged)
}

fn optional(bytes: &[u8], at: &mut usize) -> Result<Option<std::ops::Range<usize>>, Damaged> {
    match number(bytes, at)? {
        0 => Ok(None),
        length => range(bytes, at, length - 1).map(Some),
    }
}

fn range(bytes: &[u8], at: &mut usize, length: u64) -> Result<std::ops::Range<usize>, Damaged> {
    let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length)).ok_or(Damaged)?;
    if end > bytes.len() {
        return Err(Damaged);
    }
    let range = *at..end;
    *at = end;
    Ok(range)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::{Strategy, any, proptest};
    use proptest::{collection, option};

    use crate::event::{HeaderName, Headers, Offset, Record, Timestamp};

    use super::super::storage::LogId;
    use super::{Batch, Builder, Content, Names, encoded_bytes_max};

    fn bytes() -> impl Strategy<Value = Bytes> {
        collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    }

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let header = ("[a-z]{0,5}", option::of(bytes()));
        let record =
            (0..3_u64, any::<i64>(), option::of(bytes()), option::of(bytes()), collection::vec(header, 0..3));
        collection::vec(record, 1..20).prop_map(|drawn| {
            let mut offset = Offset::new(1_000);
            drawn
                .into_iter()
                .map(|(skipped, millis, key, value, headers)| {
                    offset = offset.plus(skipped + 1);
                    let headers =
                        headers.into_iter().map(|(name, value)| (HeaderName::from(name), value)).collect();
                    let timestamp = Timestamp::from_millis(millis);
                    Record { offset, timestamp, key, value, headers: Headers::new(headers), decoded: None }
                })
                .collect()
        })
    }

    fn sealed(records: &[Record]) -> Batch {
        let mut builder = Builder::new(LogId::new(7), Offset::new(1_000), Timestamp::from_millis(5), 0);
        for record in records {
            let before = builder.len();
            let Record { offset, timestamp, key, value, headers, .. } = record;
            let content =
                Content { timestamp: *timestamp, key: key.as_ref(), value: value.as_ref(), headers };
            builder.push(*offset, content);
            assert!(builder.len() - before <= encoded_bytes_max(record.bytes(), headers.len()));
        }
        builder.seal(records.last().unwrap().offset.plus(3))
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were(records in records()) {
            let batch = sealed(&records);
            let opened = Batch::open(LogId::new(7), batch.bytes.clone()).unwrap();
            let mut read = Vec::new();
            let next = opened.records(Offset::ZERO, usize::MAX, &mut Names::default(), &mut read).unwrap();
            assert_eq!(read, records);
            assert_eq!(next, batch.last.next());
            let latest = records.iter().map(|record| record.timestamp).max().unwrap();
            assert_eq!(batch.time_max, latest.max(batch.time));
        }

        #[test]
        fn small_bites_from_anywhere_give_the_same(records in records(), bytes_max in 0..100_usize, skip in 0..20_usize) {
            let batch = sealed(&records);
            let opened = Batch::open(LogId::new(7), batch.bytes.clone()).unwrap();
            let first = records.get(skip).unwrap_or(&records[0]);
            let (mut read, mut next) = (Vec::new(), first.offset);
            while next <= batch.last {
                let before = read.len();
                next = opened.records(next, bytes_max, &mut Names::default(), &mut read).unwrap();
                assert!(read.len() > before || next > batch.last);
            }
            assert_eq!(read, records.iter().filter(|record| record.offset >= first.offset).cloned().collect::<Vec<_>>());
        }

        #[test]
        fn any_flipped_bit_is_noticed(records in records(), at in any::<proptest::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = sealed(&records).bytes.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            assert!(Batch::open(LogId::new(7), bytes.into()).is_err());
        }
    }

    #[test]
    fn a_batch_of_another_log_is_damage() {
        let record = Record {
            offset: Offset::new(1_000),
            timestamp: Timestamp::from_millis(0),
            key: None,
            value: None,
            headers: Headers::default(),
            decoded: None,
        };
        let batch = sealed(&[record]);
        assert!(Batch::open(LogId::new(8), batch.bytes).is_err());
    }
}
