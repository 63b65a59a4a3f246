//! What a group's members settled, what was committed for it, and who held what meanwhile.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::history::{Deed, Entry, Kind};
use crate::is_long;

use super::{Case, Finding, GROUP, finding};

/// Microseconds that a delivery may be on its way: the line that tells the loss is read from a file, the frame that left before
/// it from a socket. Where evidence is wanted, and on a machine that does other things, on which readers may come late.
fn on_its_way_max() -> u64 {
    if is_long() { 500_000 } else { 10_000_000 }
}

/// The committed offset passes an event that nobody had settled by then. Commits are looked at five times a second, so what
/// is settled between a commit and the next look passes; some workers settle late enough that little is.
pub(super) fn commit_ahead(case: &Case) -> Vec<Finding> {
    let mut settled: HashMap<(i32, i64), u64> = HashMap::new();
    for (position, all) in settlements(case) {
        if let Some(first) = all.iter().map(|settlement| settlement.invoked).min() {
            settled.insert(position, first);
        }
    }
    let offsets = case.offsets();
    let mut findings = Vec::new();
    for entry in case.of(Deed::Commit, Kind::Ok) {
        let Some((part, committed)) = entry.position() else { continue };
        let before = offsets.get(&part).into_iter().flatten().filter(|off| **off < committed);
        let kept = before.filter(|off| !case.removed.contains(&(part, **off)));
        let unsettled = kept.filter(|off| settled.get(&(part, **off)).is_none_or(|at| *at > entry.t_mono));
        for off in unsettled {
            findings.push(finding("commit-ahead", GROUP, format!("{committed} of {part} passes {off}")));
        }
    }
    findings
}

/// A member is given something of a partition while another one still holds, and settles afterwards, a delivery of it.
///
/// A gateway that the group's coordinator has not heard for the session's length loses its partitions without knowing. What
/// its members held, and what it gave them, until it heard of that is no finding; nothing else of theirs is excused.
pub(super) fn dual_owner(case: &Case) -> Vec<Finding> {
    let is_turn = |entry: &&Entry| matches!(entry.f, Deed::Assign | Deed::Close | Deed::Lose);
    let turns: Vec<&Entry> = case.history.iter().filter(is_turn).collect();
    let mut claims: BTreeMap<i32, Vec<Claim<'_>>> = BTreeMap::new();
    for claim in claims_of(case).into_iter().filter(|claim| !claim.was_lost(&turns)) {
        claims.entry(claim.part).or_default().push(claim);
    }
    let mut findings = Vec::new();
    for entry in case.of(Deed::Deliver, Kind::Ok) {
        let Some((part, off)) = entry.position() else { continue };
        let others = claims.get(&part).into_iter().flatten();
        let holder = others
            .into_iter()
            .find(|claim| claim.by != entry.proc && claim.since < entry.t_mono && entry.t_mono < claim.until);
        let given = Claim { by: &entry.proc, part, off, since: entry.t_mono, until: entry.t_mono };
        if let Some(Claim { by, off: holding, .. }) = holder.filter(|_| !given.was_lost_and_told(&turns)) {
            let what = format!("{} got {part}/{off} while {by} held {part}/{holding}", entry.proc);
            findings.push(finding("dual-owner", GROUP, what));
        }
    }
    findings
}

/// A delivery that a member had from `since`, and settled at `until` so that it counted.
struct Claim<'a> {
    by: &'a str,
    part: i32,
    off: i64,
    since: u64,
    until: u64,
}

fn claims_of(case: &Case) -> Vec<Claim<'_>> {
    let mut delivered: HashMap<(&str, (i32, i64)), u64> = HashMap::new();
    for entry in case.of(Deed::Deliver, Kind::Ok) {
        let Some(position) = entry.position() else { continue };
        delivered.insert((&entry.proc, position), entry.t_mono);
    }
    let settlements = settlements(case);
    let mut claims = Vec::new();
    for ((by, (part, off)), since) in delivered {
        let all = settlements.get(&(part, off)).into_iter().flatten();
        let own = all.filter(|one| one.by == by && one.is_applied && one.invoked > since);
        claims.extend(own.map(|one| Claim { by, part, off, since, until: one.invoked }));
    }
    claims
}

