//! Topics: made, changed, deleted.

use crate::event::{Offset, Partition, Topic};
use crate::log::{Bounds, Cleanup, Error, Purpose, TopicSpec};

use super::{FIRST, Subject, spec};

/// The same specification again changes nothing, and every way to ask gives the same answer.
pub async fn ensuring_again_is_a_success(subject: &Subject) {
    let spec = spec(3, Cleanup::Delete);
    let made = subject.log.ensure_topic(&spec).await.unwrap();
    assert_eq!(made.spec, spec);
    assert_eq!(subject.log.ensure_topic(&spec).await.unwrap(), made);
    assert_eq!(subject.log.topic(&spec.name).as_deref(), Some(&made));
    assert!(subject.log.topics().contains(&made));
}

/// Partitions that were there keep their records.
pub async fn ensuring_more_partitions_adds_them(subject: &Subject) {
    let fewer = spec(1, Cleanup::Delete);
    let made = subject.log.ensure_topic(&fewer).await.unwrap();
    subject.append_texts(&fewer.name, FIRST, &["kept"]).await;
    let more = TopicSpec { partitions: 3, ..fewer };
    let grown = subject.log.ensure_topic(&more).await.unwrap();
    assert_eq!((grown.spec.partitions, grown.incarnation), (3, made.incarnation));
    subject.append_texts(&more.name, Partition::new(2), &["new"]).await;
    let bounds = Bounds { start: Offset::ZERO, end: Offset::new(1) };
    assert_eq!(subject.log.bounds(&more.name, FIRST).await.unwrap(), bounds);
    assert_eq!(subject.log.bounds(&more.name, Partition::new(2)).await.unwrap(), bounds);
}

/// Neither fewer partitions nor another cleanup.
pub async fn what_a_topic_cannot_become_is_refused(subject: &Subject) {
    let made = spec(2, Cleanup::Delete);
    subject.log.ensure_topic(&made).await.unwrap();
    for refused in [
        TopicSpec { partitions: 1, ..made.clone() },
        TopicSpec { partitions: 0, ..made.clone() },
        TopicSpec { cleanup: Cleanup::Compact, ..made.clone() },
    ] {
        let error = subject.log.ensure_topic(&refused).await.unwrap_err();
        assert!(matches!(error, Error::InvalidTopic { .. }), "{error:?}");
    }
    assert_eq!(subject.log.topic(&made.name).unwrap().spec, made);
}

/// A new topic of the name is another one, and empty.
pub async fn a_deleted_topic_is_unknown_until_made_anew(subject: &Subject) {
    let spec = spec(1, Cleanup::Delete);
    let first = subject.log.ensure_topic(&spec).await.unwrap();
    subject.append_texts(&spec.name, FIRST, &["gone"]).await;
    let mut reader = subject.log.reader(&spec.name, FIRST, Offset::ZERO, Purpose::Tail).await.unwrap();
    subject.log.delete_topic(&spec.name).await.unwrap();
    assert_eq!(subject.log.topic(&spec.name), None);
    assert!(matches!(subject.log.delete_topic(&spec.name).await, Err(Error::UnknownTopic(_))));
    assert!(matches!(subject.log.bounds(&spec.name, FIRST).await, Err(Error::UnknownTopic(_))));
    assert!(reader.next(1_000).await.is_err());

    let second = subject.log.ensure_topic(&spec).await.unwrap();
    assert_ne!(first.incarnation, second.incarnation);
    let bounds = subject.log.bounds(&spec.name, FIRST).await.unwrap();
    assert_eq!(bounds, Bounds { start: Offset::ZERO, end: Offset::ZERO });
}

/// Whoever watches hears of a new topic and of a deleted one.
pub async fn changes_of_topics_are_announced(subject: &Subject) {
    let mut changes = subject.log.topic_changes();
    let topic = subject.topic(1).await;
    until(subject, &mut changes, &topic, true).await;
    subject.log.delete_topic(&topic).await.unwrap();
    until(subject, &mut changes, &topic, false).await;
}

/// Others may change topics at the same time, so a single change is not yet this one.
async fn until(
    subject: &Subject,
    changes: &mut tokio::sync::watch::Receiver<u64>,
    topic: &Topic,
    is_there: bool,
) {
    loop {
        changes.changed().await.unwrap();
        if subject.log.topic(topic).is_some() == is_there {
            return;
        }
    }
}
