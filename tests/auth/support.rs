//! A gateway's authenticator with hands on its clock, keys that sign, and a server of key sets.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weirgate::auth::{Authenticator, Config, Credential, Error, Principal, RawConfig};
use weirgate::event::{Clock, Timestamp};
use weirgate::telemetry::Registry;

/// When every test begins, in seconds since 1970.
pub(crate) const START: i64 = 1_800_000_000;

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START * 1_000)))
    }

    pub(crate) fn advance_ms(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.advance_ms(seconds * 1_000);
    }

    pub(crate) fn clock(&self) -> Clock {
        let hands = Arc::clone(&self.0);
        Clock::new(move || Timestamp::from_millis(hands.load(Ordering::SeqCst)))
    }
}

/// An authenticator and what it runs on.
pub(crate) struct Gate {
    pub(crate) authenticator: Authenticator,
    pub(crate) hands: Hands,
    registry: Registry,
}

impl Gate {
    pub(crate) fn new(section: &Value) -> Self {
        Self::with_hands(section, Hands::new())
    }

    pub(crate) fn with_hands(section: &Value, hands: Hands) -> Self {
        Self::of(&config(section), hands)
    }

    pub(crate) fn of(config: &Config, hands: Hands) -> Self {
        let registry = Registry::new();
        let authenticator = Authenticator::build(config, hands.clock(), &registry).unwrap();
        Self { authenticator, hands, registry }
    }

    pub(crate) async fn bearer(&self, token: &str) -> Result<Arc<Principal>, Error> {
        self.authenticator.authenticate(Credential::Bearer(token)).await
    }

    pub(crate) async fn api_key(&self, key: &str) -> Result<Arc<Principal>, Error> {
        self.authenticator.authenticate(Credential::ApiKey(key)).await
    }

    pub(crate) async fn ticket(&self, text: &str) -> Result<Arc<Principal>, Error> {
        self.authenticator.authenticate(Credential::Ticket(text)).await
    }

    /// The value of a metric as it is scraped, labels included in `name`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.registry.render();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

pub(crate) fn config(section: &Value) -> Config {
    serde_json::from_value::<RawConfig>(section.clone()).unwrap().check().unwrap()
}

/// A key of `keys/`.
pub(crate) struct Signer {
    pub(crate) name: &'static str,
    pub(crate) algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    pub(crate) fn ec_a() -> Self {
        Self::ec("ec-a", include_bytes!("keys/ec-a.pem"))
    }

    pub(crate) fn ec_b() -> Self {
        Self::ec("ec-b", include_bytes!("keys/ec-b.pem"))
    }

    pub(crate) fn rsa(algorithm: Algorithm) -> Self {
        let key = EncodingKey::from_rsa_pem(include_bytes!("keys/rsa.pem")).unwrap();
        Self { name: "rsa", algorithm, key }
    }

    pub(crate) fn ed() -> Self {
        let key = EncodingKey::from_ed_pem(include_bytes!("keys/ed.pem")).unwrap();
        Self { name: "ed", algorithm: Algorithm::EdDSA, key }
    }

    /// A shared secret, as an attacker would make it of something public.
    pub(crate) fn secret(bytes: &[u8]) -> Self {
        Self { name: "rsa", algorithm: Algorithm::HS256, key: EncodingKey::from_secret(bytes) }
    }

    fn ec(name: &'static str, pem: &[u8]) -> Self {
        Self { name, algorithm: Algorithm::ES256, key: EncodingKey::from_ec_pem(pem).unwrap() }
    }

    /// A token of exactly these two texts.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": format!("{:?}", self.algorithm), "typ": "JWT", "kid": self.name })
    }

    /// A token with the usual header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }
}

/// The public half of a key of `keys/`.
pub(crate) fn public(name: &str) -> Value {
    serde_json::from_str::<Value>(include_str!("keys/public.json")).unwrap()[name].clone()
}

pub(crate) fn key_set(names: &[&str]) -> Value {
    json!({ "keys": names.iter().map(|name| public(name)).collect::<Vec<_>>() })
}

/// Good claims of the issuer `https://id.example.com`, for ten minutes.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://id.example.com", "aud": "weirgate", "sub": "alice", "exp": START + 600, "iat": START,
        "role": "customer",
    })
}

/// Good claims with some replaced, or removed where the change is null.
pub(crate) fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims.as_object_mut().unwrap().remove(name);
        if !value.is_null() {
            claims[name] = value.clone();
        }
    }
    claims
}

/// What the server of key sets answers.
#[derive(Clone)]
pub(crate) enum Answer {
    Body(String),
    Status(u16),
    Redirect(String),
    Silence,
}

/// A server of key sets that counts.
pub(crate) struct KeyServer {
    pub(crate) url: String,
    answer: Arc<Mutex<Answer>>,
    fetches: Arc<AtomicUsize>,
}

impl KeyServer {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let server = Self { url, answer: Arc::new(Mutex::new(answer)), fetches: Arc::default() };
        let (answer, fetches) = (Arc::clone(&server.answer), Arc::clone(&server.fetches));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                fetches.fetch_add(1, Ordering::SeqCst);
                let answer = answer.lock().unwrap().clone();
                tokio::spawn(serve(stream, answer));
            }
        });
        server
    }

    pub(crate) async fn with_keys(names: &[&str]) -> Self {
        Self::start(Answer::Body(key_set(names).to_string())).await
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn answer_keys(&self, names: &[&str]) {
        self.answer(Answer::Body(key_set(names).to_string()));
    }

    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// A section with one issuer whose keys are here.
    pub(crate) fn section(&self) -> Value {
        json!({ "issuers": [{
            "issuer": "https://id.example.com", "audience": "weirgate", "algorithms": ["ES256"], "jwks_url": self.url,
        }] })
    }
}

async fn serve(mut stream: TcpStream, answer: Answer) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut buffer = [0; 1_024];
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => head.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let text = match answer {
        Answer::Body(body) => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()),
        Answer::Status(status) => format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n"),
        Answer::Redirect(to) => format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"),
        Answer::Silence => std::future::pending().await,
    };
    // The gateway may hang up on an answer it does not like before it was all sent.
    drop(stream.write_all(text.as_bytes()).await);
}