impl Claim<'_> {
    /// Whether the gateway lost the partition while the member had it, and had not heard so.
    fn was_lost(&self, turns: &[&Entry]) -> bool {
        self.was_lost_after(self.until, turns)
    }

    /// The same of what was given, and the member was told that it works on the partition no longer.
    fn was_lost_and_told(&self, turns: &[&Entry]) -> bool {
        self.end(turns).is_some() && self.was_lost_after(self.since.saturating_sub(on_its_way_max()), turns)
    }

    fn was_lost_after(&self, time: u64, turns: &[&Entry]) -> bool {
        let Some((_, gateway)) = self.by.split_once('@') else { return false };
        let end = self.end(turns).unwrap_or(u64::MAX);
        let mut later = turns.iter().filter(|turn| turn.t_mono > time);
        later.any(|turn| turn.f == Deed::Lose && turn.proc == gateway && turn.t_mono <= end)
    }

    /// When the member heard that it works on the partition no longer, or its connection ended.
    fn end(&self, turns: &[&Entry]) -> Option<u64> {
        let is_over = |turn: &Entry| turn.f == Deed::Close || !assigns(turn, self.part);
        let mut later = turns.iter().filter(|turn| turn.t_mono > self.until);
        later.find(|turn| turn.proc == self.by && is_over(turn)).map(|turn| turn.t_mono)
    }
}

/// Whether an assignment, as members are told it, has this partition.
fn assigns(entry: &Entry, part: i32) -> bool {
    let topics: HashMap<String, Vec<i32>> = serde_json::from_str(&entry.note).unwrap();
    topics.values().any(|parts| parts.contains(&part))
}

/// Deliveries of what someone had settled before.
pub(super) fn redelivered(case: &Case) -> usize {
    let mut settled = HashSet::new();
    let mut count = 0;
    for entry in &case.history {
        let Some(position) = entry.position() else { continue };
        if entry.is(Deed::Ack, Kind::Ok) {
            settled.insert(position);
        } else if entry.is(Deed::Deliver, Kind::Ok) && settled.contains(&position) {
            count += 1;
        }
    }
    count
}

/// A settlement that may count. It does so from when it was sent.
struct Settlement<'a> {
    invoked: u64,
    by: &'a str,
    /// Whether it was answered as applied.
    is_applied: bool,
}

