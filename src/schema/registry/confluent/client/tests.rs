//! The client against servers of scripted answers on free ports.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::super::metrics::Metrics;
use super::super::{Address, Auth, Config};
use super::{ANSWER_BYTES_MAX, Client, Error, Patience, Place, Source as _, Times};
use crate::telemetry::Registry;

/// Answers every request in the same way, and keeps what was asked.
struct Server {
    address: Address,
    asked: Arc<AtomicUsize>,
    heads: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(status: &'static str, body: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&format!("http://{}/sr", listener.local_addr().unwrap())).unwrap();
        let (asked, (sender, heads)) =
            (Arc::new(AtomicUsize::new(0)), tokio::sync::mpsc::unbounded_channel());
        let counter = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = String::new();
                let mut lines = BufReader::new(&mut stream);
                while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).await.unwrap() > 0 {}
                counter.fetch_add(1, Ordering::SeqCst);
                sender.send(head).unwrap_or_default();
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                // A client that has read enough goes away.
                if stream.write_all(head.as_bytes()).await.is_ok() && stream.write_all(&body).await.is_ok() {
                    drop(stream.read(&mut [0]).await);
                }
            }
        });
        Self { address, asked, heads }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// An address that nobody listens at.
async fn nowhere() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Address::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
}

fn client(urls: &[&Address], auth: Option<Auth>) -> Client {
    let config = Config { urls: urls.iter().copied().cloned().collect(), auth, ca: None };
    // Nothing here waits for them: a machine that is slow shall change nothing.
    let times = Times { request_max: Duration::from_secs(60), connect_max: Duration::from_secs(60) };
    Client::within(times, &config, Metrics::register(&Registry::new())).unwrap()
}

async fn get(client: &Client, patience: Patience) -> Result<Option<Vec<u8>>, Error> {
    let found = client.get(Place::new(&["subjects", "a/b-value", "versions", "latest"]), patience).await;
    found.map(|body| body.map(|body| body.bytes))
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_passed_over_and_not_asked_first_again() {
    let (dead, mut failing, good) = (
        nowhere().await,
        Server::start("503 Service Unavailable", Vec::new()).await,
        Server::start("200 OK", b"{}".to_vec()).await,
    );
    let client = client(&[&dead, &failing.address, &good.address], Auth::basic("gateway", "secret"));
    for _ in 0..3 {
        assert_eq!(get(&client, Patience::None).await.unwrap(), Some(b"{}".to_vec()));
    }
    assert_eq!((failing.asked(), good.asked()), (1, 3));
    let head = failing.heads.recv().await.unwrap().to_lowercase();
    assert!(head.starts_with("get /sr/subjects/a%2fb-value/versions/latest http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: basic z2f0zxdhetpzzwnyzxq=\r\n"), "{head}");
}

#[tokio::test]
async fn a_registry_that_fails_is_asked_again_and_then_given_up() {
    let server = Server::start("500 Internal Server Error", Vec::new()).await;
    let client = client(&[&server.address], None);
    assert!(matches!(get(&client, Patience::Some).await, Err(Error::Failing { .. })));
    assert_eq!(server.asked(), 3);
    assert!(matches!(get(&client, Patience::None).await, Err(Error::Failing { .. })));
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_what_is_no_registry() {
    let fault = |code: u32| format!(r#"{{"error_code":{code},"message":"m"}}"#).into_bytes();
    for (body, is_absent) in
        [(fault(40_401), true), (fault(40_403), true), (fault(404), false), (b"<html>".to_vec(), false)]
    {
        let server = Server::start("404 Not Found", body.clone()).await;
        let answered = get(&client(&[&server.address], None), Patience::Some).await;
        if is_absent {
            assert_eq!(answered.unwrap(), None);
        } else {
            let error = answered.unwrap_err();
            assert!(matches!(error, Error::NoRegistry { .. }) && !error.is_of_one(), "{error}");
        }
        assert_eq!(server.asked(), 1, "a plain answer is not asked for again");
    }
    let elsewhere = Server::start("302 Found", Vec::new()).await;
    let redirected = get(&client(&[&elsewhere.address], None), Patience::None).await;
    assert!(matches!(redirected, Err(Error::NoRegistry { .. })));
}

#[tokio::test]
async fn wrong_credentials_are_told_without_the_secret() {
    for (status, is_of_one) in [("401 Unauthorized", false), ("403 Forbidden", true)] {
        let server = Server::start(status, b"{\"error_code\":40101,\"message\":\"no\"}".to_vec()).await;
        for auth in [Auth::basic("gateway", "not-to-be-seen"), Auth::bearer("not-to-be-seen"), None] {
            let client = client(&[&server.address], auth);
            let error = get(&client, Patience::Some).await.unwrap_err();
            let told = format!("{error} {error:?} {client:?}");
            assert!(!told.contains("not-to-be-seen") && !told.contains("bm90LXRvLWJl"), "{told}");
            assert_eq!(error.is_of_one(), is_of_one, "{error}");
            assert!(error.to_string().starts_with(&server.address.to_string()), "{error}");
        }
        assert_eq!(server.asked(), 3);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read() {
    let fits = Server::start("200 OK", vec![b' '; ANSWER_BYTES_MAX]).await;
    assert!(get(&client(&[&fits.address], None), Patience::None).await.is_ok());
    let large = Server::start("200 OK", vec![b' '; ANSWER_BYTES_MAX + 1]).await;
    let error = get(&client(&[&large.address], None), Patience::Some).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }) && error.is_of_one(), "{error}");
    assert_eq!(large.asked(), 1);
}
