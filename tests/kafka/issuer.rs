//! An issuer of tokens: a token endpoint for client credentials, over plain HTTP, which signs with a key of `tests/auth`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Who signs, and for whom the tokens are.
pub(crate) const ISSUER: &str = "https://id.example.com";
pub(crate) const AUDIENCE: &str = "kafka";

/// The public half of its key, as brokers are told it.
pub(crate) fn keys() -> Value {
    let keys: Value = serde_json::from_str(include_str!("../auth/keys/public.json")).unwrap();
    json!({ "keys": [keys["ec-a"]] })
}

/// Hands out tokens until it is dropped.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    book: Arc<Mutex<Book>>,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Book {
    lifetime: Duration,
    /// What each client's credentials look like in a request, and for whom its tokens are.
    clients: HashMap<String, (String, &'static str)>,
    /// When each token ends that was handed out, in seconds since 1970.
    granted: Vec<u64>,
    refused: usize,
}

impl Issuer {
    /// Starts one whose tokens live for so long.
    pub(crate) async fn start(lifetime: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let book = Book { lifetime, clients: HashMap::new(), granted: Vec::new(), refused: 0 };
        let book = Arc::new(Mutex::new(book));
        let kept = Arc::clone(&book);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Self { url, book, serving }
    }

    /// Takes these credentials from now on, for tokens to this audience.
    pub(crate) fn know(&self, client: &str, secret: &str, audience: &'static str) {
        self.book.lock().unwrap().clients.insert(shown(client, secret), (client.to_owned(), audience));
    }

    /// Takes these credentials no more.
    pub(crate) fn forget(&self, client: &str, secret: &str) {
        self.book.lock().unwrap().clients.remove(&shown(client, secret));
    }

    /// When each token ends that was handed out, in seconds since 1970, in their order.
    pub(crate) fn granted(&self) -> Vec<u64> {
        self.book.lock().unwrap().granted.clone()
    }

    /// How often somebody came with wrong credentials.
    pub(crate) fn refused(&self) -> usize {
        self.book.lock().unwrap().refused
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Credentials as they are sent.
pub(crate) fn credentials(client: &str, secret: &str) -> String {
    STANDARD.encode(format!("{client}:{secret}"))
}

fn shown(client: &str, secret: &str) -> String {
    format!("Basic {}", credentials(client, secret))
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Book {
    /// Status and body of the answer to a request of these credentials.
    fn answer(&mut self, shown: &str, body: &str) -> (u16, Value) {
        assert!(body.contains("grant_type=client_credentials"), "{body}");
        let Some((client, audience)) = self.clients.get(shown) else {
            self.refused += 1;
            return (401, json!({ "error": "invalid_client" }));
        };
        let (issued, lifetime) = (now(), self.lifetime.as_secs());
        let claims = json!({
            "iss": ISSUER, "aud": audience, "sub": client, "iat": issued, "exp": issued + lifetime,
        });
        let header = Header { kid: Some("ec-a".to_owned()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_pem(include_bytes!("../auth/keys/ec-a.pem")).unwrap();
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        self.granted.push(issued + lifetime);
        (200, json!({ "access_token": token, "token_type": "Bearer", "expires_in": lifetime }))
    }
}

/// Answers one request, and hangs up.
async fn serve(stream: TcpStream, book: Arc<Mutex<Book>>) {
    let mut stream = BufReader::new(stream);
    let (mut shown, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => shown = value.to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            Some(_) => {}
            None if line.trim_end().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    let (status, answer) = book.lock().unwrap().answer(&shown, &String::from_utf8_lossy(&body));
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    // A client that ends does not wait for its answer.
    drop(stream.write_all(format!("{head}{answer}").as_bytes()).await);
}
