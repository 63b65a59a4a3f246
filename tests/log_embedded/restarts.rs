//! What an engine finds again after a stop or a kill, and who may have its directory.

use std::time::Duration;

use weirgate::event::{GroupName, Offset};
use weirgate::log::{Cleanup, EventLog as _, GroupSubscription, Groups as _, Health, MemberEvent, Start};
use weirgate::log_embedded::{Config, Fsync, OpenError};

use crate::support::{
    FIRST, append, assert_whole, fill, filled, image_of, open, open_at, read_all, record, spec, topic,
};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let (engine, directory) = filled().await;
    let info = engine.topic(&topic()).unwrap();
    engine.close().await;
    let engine = open_at(directory.path());
    assert_eq!(engine.topic(&topic()), Some(info));
    assert_whole(&engine).await;
    let appended = engine.append(append(FIRST, vec![record(150)])).await.unwrap();
    assert_eq!(appended.base, Offset::new(150));
    assert_eq!(engine.health(), Health::Ready);
    drop(engine);
    // A dropped engine has freed its directory too.
    assert_eq!(read_all(&open_at(directory.path()), FIRST).await.len(), 151);
}

#[tokio::test]
async fn a_second_engine_on_a_directory_is_told_who_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_at(directory.path());
    let error = open(&Config::at(directory.path())).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    engine.close().await;
    open_at(directory.path());
}

#[tokio::test]
async fn a_killed_engine_starts_with_everything() {
    let (engine, directory) = filled().await;
    let image = image_of(directory.path());
    assert_whole(&open_at(image.path())).await;
    assert_whole(&engine).await;
}

#[tokio::test]
async fn weaker_syncs_keep_everything_over_a_restart() {
    for fsync in [Fsync::Interval(Duration::from_millis(5)), Fsync::Never] {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { fsync, ..Config::at(directory.path()) };
        let engine = open(&config).unwrap();
        engine.ensure_topic(&spec(Cleanup::Delete)).await.unwrap();
        fill(&engine, FIRST, 0..100).await;
        // Killed, then closed.
        let image = image_of(directory.path());
        assert_eq!(
            read_all(&open(&Config { fsync, ..Config::at(image.path()) }).unwrap(), FIRST).await.len(),
            100
        );
        engine.close().await;
        assert_eq!(read_all(&open(&config).unwrap(), FIRST).await.len(), 100);
    }
}

#[tokio::test]
async fn a_group_that_began_at_the_end_misses_nothing_after_a_restart() {
    let (engine, directory) = filled().await;
    let late = GroupName::parse("late").unwrap();
    let subscription = GroupSubscription { topics: vec![topic()], start: Start::Latest };
    let mut member = engine.join(&late, subscription.clone()).await.unwrap();
    member.events.next().await.unwrap();
    fill(&engine, FIRST, 150..160).await;
    // Nothing was committed by the member before the restart.
    engine.close().await;
    let engine = open_at(directory.path());
    let mut member = engine.join(&late, subscription).await.unwrap();
    let event = member.events.next().await.unwrap();
    let MemberEvent::Assigned(assigned) = event else { panic!("{event:?}") };
    assert_eq!(assigned[0].position, Offset::new(150));
}
