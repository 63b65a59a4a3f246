//! The log of the model grows, and the group reads it.

use bytes::Bytes;

use crate::event::{Headers, Offset, Record, Timestamp};

use super::{BACK, KEYS, PARTITIONS, World, slot};

impl World {
    pub(super) fn read(&mut self) -> &'static str {
        let number = self.below(self.partitions.len()) as u32;
        if number == BACK {
            return self.read_back();
        }
        let count = 1 + self.below(8);
        let new_keys: Vec<Option<usize>> = (0..count)
            .map(|_| {
                let key = self.below(KEYS + 1);
                (key < KEYS).then_some(key)
            })
            .collect();
        let is_sparse = self.below(20) == 0;
        let partition = self.partitions.get_mut(&number).unwrap();
        let Some(reading) = partition.reading.filter(|_| !partition.is_held) else { return "held" };
        let end = partition.keys.len() as u64;
        if reading + 8 > end && end < 1_000_000 {
            partition.keys.extend(new_keys);
        }
        let end = (partition.keys.len() as u64).min(reading + count as u64);
        let is_at_end = partition.keys.len() as u64 == end;
        self.read_to(number, reading, end);
        if is_sparse && is_at_end {
            // A record that never existed: compacted away, or a transaction's marker.
            let partition = self.partitions.get_mut(&number).unwrap();
            partition.keys.push(None);
            partition.settle(end);
            partition.reading = Some(end + 1);
            return "read a gap";
        }
        "read"
    }

    /// Records that never existed, more than the span holds, and one behind them.
    pub(super) fn read_behind_a_hole(&mut self) -> &'static str {
        let number = self.below(PARTITIONS as usize) as u32;
        let hole = self.policy.span_max + 10;
        let partition = self.partitions.get_mut(&number).unwrap();
        let Some(reading) = partition.reading.filter(|_| !partition.is_held) else { return "held" };
        let end = partition.keys.len() as u64;
        self.read_to(number, reading, end);
        let partition = self.partitions.get_mut(&number).unwrap();
        for offset in end..end + hole {
            partition.keys.push(None);
            partition.settle(offset);
        }
        partition.keys.push(Some(0));
        self.read_to(number, end + hole, end + hole + 1);
        "read behind a hole"
    }

    pub(super) fn read_to(&mut self, number: u32, from: u64, to: u64) {
        let partition = self.partitions.get_mut(&number).unwrap();
        let records = (from..to).map(|offset| Record {
            offset: Offset::new(offset),
            timestamp: Timestamp::from_millis(5),
            key: partition.keys[offset as usize]
                .map(|key| Bytes::copy_from_slice(&[u8::try_from(key).unwrap()])),
            value: None,
            headers: Headers::default(),
            decoded: None,
        });
        let records = records.collect();
        partition.reading = Some(to);
        self.group.records(slot(number), records, self.now);
    }
}
