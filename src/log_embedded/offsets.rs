//! Committed offsets as entries of the store, in the same transactions as the records.

use crate::event::{GroupName, Offset, Partition, Topic};
use crate::log::Committed;

/// What every key begins with.
pub(super) const PREFIX: &[u8] = b"o";
/// In no name of a group or a topic.
const SEPARATOR: u8 = 0;

/// What the keys of a group begin with.
pub(super) fn group_prefix(group: &GroupName) -> Vec<u8> {
    [PREFIX, group.as_str().as_bytes(), &[SEPARATOR]].concat()
}

/// What the keys of a group in a topic begin with.
pub(super) fn topic_prefix(group: &GroupName, topic: &Topic) -> Vec<u8> {
    [&*group_prefix(group), topic.as_str().as_bytes(), &[SEPARATOR]].concat()
}

/// The key of a group's place in a partition.
pub(super) fn key(group: &GroupName, topic: &Topic, partition: Partition) -> Vec<u8> {
    [&*topic_prefix(group, topic), &partition.number().to_be_bytes()].concat()
}

/// What a key names; `None` when it is no such key.
pub(super) fn parse_key(key: &[u8]) -> Option<(GroupName, Topic, Partition)> {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let mut parts = key.strip_prefix(PREFIX)?.splitn(3, |byte| *byte == SEPARATOR);
    let group = GroupName::parse(text(parts.next()?)?).ok()?;
    let topic = Topic::parse(text(parts.next()?)?).ok()?;
    let partition = Partition::new(u32::from_be_bytes(parts.next()?.try_into().ok()?));
    Some((group, topic, partition))
}

/// The value of a place.
pub(super) fn value(committed: &Committed) -> Vec<u8> {
    [&committed.offset.number().to_be_bytes(), committed.metadata.as_bytes()].concat()
}

/// The place a value tells; `None` when it is no such value.
pub(super) fn parse_value(value: &[u8]) -> Option<Committed> {
    let (offset, metadata) = value.split_first_chunk()?;
    let metadata = std::str::from_utf8(metadata).ok()?.to_owned();
    Some(Committed { offset: Offset::new(u64::from_be_bytes(*offset)), metadata })
}

#[cfg(test)]
mod tests {
    use crate::event::{GroupName, Offset, Partition, Topic};
    use crate::log::Committed;

    use super::{key, parse_key, parse_value, topic_prefix, value};

    #[test]
    fn keys_and_values_are_read_back() {
        let group = GroupName::parse("g").unwrap();
        let topic = Topic::parse("orders.v1").unwrap();
        // Bytes of the number may equal the separator.
        let partition = Partition::new(0x0100_0000);
        let stored = key(&group, &topic, partition);
        assert!(stored.starts_with(&topic_prefix(&group, &topic)));
        assert_eq!(parse_key(&stored), Some((group, topic, partition)));
        let committed = Committed { offset: Offset::new(7), metadata: "réglé".into() };
        assert_eq!(parse_value(&value(&committed)), Some(committed));
        assert_eq!(parse_value(b"short"), None);
    }
}
