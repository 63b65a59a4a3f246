//! Where a group begins in what comes back to it. The log tells that topic by its name, which the tests on Kafka change.

use weirgate::delivery::How;

use super::engine::PATIENCE;
use super::harness::World;
use super::redrives::{redrive, reject_all, until_loaded};
use super::waiting::eventually_within;

#[tokio::test]
async fn a_group_that_begins_at_the_end_misses_nothing_that_came_back_before() {
    let world = World::start(1, r#"{"start":"latest"}"#).await;
    until_loaded(&world.delivery).await;
    let mut worker = world.join("c-1", 32).await;
    let is_assigned = async || world.committed(0).await;
    eventually_within(PATIENCE, "the group has begun", is_assigned).await;
    world.publish(0, "42", 1).await;
    let letter = reject_all(&world, &mut worker, 1).await.remove(0);
    worker.leave(How::Clean).await;
    redrive(&world, &letter.id).await.unwrap();
    let mut worker = world.join("c-2", 32).await;
    assert_eq!(worker.delivery().await.frame["redrives"], 1);
}
