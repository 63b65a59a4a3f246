//! Dead letters of one partition where the order of keys is kept: many at once, each batch when the one before it is
//! durable.

use std::sync::Arc;

use tokio::time::sleep;

use crate::event::{GroupName, Partition, Topic};
use crate::log::{self, Append};

use super::super::dead_letters::DeadLetterId;
use super::super::group::Burial;
use super::super::shared::Shared;
use super::{
    Buried, Death, Form, Identity, RETRY_FIRST, RETRY_MAX, bury, complain, count, grave, letter, reopen,
};

/// Writes letters in their order; returns when the log has all of them.
pub(in crate::delivery) async fn bury_in_order(
    shared: Arc<Shared>,
    group: GroupName,
    topic: Topic,
    burials: Vec<Burial>,
) -> Vec<Buried> {
    let mut delay = RETRY_FIRST;
    while burials.len() > 1 {
        match write_together(&shared, &group, &topic, &burials).await {
            Ok((buried, letters)) => {
                reopen(&shared, &group, &letters).await;
                return buried;
            }
            // One of them is; which, the log does not say.
            Err(log::Error::RecordTooLarge { .. }) => break,
            Err(error) => {
                if let Some(first) = burials.first() {
                    complain(&shared, &group, &topic, first, &error);
                }
                sleep(delay).await;
                delay = (delay * 2).min(RETRY_MAX);
            }
        }
    }
    let mut buried = Vec::with_capacity(burials.len());
    for burial in burials {
        let death = Death { topic: topic.clone(), burial: Box::new(burial), redriven: None, redrives_max: 0 };
        buried.push(bury(Arc::clone(&shared), group.clone(), death).await);
    }
    buried
}

/// Appends letters together; answers what they are.
async fn write_together(
    shared: &Shared,
    group: &GroupName,
    topic: &Topic,
    burials: &[Burial],
) -> Result<(Vec<Buried>, Vec<DeadLetterId>), log::Error> {
    let Some(first) = burials.first() else { return Ok((Vec::new(), Vec::new())) };
    let (name, incarnation) = grave(shared, group, topic, first.slot.partition).await?;
    let mut names = Vec::with_capacity(burials.len());
    let records = burials.iter().map(|burial| {
        let identity = Identity::of(group, topic, incarnation, burial);
        names.push(identity.name.clone());
        letter(group, topic, identity, burial, Form::Whole)
    });
    let records = records.collect();
    let partition = Partition::new(first.slot.partition);
    let appended = shared.log.append(Append { topic: name, partition, records }).await?;
    let buried = burials.iter().enumerate().map(|(index, burial)| {
        count(shared, group, topic, burial, Form::Whole);
        Buried::new(burial, appended.offset(index))
    });
    let letters = names.iter().enumerate();
    let letters =
        letters.filter_map(|(index, name)| DeadLetterId::new(name, partition, appended.offset(index)));
    Ok((buried.collect(), letters.collect()))
}
