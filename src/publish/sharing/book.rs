//! Who holds which idempotency key: a pure machine over claims in the order of the log, with time as a parameter.
//!
//! A claim is live from its record until it is released or its lease is over. Of the live claims of a key the one that
//! comes first in the log holds it. Every gateway sees the same order, so of those who claim at once one holds the key,
//! and each knows which once it has read its own claim.
//!
//! A lease is counted without comparing clocks: whoever claims counts from before the record was sent, everybody
//! else from when they read it, which is later. So nobody takes a key over before its holder has given it up.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::super::answers::ClaimId;

/// One claim of a key: whose it is, and which of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Claimant {
    /// One life of a gateway.
    pub(super) run: u128,
    pub(super) sequence: u64,
}

/// A live claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) claimant: Claimant,
    /// Of its request.
    pub(super) fingerprint: [u8; 32],
    /// When it ends by itself.
    pub(super) until: Instant,
}

/// The live claims.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Of each key in the order of the log.
    claims: HashMap<ClaimId, Vec<Held>>,
    /// Own claims whose records have not been read yet, and when they end.
    sent: HashMap<Claimant, Instant>,
}

impl Book {
    /// A claim of this gateway is about to be sent.
    pub(super) fn send(&mut self, claimant: Claimant, until: Instant) {
        self.sent.insert(claimant, until);
    }

    /// A claim of this gateway is given up; its record may still come.
    pub(super) fn give_up(&mut self, id: &ClaimId, claimant: Claimant) {
        self.sent.remove(&claimant);
        self.released(id, claimant);
    }

    /// A claim of this gateway's life was read; one that was given up by then is passed over.
    pub(super) fn claimed_here(&mut self, id: ClaimId, claimant: Claimant, fingerprint: [u8; 32]) {
        if let Some(until) = self.sent.remove(&claimant) {
            self.enter(id, Held { claimant, fingerprint, until });
        }
    }

    /// Another one's claim was read, that ends after `left`.
    pub(super) fn claimed_elsewhere(
        &mut self,
        id: ClaimId,
        claimant: Claimant,
        fingerprint: [u8; 32],
        now: Instant,
        left: Duration,
    ) {
        if !left.is_zero() {
            self.enter(id, Held { claimant, fingerprint, until: now + left });
        }
    }

    /// The release of a claim was read.
    pub(super) fn released(&mut self, id: &ClaimId, claimant: Claimant) {
        if let Some(claims) = self.claims.get_mut(id) {
            claims.retain(|held| held.claimant != claimant);
            if claims.is_empty() {
                self.claims.remove(id);
            }
        }
    }

    /// Forgets claims that are over.
    pub(super) fn forget(&mut self, now: Instant) {
        self.claims.retain(|_, claims| {
            claims.retain(|held| held.until > now);
            !claims.is_empty()
        });
    }

    /// Who holds a key.
    pub(super) fn holder(&self, id: &ClaimId, now: Instant) -> Option<Held> {
        self.claims.get(id)?.iter().find(|held| held.until > now).copied()
    }

    /// How many keys are claimed, or are about to be.
    pub(super) fn len(&self) -> usize {
        self.claims.len() + self.sent.len()
    }

