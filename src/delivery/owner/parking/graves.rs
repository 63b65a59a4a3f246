//! Dead letters that wait to be written, a queue for each partition: the order of keys is the order of their letters.

use std::collections::{HashMap, VecDeque};

use super::super::super::group::{Burial, Slot};

/// Letters of one append.
const LETTERS_MAX: usize = 256;
/// Bytes of their records, about.
const BYTES_MAX: usize = 512 << 10;

/// As many burials as the machine has taken records, at most.
#[derive(Debug, Default)]
pub(super) struct Graves(HashMap<Slot, Grave>);

#[derive(Debug, Default)]
struct Grave {
    waiting: VecDeque<Burial>,
    is_busy: bool,
}

impl Graves {
    pub(super) fn add(&mut self, burial: Burial) {
        self.0.entry(burial.slot).or_default().waiting.push_back(burial);
    }

    /// The next letters of a partition, to be written together; nothing while others are being written. Those of another
    /// assignment than `epoch` are left to who has the partition then.
    pub(super) fn begin(&mut self, slot: Slot, epoch: Option<u64>) -> Vec<Burial> {
        let Some(grave) = self.0.get_mut(&slot).filter(|grave| !grave.is_busy) else { return Vec::new() };
        grave.waiting.retain(|burial| Some(burial.epoch) == epoch);
        let mut bytes = 0_usize;
        let fits = |burial: &&Burial| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(burial.record.bytes().max(1));
            is_first || bytes <= BYTES_MAX
        };
        let count = grave.waiting.iter().take(LETTERS_MAX).take_while(fits).count();
        let next: Vec<Burial> = grave.waiting.drain(..count).collect();
        grave.is_busy = !next.is_empty();
        if !grave.is_busy {
            self.0.remove(&slot);
        }
        next
    }

    /// What was begun last of a partition is durable.
    pub(super) fn end(&mut self, slot: Slot) {
        if let Some(grave) = self.0.get_mut(&slot) {
            grave.is_busy = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::delivery::group::Reason;
    use crate::event::{Headers, Offset, Record, Timestamp};

    const SLOT: Slot = Slot { topic: 0, partition: 0 };

    fn burial(epoch: u64, offset: u64, bytes: usize) -> Burial {
        let time = Timestamp::from_millis(0);
        let record = Record {
            offset: Offset::new(offset),
            timestamp: time,
            key: None,
            value: Some(Bytes::from(vec![b'x'; bytes])),
            headers: Headers::default(),
            decoded: None,
        };
        Burial {
            slot: SLOT,
            epoch,
            record,
            key: None,
            parks: false,
            reason: Reason::KeyParked,
            error: None,
            attempts: 0,
            first_failed: time,
            last_failed: time,
        }
    }

    fn begin(graves: &mut Graves, epoch: u64) -> Vec<u64> {
        graves.begin(SLOT, Some(epoch)).iter().map(|one| one.record.offset.number()).collect()
    }

    #[test]
    fn letters_are_written_in_order_and_many_at_once() {
        let mut graves = Graves::default();
        (0..1_000).for_each(|offset| graves.add(burial(1, offset, 10)));
        for from in (0..1_000).step_by(LETTERS_MAX) {
            let to = (from + LETTERS_MAX as u64).min(1_000);
            assert_eq!(begin(&mut graves, 1), (from..to).collect::<Vec<_>>());
            assert_eq!(begin(&mut graves, 1), [] as [u64; 0], "one batch at a time");
            graves.end(SLOT);
        }
        assert_eq!(begin(&mut graves, 1), [] as [u64; 0]);
        assert!(graves.0.is_empty());
    }

    #[test]
    fn a_batch_is_bounded_in_bytes_and_a_large_letter_goes_alone() {
        let mut graves = Graves::default();
        for (offset, bytes) in [(0, 2 * BYTES_MAX), (1, BYTES_MAX / 2), (2, BYTES_MAX / 2), (3, 1)] {
            graves.add(burial(1, offset, bytes));
        }
        let mut batches = Vec::new();
        loop {
            let batch = begin(&mut graves, 1);
            if batch.is_empty() {
                break;
            }
            batches.push(batch);
            graves.end(SLOT);
        }
        assert_eq!(batches.concat(), [0, 1, 2, 3]);
        assert_eq!(batches[0], [0]);
    }

    #[test]
    fn letters_of_a_lost_partition_are_left_to_its_next_owner() {
        let mut graves = Graves::default();
        graves.add(burial(1, 0, 1));
        graves.add(burial(2, 0, 1));
        assert_eq!(graves.begin(SLOT, Some(2)).len(), 1);
        graves.end(SLOT);
        graves.add(burial(2, 1, 1));
        assert_eq!(graves.begin(SLOT, None).len(), 0);
    }
}
