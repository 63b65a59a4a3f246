//! The playground and the browser sample as a person would use them, in headless Chromium over WebDriver.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::gateway::Gateway;

const DEADLINE: Duration = Duration::from_secs(60);

/// One browser window.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    client: reqwest::Client,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn open() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                let line = line.unwrap();
                line.split_once("started successfully on port ")
                    .map(|(_, rest)| rest.trim_end_matches('.').to_owned())
            })
            .unwrap();
        let client = reqwest::Client::new();
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
        ];
        let profile_argument = format!("--user-data-dir={}", profile.path().display());
        let options =
            arguments.iter().map(|one| (*one).to_owned()).chain([profile_argument]).collect::<Vec<_>>();
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": options},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let base = format!("http://127.0.0.1:{port}/session");
        let answer: Value =
            client.post(&base).json_body(&capabilities).send().await.unwrap().json_value().await;
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}"));
        Self { driver, session: format!("{base}/{id}"), client, _profile: profile }
    }

    pub(crate) async fn command(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/{path}", self.session);
        let answer = self.client.post(url).json_body(&body).send().await.unwrap().json_value().await;
        assert!(answer["value"]["error"].is_null(), "{answer}");
        answer["value"].clone()
    }

    pub(crate) async fn go(&self, url: &str) {
        self.command("url", json!({"url": url})).await;
    }

    pub(crate) async fn run(&self, script: &str) -> Value {
        self.command("execute/sync", json!({"script": script, "args": []})).await
    }

    /// Waits until a script gives something true; fails at the deadline.
    pub(crate) async fn wait(&self, script: &str) -> Value {
        let search = async {
            let mut interval = tokio::time::interval(Duration::from_millis(50));
            loop {
                interval.tick().await;
                let value = self.run(script).await;
                if !matches!(&value, Value::Null | Value::Bool(false)) && value != "" {
                    return value;
                }
            }
        };
        match tokio::time::timeout(DEADLINE, search).await {
            Ok(value) => value,
            Err(_) => panic!("never true: {script}\n{}", self.run("return document.body.innerText").await),
        }
    }

    pub(crate) async fn click(&self, id: &str) {
        self.run(&format!("document.getElementById('{id}').click()")).await;
    }

    /// What the console says at level SEVERE.
    pub(crate) async fn errors(&self) -> Vec<Value> {
        let log = self.command("se/log", json!({"type": "browser"})).await;
        log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE").cloned().collect()
    }

    pub(crate) async fn close(mut self) {
        drop(self.client.delete(&self.session).send().await);
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// JSON without the client's own feature for it.
trait Json {
    fn json_body(self, body: &Value) -> Self;
}

impl Json for reqwest::RequestBuilder {
    fn json_body(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }
}

trait JsonAnswer {
    async fn json_value(self) -> Value;
}

impl JsonAnswer for reqwest::Response {
    async fn json_value(self) -> Value {
        serde_json::from_str(&self.text().await.unwrap()).unwrap()
    }
}

#[tokio::test]
#[cfg_attr(not(has_browser), ignore = "needs chromedriver and Chromium")]
async fn the_playground_tells_the_whole_story() {
    let gateway = Gateway::start();
    let browser = Browser::open().await;
    browser.go(&gateway.url).await;

    browser.click("follow").await;
    browser.wait("return document.getElementById('follow-state').textContent === 'subscribed'").await;
    browser.click("send").await;
    browser.wait("return document.getElementById('answer').textContent.startsWith('201')").await;
    browser.wait("return document.querySelector('#events li')?.textContent.includes('orders.v1')").await;

    browser.click("work").await;
    browser.wait("return document.querySelector('#deliveries li button') !== null").await;
    browser.run("[...document.querySelectorAll('#deliveries li button')].find(b => b.textContent === 'Nack').click()").await;
    browser.wait("return document.querySelector('#deliveries').textContent.includes('attempt 2')").await;
    browser
        .run("[...document.querySelectorAll('#deliveries li button')].find(b => b.textContent === 'Reject').click()")
        .await;
    let listed = "document.getElementById('letters').click(); \
                  return document.getElementById('dead').textContent.includes('rejected by hand')";
    browser.wait(listed).await;

    browser.click("spoil").await;
    browser.click("send").await;
    browser.wait("return document.getElementById('answer').textContent.includes('schema_violation')").await;
    // A refused POST is told on the console by the browser itself; nothing else may be.
    let errors = browser.errors().await;
    assert!(errors.iter().all(|entry| entry["message"].as_str().unwrap().contains("422")), "{errors:?}");
    browser.close().await;
}

#[tokio::test]
#[cfg_attr(not(has_browser), ignore = "needs chromedriver and Chromium")]
async fn the_browser_sample_follows_orders_from_another_origin() {
    let page = serve(include_str!("../../examples/clients/browser.html")).await;
    let gateway = Gateway::start_with(&[&format!("http.allowed_origins=[\"{page}\"]")]);
    let browser = Browser::open().await;
    browser.go(&format!("{page}/#{},{}", gateway.url, gateway.token)).await;
    browser.wait("return document.getElementById('state').textContent === 'following'").await;
    let order = r#"{"eventType":"orders.placed.v1","source":"order-service","data":{"orderId":"ord_browser","customerId":"1","placedAt":"2026-11-21T10:15:30Z","currency":"EUR","totalAmount":5980,"items":[{"sku":"MUG-BLUE","quantity":2,"unitPrice":2990}]}}"#;
    let answer = browser
        .client
        .post(format!("{}/v1/events", gateway.url))
        .bearer_auth(&gateway.token)
        .header("content-type", "application/json")
        .body(order)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    browser.wait("return document.getElementById('orders').textContent.includes('ord_browser')").await;
    assert_eq!(browser.errors().await, Vec::<Value>::new());
    browser.close().await;
}

/// Serves one page on a port of its own; answers the origin.
async fn serve(page: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                drop(stream.read(&mut request).await);
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
                    page.len()
                );
                drop(stream.write_all(answer.as_bytes()).await);
            });
        }
    });
    origin
}