    /// A claim read again, after the table was, keeps its place.
    fn enter(&mut self, id: ClaimId, held: Held) {
        let claims = self.claims.entry(id).or_default();
        if claims.iter().all(|known| known.claimant != held.claimant) {
            claims.push(held);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, proptest};
    use proptest::prop_oneof;
    use tokio::time::Instant;

    use super::super::super::answers::ClaimId;
    use super::{Book, Claimant, Held};

    const LEASE: Duration = Duration::from_secs(60);
    const KEY: ClaimId = ClaimId([7; 32]);
    const GATEWAYS: usize = 3;

    /// What the log holds.
    #[derive(Debug, Clone, Copy)]
    enum Entry {
        Claim(Claimant),
        Release(Claimant),
    }

    #[derive(Debug, Default)]
    struct Gateway {
        run: u128,
        book: Book,
        read: usize,
        /// Claims sent and not judged, with their place in the log.
        open: Vec<(Claimant, usize, Instant)>,
        /// The claim it runs by, and until when it may.
        running: Option<(Claimant, Instant)>,
        sequence: u64,
    }

    #[derive(Debug, Clone)]
    enum Step {
        Claim(usize),
        Read(usize),
        Finish(usize),
        Kill(usize),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let gateway = 0..GATEWAYS;
        prop_oneof![
            4 => gateway.clone().prop_map(Step::Claim),
            8 => gateway.clone().prop_map(Step::Read),
            3 => gateway.clone().prop_map(Step::Finish),
            1 => gateway.prop_map(Step::Kill),
            2 => (0..70_u64).prop_map(Step::Wait),
            1 => Just(Step::Wait(60)),
        ]
    }

    struct World {
        log: Vec<Entry>,
        gateways: Vec<Gateway>,
        now: Instant,
        /// How many lives of gateways there were.
        lives: u128,
    }

    impl World {
        fn new() -> Self {
            let life = |run| Gateway { run, ..Gateway::default() };
            let lives = GATEWAYS as u128;
            let gateways = (0..lives).map(life).collect();
            Self { log: Vec::new(), gateways, now: Instant::now(), lives }
        }

        fn claim(&mut self, index: usize) {
            let (now, place) = (self.now, self.log.len());
            let gateway = &mut self.gateways[index];
            if gateway.running.is_some_and(|(_, until)| until > now) || !gateway.open.is_empty() {
                return;
            }
            gateway.sequence += 1;
            let claimant = Claimant { run: gateway.run, sequence: gateway.sequence };
            gateway.book.send(claimant, now + LEASE);
            gateway.open.push((claimant, place, now + LEASE));
            self.log.push(Entry::Claim(claimant));
        }

        /// Reads one entry, and judges what can be judged. The answer is whether it began to run.
        fn read(&mut self, index: usize) -> bool {
            let now = self.now;
            let gateway = &mut self.gateways[index];
            let run = gateway.run;
            let Some(entry) = self.log.get(gateway.read) else { return false };
            gateway.read += 1;
            match *entry {
                Entry::Claim(claimant) if claimant.run == run => {
                    gateway.book.claimed_here(KEY, claimant, [0; 32]);
                }
                Entry::Claim(claimant) => {
                    gateway.book.claimed_elsewhere(KEY, claimant, [0; 32], now, LEASE);
                }
                Entry::Release(claimant) => gateway.book.released(&KEY, claimant),
            }
            let Some(&(claimant, place, until)) = gateway.open.first() else { return false };
            if gateway.read <= place {
                return false;
            }
            gateway.open.clear();
            let holder = gateway.book.holder(&KEY, now);
            if holder == Some(Held { claimant, fingerprint: [0; 32], until }) {
                gateway.running = Some((claimant, until));
                return true;
            }
            gateway.book.give_up(&KEY, claimant);
            self.log.push(Entry::Release(claimant));
            false
        }

        fn finish(&mut self, index: usize) {
            if let Some((claimant, _)) = self.gateways[index].running.take() {
                self.gateways[index].book.give_up(&KEY, claimant);
                self.log.push(Entry::Release(claimant));
            }
        }

        fn kill(&mut self, index: usize) {
            self.gateways[index] = Gateway { run: self.lives, ..Gateway::default() };
            self.lives += 1;
        }

        fn running(&self) -> usize {
            let is_running = |gateway: &&Gateway| gateway.running.is_some_and(|(_, until)| until > self.now);
            self.gateways.iter().filter(is_running).count()
        }
    }

    proptest! {
        #[test]
        fn never_do_two_hold_a_key_at_once_whatever_the_order(steps in vec(step(), 1..200)) {
            let mut world = World::new();
            for step in steps {
                match step {
                    Step::Claim(index) => world.claim(index),
                    Step::Read(index) => drop(world.read(index)),
                    Step::Finish(index) => world.finish(index),
                    Step::Kill(index) => world.kill(index),
                    Step::Wait(seconds) => world.now += Duration::from_secs(seconds),
                }
                assert!(world.running() <= 1);
            }
        }

        #[test]
        fn of_those_who_claim_at_once_exactly_one_gets_the_key(
            order in vec(0..GATEWAYS, 1..6),
            reads in vec(0..GATEWAYS, 0..40),
        ) {
            let mut world = World::new();
            order.iter().for_each(|&index| world.claim(index));
            let mut winners = 0;
            let rest = (0..GATEWAYS).flat_map(|index| [index; 20]);
            for index in reads.into_iter().chain(rest) {
                winners += usize::from(world.read(index));
            }
            assert_eq!((winners, world.running()), (1, 1));
            assert!(world.gateways[order[0]].running.is_some(), "the first in the log");
        }
    }

    #[test]
    fn a_claim_given_up_before_its_record_came_is_nobodys() {
        let (mut book, now) = (Book::default(), Instant::now());
        let claimant = Claimant { run: 1, sequence: 1 };
        book.send(claimant, now + LEASE);
        book.give_up(&KEY, claimant);
        book.claimed_here(KEY, claimant, [0; 32]);
        assert_eq!((book.holder(&KEY, now), book.len()), (None, 0));
    }

    #[test]
    fn claims_that_are_over_are_forgotten() {
        let (mut book, now) = (Book::default(), Instant::now());
        for sequence in 0..3 {
            let claimant = Claimant { run: 1, sequence };
            book.claimed_elsewhere(KEY, claimant, [0; 32], now, LEASE);
        }
        book.forget(now + LEASE - Duration::from_millis(1));
        assert_eq!(book.len(), 1);
        book.forget(now + LEASE);
        assert_eq!(book.len(), 0);
    }
}
