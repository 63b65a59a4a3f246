//! A record held in memory, with the frames made of it.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{Offset, Partition, Record, Storage, Topic};

use super::meter::Meter;
use super::{Frame, SubscriptionId};

/// What an entry occupies besides the bytes of the record.
const ENTRY_OVERHEAD_BYTES: usize = 256;
/// What a frame occupies besides its JSON.
const FRAME_OVERHEAD_BYTES: usize = 128;

/// A record held for those who read it about now. Frames are encoded at the first wish, kept while the entry is
/// held, and metered like the record itself.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Record,
    pub(super) storage: Storage,
    /// Guards the frames and whether more may be kept.
    frames: Mutex<Frames>,
    meter: Arc<Meter>,
}

#[derive(Debug, Default)]
struct Frames {
    /// Sorted by subscription id.
    kept: Vec<(SubscriptionId, Arc<Frame>)>,
    bytes: usize,
    is_released: bool,
}

impl Entry {
    pub(super) fn new(record: Record, storage: Storage, meter: &Arc<Meter>) -> Self {
        let bytes = record.bytes() + ENTRY_OVERHEAD_BYTES;
        meter.add(bytes);
        let frames = Mutex::new(Frames { bytes, ..Frames::default() });
        Self { record, storage, frames, meter: Arc::clone(meter) }
    }

    /// The frame for this subscription id, the same one for every caller while the entry is held.
    pub(super) fn frame(&self, sub: SubscriptionId, topic: &Topic, partition: Partition) -> Arc<Frame> {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let place = frames.kept.partition_point(|(kept, _)| *kept < sub);
        if let Some((kept, frame)) = frames.kept.get(place)
            && *kept == sub
        {
            return Arc::clone(frame);
        }
        let frame = Arc::new(frames.kept.first().map_or_else(
            || Frame::encode(sub, topic, partition, &self.record, self.storage),
            |(_, other)| other.for_sub(sub),
        ));
        if !frames.is_released {
            let bytes = frame.socket_json.len() + FRAME_OVERHEAD_BYTES;
            self.meter.add(bytes);
            frames.bytes += bytes;
            frames.kept.insert(place, (sub, Arc::clone(&frame)));
        }
        frame
    }

    /// The holder lets go: frames are no longer kept, and nothing is metered any more.
    pub(super) fn release(&self) {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.is_released = true;
        frames.kept = Vec::new();
        self.meter.subtract(mem::take(&mut frames.bytes));
    }

    pub(super) const fn offset(&self) -> Offset {
        self.record.offset
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.release();
    }
}
