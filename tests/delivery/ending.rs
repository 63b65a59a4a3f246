//! A service that has drained, and ends.

use std::sync::mpsc::channel;

use super::engine::PATIENCE;
use super::harness::World;

#[tokio::test]
async fn a_drained_service_ends_at_once() {
    let mut world = World::start(1, "{}").await;
    let _worker = world.join("c-1", 1).await;
    world.delivery.drain().await;
    // While this blocks, time stands still: nothing that is done now and then, as the measuring of lag, wakes the service.
    let (ended, end) = channel::<()>();
    let standing = tokio::task::spawn_blocking(move || end.recv_timeout(PATIENCE));
    tokio::time::pause();
    world.end().await;
    tokio::time::resume();
    ended.send(()).expect("it ends without the time's help");
    standing.await.unwrap().unwrap();
}
