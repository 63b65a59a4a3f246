//! What a redrive would send back, looked at with a bound on how much is read.

use std::collections::HashSet;

use crate::event::{GroupName, Offset};

use super::super::super::Error;
use super::super::super::burial::topic_of;
use super::super::super::shared::Shared;
use super::super::reading::{Budget, Span};
use super::super::{DeadLetter, letter};
use super::pick::Pick;
use super::scope::Scope;
use super::{RedriveOf, RedriveOrder};

/// Letters that are shown.
const SAMPLE_MAX: usize = 10;

/// What a redrive would do now.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedrivePlan {
    /// The group.
    pub group: GroupName,
    /// Records that there are to look at.
    pub letters: u64,
    /// How many of them were looked at for this plan.
    pub examined: u64,
    /// Letters among those that would be sent back; the number for all where all were looked at.
    pub matched: u64,
    /// Whether all were looked at.
    pub is_exact: bool,
    /// The first of the letters.
    pub sample: Vec<DeadLetter>,
}

pub(super) async fn plan(
    shared: &Shared,
    group: &GroupName,
    order: &RedriveOrder,
) -> Result<RedrivePlan, Error> {
    let scope = Scope::of(shared, group, &order.sources, &order.of).await?;
    let filter = match &order.of {
        RedriveOf::Filter(filter) => Some(filter),
        RedriveOf::Ids(_) => None,
    };
    let pick = Pick::new(shared, group, filter);
    let letters = scope.letters();
    let mut plan = RedrivePlan {
        group: group.clone(),
        letters,
        examined: 0,
        matched: 0,
        is_exact: false,
        sample: Vec::new(),
    };
    let (mut budget, mut seen) = (Budget::new(), HashSet::new());
    for part in &scope.parts {
        let source = scope.topics.get(part.topic);
        let Some((source, name)) = source.and_then(|source| Some((source, topic_of(source, group)?))) else {
            continue;
        };
        let one_by_one = |offsets: &Vec<Offset>| offsets.iter().map(|at| (*at, at.next())).collect();
        let spans: Vec<(Offset, Offset)> =
            part.only.as_ref().map_or_else(|| vec![(part.next, part.end)], one_by_one);
        for (from, to) in spans {
            if budget.is_spent() {
                return Ok(plan);
            }
            budget.ask();
            let Some(mut span) = Span::open(&*shared.log, &name, part.partition, from, to).await? else {
                continue;
            };
            while let Some(records) = span.next(&mut budget).await? {
                for record in &records {
                    let Ok(found) = pick.letter(source, part.partition, record, &mut seen)? else { continue };
                    plan.matched += 1;
                    if plan.sample.len() < SAMPLE_MAX {
                        let standing = shared.states.read(group, &found.id)?;
                        plan.sample.extend(letter::read(group, found.id, record, standing));
                    }
                }
                let next = span.position().min(to);
                if budget.is_spent() && next < to {
                    plan.examined += next.since(from);
                    return Ok(plan);
                }
            }
            plan.examined += to.since(from);
        }
    }
    plan.is_exact = true;
    Ok(plan)
}
