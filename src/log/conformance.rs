//! The suite every engine must pass: what the rooms above rely on, and nothing of how an engine works.
//!
//! A case takes a [`Subject`] and panics where the engine breaks its word. Each makes topics and groups of its own
//! names, so that cases run side by side and on a cluster that others use. [`crate::log_conformance`] makes a
//! test of every case.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a case fails by panicking")]

pub mod appends;
pub mod groups;
pub mod reads;
pub mod tables;
pub mod topics;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::event::{GroupName, Offset, Partition, Record, Topic};

use super::{Append, Cleanup, Error, EventLog, Groups, NewRecord, Purpose, TopicSpec};

/// An engine under test.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its topics and records.
    pub log: Arc<dyn EventLog>,
    /// Its groups.
    pub groups: Arc<dyn Groups>,
    /// Whether the end of a transaction takes a place of its own in the partition, as Kafka's marks do.
    pub has_marks: bool,
}

/// No case waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The first partition.
const FIRST: Partition = Partition::new(0);

impl Subject {
    /// A new topic without retention.
    async fn topic(&self, partitions: u32) -> Topic {
        let spec = spec(partitions, Cleanup::Delete);
        self.log.ensure_topic(&spec).await.unwrap();
        spec.name
    }

    /// Appends one record, and waits until it is there.
    async fn append(&self, topic: &Topic, partition: Partition, record: NewRecord) -> Offset {
        self.log.append(append(topic, partition, vec![record])).await.unwrap().base
    }

    /// Appends a record for each text, and waits until all are there.
    async fn append_texts(&self, topic: &Topic, partition: Partition, texts: &[&str]) {
        let records = texts.iter().map(|text| text_record(text)).collect();
        self.log.append(append(topic, partition, records)).await.unwrap();
    }

    /// All records of a partition from `from` on.
    async fn read_from(&self, topic: &Topic, partition: Partition, from: Offset) -> Vec<Record> {
        let end = self.log.bounds(topic, partition).await.unwrap().end;
        let mut reader = self.log.reader(topic, partition, from, Purpose::CatchUp).await.unwrap();
        let mut records = Vec::new();
        while reader.position() < end {
            records.extend(reader.next(1 << 20).await.unwrap().records);
        }
        records
    }
}

/// A topic that nobody else has.
fn spec(partitions: u32, cleanup: Cleanup) -> TopicSpec {
    let name = Topic::parse(&format!("conformance.{}", Uuid::new_v4().simple())).unwrap();
    TopicSpec { name, partitions, cleanup, retention: None, retention_bytes: None }
}

/// A group that nobody else has.
fn group() -> GroupName {
    GroupName::parse(&format!("conformance-{}", Uuid::new_v4().simple())).unwrap()
}

fn append(topic: &Topic, partition: Partition, records: Vec<NewRecord>) -> Append {
    Append { topic: topic.clone(), partition, records }
}

fn text_record(text: &str) -> NewRecord {
    NewRecord { value: Some(Bytes::copy_from_slice(text.as_bytes())), ..NewRecord::default() }
}

/// The values as text.
fn texts(records: &[Record]) -> Vec<&str> {
    records
        .iter()
        .filter_map(|record| record.value.as_deref())
        .map(|value| std::str::from_utf8(value).unwrap())
        .collect()
}

#[track_caller]
fn assert_out_of_range<T: std::fmt::Debug>(result: &Result<T, Error>) {
    assert!(matches!(result, Err(Error::OffsetOutOfRange { .. })), "{result:?}");
}

/// Makes a test of every case of the suite.
///
/// `$subject` is an async function that answers a [`Subject`] and whatever must live as long as it. Each test gets the
/// attributes in the brackets, as `[#[ignore = "why"]]`.
#[macro_export]
macro_rules! log_conformance {
    ($subject:path) => {
        $crate::log_conformance!($subject, []);
    };
    ($subject:path, $attributes:tt) => {
        $crate::log_conformance!(@modules $subject, $attributes;
            topics: ensuring_again_is_a_success, ensuring_more_partitions_adds_them,
            what_a_topic_cannot_become_is_refused, a_deleted_topic_is_unknown_until_made_anew,
            changes_of_topics_are_announced;
            appends: records_come_back_as_they_went_in, offsets_are_consecutive_in_the_order_of_the_calls,
            many_producers_share_a_partition_without_gaps, a_record_without_a_time_has_the_time_of_the_append,
            a_place_that_is_not_there_is_refused, an_atomic_append_is_whole,
            atomic_and_plain_appends_share_a_partition, atomic_appends_at_once_are_all_there,
            of_a_refused_atomic_append_nothing_is_stored, places_of_an_atomic_append_are_where_its_records_lie,
            no_reader_sees_a_part_of_an_atomic_append,
            an_append_at_a_place_goes_there_or_nowhere, of_appends_at_one_place_one_gets_through;
            reads: a_reader_at_the_end_waits_for_more, a_dropped_wait_loses_nothing,
            small_bites_still_make_progress, a_reader_starts_within_the_bounds,
            times_are_found_even_out_of_order, deleted_records_are_gone, readers_stand_side_by_side;
            groups: a_member_reads_on_where_the_group_committed, metadata_travels_with_the_offset,
            a_group_may_begin_at_the_end, a_held_partition_delivers_nothing_until_released,
            a_member_reads_all_partitions_in_order, a_sought_offset_is_read_next, new_partitions_join_a_member,
            records_gone_before_a_member_reads_them_are_a_gap, a_committed_offset_that_is_gone_begins_later,
            offsets_change_by_hand_only_without_a_member, a_member_that_left_commits_nothing,
            a_dropped_wait_of_a_member_loses_nothing, joining_an_unknown_topic_is_refused;
            tables: a_write_is_visible_when_it_returns, a_table_opened_later_has_the_latest_values,
            a_table_follows_what_others_write, a_table_without_records_is_empty,
            updates_at_once_build_on_one_another, a_refused_update_changes_nothing,
            an_update_sees_all_that_was_written_before,
            entries_below_a_prefix_are_those_that_begin_with_it, a_table_knows_how_much_it_holds
        );
    };
    (@modules $subject:path, $attributes:tt; $($module:ident: $($case:ident),+);+) => {
        $(mod $module {
            $($crate::log_conformance!(@case $subject, $attributes, $module, $case);)+
        })+
    };
    (@case $subject:path, [$($attribute:tt)*], $module:ident, $case:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $($attribute)*
        async fn $case() {
            let (subject, _guard) = $subject().await;
            let case = $crate::log::conformance::$module::$case(&subject);
            tokio::time::timeout($crate::log::conformance::PATIENCE, case).await.expect("the case ends in time");
        }
    };
}
