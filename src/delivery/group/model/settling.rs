//! What members of the model say of deliveries, rightly and wrongly.

use std::time::Duration;

use crate::delivery::{Settlement, Tag};

use super::{BACK, Flight, World};

impl World {
    pub(super) fn settled(&mut self, tag: Tag) {
        let partition = self.partitions.get_mut(&tag.partition).unwrap();
        assert!(partition.flights.remove(&tag.offset).is_some());
        partition.settle(tag.offset);
        if tag.partition == BACK {
            self.letters.resolved(tag.offset);
        }
    }

    pub(super) fn settle_one(&mut self) -> &'static str {
        let flights = self.flights();
        let Some(flight) = self.pick(&flights) else { return "nothing in flight" };
        let is_foreign = self.below(10) == 0;
        let member = if is_foreign { flight.member + 1 } else { flight.member };
        let refused = self.group.settle(member, &Settlement::Ack(vec![flight.tag]), self.now);
        if is_foreign {
            assert_eq!(refused.len(), 1, "{flight:?} is foreign");
            return "foreign ack";
        }
        assert_eq!(refused, [], "{flight:?}");
        self.worked.insert(flight.member);
        self.settled(flight.tag);
        "ack"
    }

    pub(super) fn ack_up_to(&mut self) -> &'static str {
        let flights = self.flights();
        let Some(flight) = self.pick(&flights) else { return "nothing in flight" };
        self.worked.insert(flight.member);
        let refused = self.group.settle(flight.member, &Settlement::AckUpTo(flight.tag), self.now);
        assert_eq!(refused, []);
        let partition = &self.partitions[&flight.tag.partition];
        let its = partition.flights.range(..=flight.tag.offset).map(|(_, one)| one.clone());
        let its: Vec<Flight> = its
            .filter(|one| one.member == flight.member && one.tag.sequence <= flight.tag.sequence)
            .collect();
        for one in its {
            self.settled(one.tag);
        }
        "ack up to"
    }

    pub(super) fn nack(&mut self) -> &'static str {
        let flights = self.flights();
        let Some(flight) = self.pick(&flights) else { return "nothing in flight" };
        self.worked.insert(flight.member);
        let delay = (self.below(3) == 0).then_some(Duration::from_millis(self.below(3_000) as u64));
        let nack = Settlement::Nack { tag: flight.tag, delay, reason: None };
        assert_eq!(self.group.settle(flight.member, &nack, self.now), []);
        self.partitions.get_mut(&flight.tag.partition).unwrap().flights.remove(&flight.tag.offset);
        "nack"
    }

    pub(super) fn reject(&mut self) -> &'static str {
        let mut flights = self.flights();
        if self.parks() && self.below(4) > 0 {
            // Keys are parked behind events that never were letters.
            flights.retain(|flight| flight.tag.partition != BACK);
        }
        let Some(flight) = self.pick(&flights) else { return "nothing in flight" };
        self.worked.insert(flight.member);
        let reject = Settlement::Reject { tag: flight.tag, reason: Some("no".to_owned()) };
        assert_eq!(self.group.settle(flight.member, &reject, self.now), []);
        self.partitions.get_mut(&flight.tag.partition).unwrap().flights.remove(&flight.tag.offset);
        "reject"
    }

    pub(super) fn extend(&mut self) -> &'static str {
        let flights = self.flights();
        let Some(flight) = self.pick(&flights) else { return "nothing in flight" };
        let extend = Settlement::Extend { tag: flight.tag, by: Duration::from_secs(60) };
        assert_eq!(self.group.settle(flight.member, &extend, self.now), []);
        "extend"
    }

    /// A settlement of a delivery that is long over changes nothing.
    pub(super) fn stale(&mut self) -> &'static str {
        let flights = self.flights();
        let Some(flight) = self.pick(&flights) else { return "nothing in flight" };
        let sequence = flight.tag.sequence.saturating_sub(1);
        let old = Tag { sequence, ..flight.tag };
        assert_eq!(self.group.settle(flight.member, &Settlement::Ack(vec![old]), self.now).len(), 1);
        let unknown = Tag { sequence: u64::MAX, ..flight.tag };
        assert_eq!(self.group.settle(flight.member, &Settlement::Ack(vec![unknown]), self.now).len(), 1);
        "stale"
    }
}
