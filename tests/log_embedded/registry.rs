//! The schema registry on the embedded log.

use std::sync::Arc;

use weirgate::log::EventLog;
use weirgate::schema::registry::Deleted;

use crate::race::{race, registry};
use crate::support::open_at;

#[tokio::test(flavor = "multi_thread")]
async fn schemas_registered_through_two_gateways_at_once_have_one_id_each() {
    let directory = tempfile::tempdir().unwrap();
    let log: Arc<dyn EventLog> = open_at(directory.path());
    let gateways = [registry(Arc::clone(&log)).await, registry(Arc::clone(&log)).await];
    race("race", gateways.clone()).await;
    let later = registry(log).await;
    for gateway in &gateways {
        assert_eq!(gateway.subjects(Deleted::Hidden).unwrap(), later.subjects(Deleted::Hidden).unwrap());
    }
}
