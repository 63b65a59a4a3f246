//! Letters that go back together, gathered from one read after another. Each batch costs two writes of states whatever its
//! size, so that a job without a rate goes faster the more goes together.

use super::super::super::redrive::Letter;

/// What goes together at most.
pub(super) const LETTERS_MAX: usize = 2_000;
/// Its bytes, about: one letter may go beyond.
const BYTES_MAX: usize = 4 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Batch {
    letters: Vec<Letter>,
    bytes: usize,
    /// Letters that were named and passed over meanwhile: somebody has settled them.
    settled: u64,
}

impl Batch {
    /// One that goes by itself.
    pub(super) fn push(&mut self, letter: Letter) {
        self.bytes += letter.record.bytes();
        self.letters.push(letter);
    }

    /// One that does not go.
    pub(super) const fn pass(&mut self) {
        self.settled += 1;
    }

    pub(super) fn letters(&self) -> &[Letter] {
        &self.letters
    }

    pub(super) const fn settled(&self) -> u64 {
        self.settled
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Whether it goes before more is read, where so many letters may go together.
    pub(super) const fn is_full(&self, letters_max: usize) -> bool {
        self.letters.len() >= letters_max || self.bytes >= BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::delivery::dead_letters::DeadLetterId;
    use crate::event::{Headers, Offset, Partition, Record, Timestamp, Topic};

    fn letter(bytes: usize) -> Letter {
        let record = Record {
            offset: Offset::ZERO,
            timestamp: Timestamp::from_millis(0),
            key: None,
            value: Some(Bytes::from(vec![7; bytes])),
            headers: Headers::default(),
            decoded: None,
        };
        let id =
            DeadLetterId::new("5f70bf18a086007016e948b04aed3b82", Partition::new(0), Offset::ZERO).unwrap();
        Letter { id, topic: Topic::parse("orders.v1").unwrap(), record }
    }

    #[test]
    fn a_batch_is_full_by_its_letters_or_by_their_bytes() {
        let mut batch = Batch::default();
        batch.pass();
        assert!(batch.is_empty() && !batch.is_full(1));
        batch.push(letter(10));
        assert!(!batch.is_full(2) && batch.is_full(1));
        batch.push(letter(BYTES_MAX - 11));
        assert!(!batch.is_full(LETTERS_MAX), "{}", batch.bytes);
        batch.push(letter(1));
        assert!(batch.is_full(LETTERS_MAX));
    }
}
