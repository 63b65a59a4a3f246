//! All request bodies at once, under one bound: each has its own limit, and together they have this one.
//!
//! Bytes count from when they arrive, so that a client which announces much and sends nothing takes no room, until
//! whoever held the body last lets go of it. What finds no room is refused and surely not stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::problem::{Code, Problem};
use crate::telemetry::Gauge;

use super::LiveLimits;

/// The room that all bodies share. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Bodies(Arc<Room>);

#[derive(Debug)]
struct Room {
    limits: LiveLimits,
    held: AtomicUsize,
    fill: Gauge,
}

/// What one body takes of it, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    bytes: usize,
}

impl Bodies {
    /// Room for as many bytes as the limits say; `fill` shows how many are taken.
    pub(super) fn new(limits: LiveLimits, fill: Gauge) -> Self {
        Self(Arc::new(Room { limits, held: AtomicUsize::new(0), fill }))
    }

    /// The share of a body of which nothing has come yet.
    pub(super) fn share(&self) -> Share {
        Share { room: Arc::clone(&self.0), bytes: 0 }
    }
}

impl Share {
    /// Takes room for bytes that have arrived.
    ///
    /// # Errors
    /// `overloaded` where there is none; the share stays as it is.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let room = &self.room;
        let bytes_max = room.limits.load().bodies_bytes_max;
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= bytes_max);
        if room.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_err() {
            return Err(full());
        }
        room.fill.add(amount(bytes));
        self.bytes += bytes;
        Ok(())
    }

    /// Whether so many bytes more would find room now; takes none.
    ///
    /// # Errors
    /// `overloaded` where they would not.
    pub(super) fn check(&self, bytes: usize) -> Result<(), Problem> {
        let held = self.room.held.load(Ordering::Acquire);
        let bytes_max = self.room.limits.load().bodies_bytes_max;
        if held.saturating_add(bytes) > bytes_max { Err(full()) } else { Ok(()) }
    }

    /// Gives all room back.
    pub(super) fn clear(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.room.held.fetch_sub(bytes, Ordering::AcqRel);
        self.room.fill.sub(amount(bytes));
    }

    /// These bytes with their share, which lasts as long as any part of them.
    pub(super) fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held { bytes, _share: self })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

struct Held {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn full() -> Problem {
    let detail = "too many request bodies are being read at once; nothing of this one was stored";
    Problem::new(Code::Overloaded, detail)
}

fn amount(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{Limits, LiveLimits};
    use super::{Bodies, Gauge};
    use crate::problem::Code;
    use crate::telemetry::Registry;

    fn room(bodies_bytes_max: usize, fill: &Gauge) -> (LiveLimits, Bodies) {
        let limits = LiveLimits::new(Limits { bodies_bytes_max, ..Limits::for_tests() });
        (limits.clone(), Bodies::new(limits, fill.clone()))
    }

    #[test]
    fn bodies_fill_their_room_and_not_a_byte_more() {
        let fill = Registry::new().gauge("fill", "Bytes.");
        let (limits, bodies) = room(10, &fill);
        let (mut one, mut other) = (bodies.share(), bodies.share());
        one.grow(6).unwrap();
        assert_eq!(other.grow(5).unwrap_err().code, Code::Overloaded);
        assert_eq!(other.check(5).unwrap_err().code, Code::Overloaded);
        assert!(other.check(4).is_ok());
        other.grow(4).unwrap();
        assert_eq!(fill.get(), 10);
        assert!(one.grow(1).is_err());
        drop(other);
        one.grow(4).unwrap();
        assert_eq!(fill.get(), 10);
        limits.replace(Limits { bodies_bytes_max: 12, ..Limits::for_tests() });
        one.grow(2).unwrap();
    }

    #[test]
    fn a_share_lasts_as_long_as_any_part_of_its_body() {
        let fill = Registry::new().gauge("fill", "Bytes.");
        let (_, bodies) = room(10, &fill);
        let mut share = bodies.share();
        share.grow(4).unwrap();
        let body = share.hold(Bytes::from_static(b"abcd"));
        let part = body.slice(1..2);
        drop(body);
        assert_eq!((fill.get(), &part[..]), (4, &b"b"[..]));
        drop(part);
        assert_eq!(fill.get(), 0);
        bodies.share().grow(10).unwrap();
    }
}
