//! Dead letters of one partition in their order: many at once, each batch when the one before it is durable.

use std::sync::Arc;

use tokio::time::sleep;

use crate::event::{GroupName, Partition};
use crate::log::{self, Append};

use super::super::dead_letters::DeadLetterId;
use super::super::shared::Shared;
use super::{
    Buried, Death, Form, RETRY_FIRST, RETRY_MAX, Written, bury, complain, count, grave, letter, reopen,
};

/// Writes letters in their order; returns when the log has all of them.
pub(in crate::delivery) async fn bury_in_order(
    shared: Arc<Shared>,
    group: GroupName,
    deaths: Vec<Death>,
) -> Vec<Buried> {
    let mut delay = RETRY_FIRST;
    while let [first, _, ..] = deaths.as_slice()
        && deaths.iter().all(|death| death.topic == first.topic)
    {
        match write_together(&shared, &group, first, &deaths).await {
            Ok(letters) => {
                let born = deaths.iter().zip(&letters).filter_map(|(death, letter)| death.born(letter));
                let born: Vec<DeadLetterId> = born.collect();
                reopen(&shared, &group, &born).await;
                let buried = deaths.into_iter().zip(letters).map(|(death, letter)| death.buried(letter.at));
                return buried.collect();
            }
            // One of them is; which, the log does not say.
            Err(log::Error::RecordTooLarge { .. }) => break,
            Err(error) => {
                complain(&shared, &group, first, &error);
                sleep(delay).await;
                delay = (delay * 2).min(RETRY_MAX);
            }
        }
    }
    let mut buried = Vec::with_capacity(deaths.len());
    for death in deaths {
        buried.push(bury(&shared, &group, death).await);
    }
    buried
}

/// Writes letters of the topic and partition of the first.
async fn write_together(
    shared: &Shared,
    group: &GroupName,
    first: &Death,
    deaths: &[Death],
) -> Result<Vec<Written>, log::Error> {
    let (topic, number) = (&first.topic, first.burial.slot.partition);
    let (letters, incarnation) = grave(shared, group, topic, number).await?;
    let (mut records, mut names) = (Vec::with_capacity(deaths.len()), Vec::with_capacity(deaths.len()));
    for death in deaths {
        let identity = death.identity(group, incarnation);
        names.push(identity.name.clone());
        records.push(letter(group, topic, identity, &death.burial, Form::Whole));
    }
    let append = Append { topic: letters, partition: Partition::new(number), records };
    let appended = shared.log.append(append).await?;
    deaths.iter().for_each(|death| count(shared, group, death, Form::Whole));
    let written =
        names.into_iter().enumerate().map(|(index, name)| Written { name, at: appended.offset(index) });
    Ok(written.collect())
}