/// The settlements of each position, without those that were refused.
fn settlements(case: &Case) -> HashMap<(i32, i64), Vec<Settlement<'_>>> {
    let mut settlements: HashMap<(i32, i64), Vec<Settlement<'_>>> = HashMap::new();
    for entry in case.history.iter().filter(|entry| entry.f == Deed::Ack) {
        let Some(position) = entry.position() else { continue };
        let all = settlements.entry(position).or_default();
        let last = all.iter().rposition(|settlement| settlement.by == entry.proc);
        match (entry.kind, last) {
            (Kind::Invoke, _) => {
                all.push(Settlement { invoked: entry.t_mono, by: &entry.proc, is_applied: false });
            }
            (Kind::Ok, Some(last)) => all[last].is_applied = true,
            (Kind::Fail, Some(last)) => drop(all.remove(last)),
            (Kind::Ok | Kind::Fail, None) | (Kind::Info, _) => {}
        }
    }
    settlements
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, deliver, group};
    use super::{Deed, Entry, Kind, commit_ahead, dual_owner, on_its_way_max, redelivered};

    fn ack(off: i64, kind: Kind) -> Entry {
        at(Deed::Ack, kind, "", (0, off))
    }

    #[test]
    fn a_commit_passes_only_what_was_settled_before() {
        let commit = |off| Entry::new(Deed::Commit, Kind::Ok).at(0, off);
        let settled = [("w", deliver(0)), ("w", ack(0, Kind::Invoke)), ("c", commit(1))];
        assert_eq!(commit_ahead(&group(&settled)), []);
        let ahead =
            [("w", deliver(0)), ("w", ack(0, Kind::Invoke)), ("c", commit(2)), ("w", ack(1, Kind::Invoke))];
        assert_eq!(commit_ahead(&group(&ahead)).len(), 1);
        let refused = [("w", ack(0, Kind::Invoke)), ("w", ack(0, Kind::Fail)), ("c", commit(1))];
        assert_eq!(commit_ahead(&group(&refused)).len(), 1);
    }

    #[test]
    fn a_partition_has_one_holder() {
        let both = [
            ("w0.1", deliver(0)),
            ("w1.1", deliver(0)),
            ("w0.1", ack(0, Kind::Invoke)),
            ("w0.1", ack(0, Kind::Ok)),
        ];
        assert_eq!(dual_owner(&group(&both)).len(), 1);
        let refused = [
            ("w0.1", deliver(0)),
            ("w1.1", deliver(0)),
            ("w0.1", ack(0, Kind::Invoke)),
            ("w0.1", ack(0, Kind::Fail)),
        ];
        assert_eq!(dual_owner(&group(&refused)), []);
        let one_after_the_other = [
            ("w0.1", deliver(0)),
            ("w0.1", ack(0, Kind::Invoke)),
            ("w1.1", deliver(1)),
            ("w0.1", ack(0, Kind::Ok)),
            ("w1.1", ack(1, Kind::Invoke)),
        ];
        assert_eq!(dual_owner(&group(&one_after_the_other)), []);
    }

    #[test]
    fn a_gateway_may_hold_what_it_lost_until_it_hears_so() {
        let (one, other, gateway) = ("w0.1@gateway0", "w1.1@gateway1", "gateway0");
        let assigned = |parts: &str| Entry::new(Deed::Assign, Kind::Ok).note(format!("{{\"t\":[{parts}]}}"));
        let lost = || Entry::new(Deed::Lose, Kind::Ok);
        let held = || {
            vec![
                (one, assigned("0,1")),
                (one, deliver(0)),
                (other, deliver(0)),
                (one, ack(0, Kind::Invoke)),
                (one, ack(0, Kind::Ok)),
            ]
        };
        let heard = [held(), vec![(gateway, lost()), (one, assigned(""))]].concat();
        assert_eq!(dual_owner(&group(&heard)), []);
        let was_other = [held(), vec![("gateway1", lost()), (one, assigned(""))]].concat();
        assert_eq!(dual_owner(&group(&was_other)).len(), 1, "the other gateway lost it");
        let was_revoked = [held(), vec![(one, assigned("1")), (gateway, lost())]].concat();
        assert_eq!(dual_owner(&group(&was_revoked)).len(), 1, "it was given back before something was lost");
        let went_on = [
            (one, deliver(0)),
            (gateway, lost()),
            (other, deliver(0)),
            (one, ack(0, Kind::Invoke)),
            (one, ack(0, Kind::Ok)),
        ];
        assert_eq!(dual_owner(&group(&went_on)).len(), 1, "it had heard");
    }

    #[test]
    fn a_gateway_may_give_what_it_lost_until_it_hears_so() {
        let (one, other, gateway) = ("w0.1@gateway0", "w1.1@gateway1", "gateway0");
        let assigned = |parts: &str| Entry::new(Deed::Assign, Kind::Ok).note(format!("{{\"t\":[{parts}]}}"));
        let lost = || (gateway, Entry::new(Deed::Lose, Kind::Ok));
        let settled = || vec![(other, ack(1, Kind::Invoke)), (other, ack(1, Kind::Ok))];
        let held = || vec![(one, assigned("0")), (other, deliver(1))];
        let given = || vec![(one, deliver(0))];
        let unheard = [held(), given(), settled(), vec![lost(), (one, assigned(""))]].concat();
        assert_eq!(dual_owner(&group(&unheard)), []);
        let heard = [held(), vec![lost()], given(), settled()].concat();
        assert_eq!(dual_owner(&group(&heard)).len(), 1, "it had heard");
        let on_its_way = [held(), vec![lost()], given(), settled(), vec![(one, assigned(""))]].concat();
        assert_eq!(dual_owner(&group(&on_its_way)), []);
        let mut late = group(&on_its_way);
        late.history.iter_mut().for_each(|entry| entry.t_mono *= on_its_way_max());
        assert_eq!(dual_owner(&late).len(), 1, "it had heard long before");
        let revoked = [held(), given(), settled(), vec![(one, assigned("")), lost()]].concat();
        assert_eq!(dual_owner(&group(&revoked)).len(), 1, "it was given back before something was lost");
        let kept = [held(), given(), settled(), vec![(one, assigned(""))]].concat();
        assert_eq!(dual_owner(&group(&kept)).len(), 1, "nothing was lost");
    }

    #[test]
    fn deliveries_after_a_settlement_are_counted() {
        let lines =
            [("w0.1", deliver(0)), ("w0.1", ack(0, Kind::Ok)), ("w1.1", deliver(0)), ("w1.1", deliver(1))];
        assert_eq!(redelivered(&group(&lines)), 1);
    }
}
