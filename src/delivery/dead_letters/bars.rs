//! Letters that died again and are not settled, as the table of dead letters knows them: later ones of their keys do not
//! pass them (`on_exhausted: park_key`).

use std::collections::BTreeMap;

use tokio::task::yield_now;

use crate::event::{GroupName, Partition};

use super::super::Error;
use super::super::redrive::Ranked;
use super::entry::{self, Entry};
use super::{DeadLetterState, States};

/// Entries looked at before others get their turn.
const STEP: usize = 500;

impl States {
    /// Those of a group by partition, from the table read to its end.
    pub(in crate::delivery) async fn bars(
        &self,
        group: &GroupName,
    ) -> Result<BTreeMap<Partition, Vec<Ranked>>, Error> {
        let (table, prefix) = (self.table()?, entry::prefix_of(group));
        table.update(|_| Ok::<_, Error>(())).await?;
        let (mut bars, mut after) = (BTreeMap::<_, Vec<_>>::new(), None);
        loop {
            let some = table.page(prefix.as_bytes(), after.as_deref(), STEP);
            let found = some.iter().filter_map(|(key, value)| {
                let entry = entry::parse(value)?;
                let rank = entry.rank.filter(|_| !entry.is_settled())?;
                let letter = std::str::from_utf8(key).ok()?.strip_prefix(&prefix)?.into();
                Some((entry.partition, Ranked { rank, letter }))
            });
            for (partition, letter) in found {
                bars.entry(partition).or_default().push(letter);
            }
            let Some((last, _)) = some.into_iter().last() else { return Ok(bars) };
            after = Some(last);
            yield_now().await;
        }
    }

    /// Whether a letter that died again is settled by now, or has gone.
    pub(in crate::delivery) fn is_out_of_the_way(&self, group: &GroupName, letter: &str) -> bool {
        let entry = self.table().map(|table| table.read(&entry::key(group, letter)));
        let entry = entry.map(|stored| stored.and_then(|stored| entry::parse(&stored)));
        entry.is_ok_and(|entry| entry.is_none_or(|entry| entry.is_settled()))
    }
}

impl Entry {
    fn is_settled(&self) -> bool {
        match self.standing.state {
            DeadLetterState::Resolved | DeadLetterState::Discarded => true,
            DeadLetterState::Open
            | DeadLetterState::Redriving
            | DeadLetterState::Redriven
            | DeadLetterState::Held => false,
        }
    }
}
