//! Dead letters that wait to be written, a queue for each partition: the order of keys is the order of their letters. What
//! cannot be written is given up when its assignment is over: the record is another owner's then, which buries it anew.

use std::collections::{HashMap, VecDeque};

use tokio_util::sync::CancellationToken;

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
    writing: Option<Writing>,
}

/// Letters that are being written.
#[derive(Debug)]
struct Writing {
    epoch: u64,
    given_up: CancellationToken,
}

impl Graves {
    pub(super) fn add(&mut self, burial: Burial) {
        self.0.entry(burial.slot).or_default().waiting.push_back(burial);
    }

    /// The next letters of a partition, to be written together until that is given up; nothing while others are being written.
    /// Those of another assignment than `epoch` are left to who has the partition then.
    pub(super) fn begin(
        &mut self,
        slot: Slot,
        epoch: Option<u64>,
    ) -> Option<(Vec<Burial>, CancellationToken)> {
        let grave = self.0.get_mut(&slot).filter(|grave| grave.writing.is_none())?;
        grave.waiting.retain(|burial| Some(burial.epoch) == epoch);
        let mut bytes = 0_usize;
        let fits = |burial: &&Burial| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(burial.record.bytes().max(1));
            is_first || bytes <= BYTES_MAX
        };
        let count = grave.waiting.iter().take(LETTERS_MAX).take_while(fits).count();
        let next: Vec<Burial> = grave.waiting.drain(..count).collect();
        let Some(epoch) = next.first().map(|burial| burial.epoch) else {
            self.0.remove(&slot);
            return None;
        };
        let given_up = CancellationToken::new();
        grave.writing = Some(Writing { epoch, given_up: given_up.clone() });
        Some((next, given_up))
    }

    /// What was begun last of a partition is durable, or given up.
    pub(super) fn end(&mut self, slot: Slot) {
        if let Some(grave) = self.0.get_mut(&slot) {
            grave.writing = None;
        }
    }

    /// Gives up what is being written of assignments that are over. A letter may be durable all the same: its next owner writes
    /// it again, as the same letter.
    pub(super) fn give_up(&self, epoch_of: impl Fn(Slot) -> Option<u64>) {
        for (slot, grave) in &self.0 {
            if let Some(writing) = grave.writing.as_ref().filter(|one| epoch_of(*slot) != Some(one.epoch)) {
                writing.given_up.cancel();
            }
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
        let begun = graves.begin(SLOT, Some(epoch)).into_iter().flat_map(|(burials, _)| burials);
        begun.map(|one| one.record.offset.number()).collect()
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
        assert_eq!(begin(&mut graves, 2), [0]);
        graves.end(SLOT);
        graves.add(burial(2, 1, 1));
        assert!(graves.begin(SLOT, None).is_none());
    }

    #[test]
    fn what_is_being_written_is_given_up_when_its_assignment_is_over() {
        for (now, is_over) in [(Some(1), false), (Some(2), true), (None, true)] {
            let mut graves = Graves::default();
            graves.add(burial(1, 0, 1));
            let (_, given_up) = graves.begin(SLOT, Some(1)).unwrap();
            graves.give_up(|_| now);
            assert_eq!(given_up.is_cancelled(), is_over, "{now:?}");
        }
    }
}
