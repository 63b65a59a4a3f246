//! Going away: nothing is reset, what runs finishes, and it ends in time.

use std::time::{Duration, SystemTime};

use crate::client::request;
use crate::gateway::{Gateway, JSON, SHOP, envelope, until};
use crate::log::Mood;

#[test]
fn a_running_publish_finishes_and_new_requests_are_refused() {
    let mut gateway = Gateway::start();
    gateway.log.set_mood(Mood::Slow);
    let mut idle = gateway.client();
    assert_eq!(idle.send("GET", "/livez", &[], b"").status, 200);
    let mut running = gateway.client();
    running.write(request("POST", "/v1/events", &[SHOP, JSON], envelope("").as_bytes()));
    until("the append to be held", || gateway.log.held() == 1);
    gateway.stop();
    until("not ready", || gateway.send("GET", "/readyz", &[], "").status == 503);
    until("refusing", || gateway.send("GET", "/v1/whoami", &[SHOP], "").status == 503);
    let refused = idle.send("POST", "/v1/events", &[SHOP, JSON], envelope("").as_bytes());
    assert_eq!((refused.code().as_str(), refused.header("connection")), ("draining", Some("close")));
    assert!(idle.is_ended());
    gateway.log.set_mood(Mood::Good);
    let finished = running.answer();
    assert_eq!((finished.status, finished.header("connection")), (201, Some("close")));
    gateway.ended();
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
}

#[test]
fn during_the_delay_requests_are_served_and_clients_asked_to_leave() {
    let mut gateway = Gateway::with(|setup| setup.drain_delay = Duration::from_millis(700));
    let mut client = gateway.client();
    assert_eq!(client.send("GET", "/livez", &[], b"").header("connection"), None);
    gateway.stop();
    until("not ready", || gateway.send("GET", "/readyz", &[], "").status == 503);
    let ready = gateway.send("GET", "/readyz", &[], "");
    assert_eq!(ready.json()["reasons"][0]["detail"], "draining");
    let answer = client.send("POST", "/v1/events", &[SHOP, JSON], envelope("").as_bytes());
    assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
    assert!(client.is_ended());
    gateway.ended();
}

#[test]
fn streams_and_waiting_pages_end_with_a_word() {
    let mut gateway = Gateway::start();
    let path = "/v1/topics/orders.v1/events";
    let mut stream = gateway.client();
    stream.write(request("GET", path, &[SHOP, ("accept", "text/event-stream")], b""));
    stream.head();
    stream.chunks_until(|text| text.contains("\n\n"));
    let mut waiting = gateway.client();
    waiting.write(request("GET", &format!("{path}?wait=60s"), &[SHOP], b""));
    let mut publishing = gateway.client();
    let lines = [SHOP, ("content-type", "application/x-ndjson"), ("transfer-encoding", "chunked")];
    publishing.write(request("POST", "/v1/events", &lines, b""));
    publishing.head();
    gateway.stop();
    let text = publishing.chunks_until(|text| text.contains("draining"));
    assert!(text.contains("\"problem\""), "{text}");
    let text = stream.chunks_until(|text| text.contains("event: drain"));
    assert!(text.contains("delayMs"), "{text}");
    assert_eq!(stream.chunk(), None);
    let page = waiting.answer();
    assert!(page.status == 200 || page.code() == "draining", "{page:?}");
    gateway.ended();
}

#[test]
fn idle_connections_do_not_hold_the_end_up() {
    let mut gateway = Gateway::with(|setup| setup.drain_window = Duration::from_secs(60));
    let mut idle = gateway.client();
    assert_eq!(idle.send("GET", "/livez", &[], b"").status, 200);
    let mut silent = gateway.client();
    let began = SystemTime::now();
    gateway.stop();
    gateway.ended();
    assert!(began.elapsed().unwrap() < Duration::from_secs(30));
    assert!(idle.is_ended() && silent.is_ended());
}

#[test]
fn a_request_that_never_ends_is_cut_off_at_the_end_of_the_window() {
    let mut gateway = Gateway::with(|setup| setup.drain_window = Duration::from_millis(300));
    gateway.log.set_mood(Mood::Slow);
    let mut stuck = gateway.client();
    stuck.write(request("POST", "/v1/events", &[SHOP, JSON], envelope("").as_bytes()));
    until("the append to be held", || gateway.log.held() == 1);
    gateway.stop();
    gateway.ended();
    assert!(stuck.is_ended());
}
