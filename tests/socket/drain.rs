//! Leaving in good order.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::setup::OWNER;
use super::support::TestGateway;

#[tokio::test]
async fn a_drain_tells_positions_and_a_delay_and_ends_every_socket_in_its_window() {
    let gateway = TestGateway::start().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = gateway.connect(OWNER).await;
        client.ok(json!({"op": "subscribe", "topics": ["orders.v1"]})).await;
        clients.push(client);
    }
    gateway.append("orders.v1", "c-1", 0).await;
    for client in &mut clients {
        assert_eq!(client.numbers(1).await, [0]);
    }
    tokio::time::pause();
    let begun_at = Instant::now();
    let sessions = gateway.sessions.clone();
    let drain = tokio::spawn(async move { sessions.drain(Duration::from_secs(20)).await });
    let mut moments = Vec::new();
    for mut client in clients {
        moments.push(tokio::spawn(async move {
            let bye = client.ended().await;
            let moment = begun_at.elapsed();
            let positions = client.hear_where(|message| message.get("positions").is_some()).await;
            client.vanish().await;
            (bye, positions, moment)
        }));
    }
    let mut seen = Vec::new();
    for moment in moments {
        let (bye, positions, moment) = moment.await.unwrap();
        assert_eq!((&bye["code"], &bye["reconnect"]), (&json!(4300), &json!(true)));
        assert!(bye["delayMs"].as_u64().unwrap() <= 20_000);
        assert_eq!(positions["positions"], json!({"orders.v1": {"0": 1}}));
        assert!(positions["cursor"].is_string());
        seen.push(moment);
    }
    drain.await.unwrap();
    assert!(begun_at.elapsed() <= Duration::from_secs(20));
    seen.sort();
    assert!(seen[19] - seen[0] > Duration::from_secs(5), "{seen:?}");
    tokio::time::resume();
    gateway.stop().await;
}

#[tokio::test]
async fn a_worker_may_settle_what_is_in_hand_before_the_drain_takes_it() {
    let gateway = TestGateway::start().await;
    gateway.append("orders.v1", "c-1", 0).await;
    let mut client = gateway.connect(OWNER).await;
    let sub = client.ok(json!({"op": "subscribe", "group": "workers"})).await["sub"].clone();
    let delivery = client.hear_where(|message| message.get("delivery").is_some()).await;
    let sessions = gateway.sessions.clone();
    let drain = tokio::spawn(async move { sessions.drain(Duration::from_secs(3)).await });
    client.hear_where(|message| message.get("draining").is_some()).await;
    let refused = client.refused(json!({"op": "subscribe", "topics": ["orders.v1"], "from": "latest"}));
    drop(refused);
    let settled = client.ok(json!({"op": "ack", "sub": sub, "delivery": delivery["delivery"]})).await;
    assert_eq!(settled, json!({}));
    assert_eq!(client.ended().await["code"], 4300);
    client.vanish().await;
    drain.await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn who_does_not_leave_is_cut_off_at_the_end_of_the_window() {
    let gateway = TestGateway::start().await;
    let (stream, session) = gateway.pipe(None, 1);
    tokio::time::pause();
    let begun_at = Instant::now();
    gateway.sessions.drain(Duration::from_secs(4)).await;
    session.await.unwrap();
    assert!(begun_at.elapsed() < Duration::from_millis(4_100), "{:?}", begun_at.elapsed());
    drop(stream);
    tokio::time::resume();
    gateway.stop().await;
}

#[tokio::test]
async fn a_stop_says_bye_at_once() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.connect(OWNER).await;
    client.ok(json!({"op": "hello"})).await;
    gateway.stop.cancel();
    let bye = client.ended().await;
    assert_eq!((&bye["code"], bye["delayMs"].is_u64()), (&json!(4300), true));
    client.vanish().await;
    gateway.stop().await;
}
