//! Development mode: the issuer `weirgate-dev`, its key and its tokens. Loopback only.
//!
//! The key is a shared secret for HS256: the gateway and `weirgate token` read the same file and nobody else checks
//! these tokens, so a key pair would protect nothing more and need a generator. Confusion cannot arise: HS256 is the
//! only algorithm of this issuer, and no other issuer's keys are asked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

use super::check::duration;
use super::claims::Rules;
use super::config::{Issuer, KeySource};
use super::grant::{Grant, Names, Selector};
use super::key_set::KeySet;
use super::{Operation, Secret, SetupError};
use crate::event::{Pattern, Timestamp};

/// The name of the development issuer.
pub const ISSUER: &str = "weirgate-dev";
/// The role that may do everything in development mode.
pub const ROLE: &str = "developer";
/// The claims that [`Key::mint`] sets itself.
pub const OWN_CLAIMS: [&str; 7] = ["iss", "aud", "sub", "role", "iat", "nbf", "exp"];

const AUDIENCE: &str = "weirgate";
const KID: &str = "dev";
const FILE: &str = "dev-key";
const KEY_BYTES: usize = 32;
const TTL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long the printed token lasts.
const PRINTED_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The signing key of the development issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(Secret);

impl Key {
    /// The key in this data directory, made (mode 0600) when there is none. Blocks on the file system.
    ///
    /// # Errors
    /// When the directory is not there, when the file cannot be read or made, or holds no key.
    pub fn load_or_create(data_directory: &Path) -> Result<Self, SetupError> {
        let path = data_directory.join(FILE);
        let failed = |source| SetupError::DevKey { path: path.clone(), source };
        let mut text = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(&path)?;
                read(&path)
            }
            read => read,
        }
        .map_err(failed)?;
        text.truncate(text.trim_end().len());
        let is_key = URL_SAFE_NO_PAD.decode(&text).is_ok_and(|bytes| bytes.len() == KEY_BYTES);
        if is_key { Ok(Self(Secret::new(text))) } else { Err(SetupError::DevKeyMalformed { path }) }
    }

    /// The key in this data directory; `None` when there is none. Blocks on the file system.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no key.
    pub fn load(data_directory: &Path) -> Result<Option<Self>, SetupError> {
        if data_directory.join(FILE).exists() {
            Self::load_or_create(data_directory).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A signed token for `sub` with these roles and further claims; claims of [`OWN_CLAIMS`] are set here.
    ///
    /// # Errors
    /// When signing fails.
    pub fn mint(
        &self,
        sub: &str,
        roles: &[String],
        claims: &Map<String, Value>,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<String, SetupError> {
        let issued = now.millis() / 1_000;
        let lifetime = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let mut claims = claims.clone();
        for name in OWN_CLAIMS {
            claims.remove(name);
        }
        claims.insert("iss".to_owned(), ISSUER.into());
        claims.insert("aud".to_owned(), AUDIENCE.into());
        claims.insert("sub".to_owned(), sub.into());
        claims.insert("iat".to_owned(), issued.into());
        claims.insert("exp".to_owned(), issued.saturating_add(lifetime).into());
        // One role is a text, as most issuers write it, so that `claim: { role: … }` of a grant fits it too.
        let role = match roles {
            [] => None,
            [one] => Some(Value::from(one.as_str())),
            many => Some(Value::from(many)),
        };
        claims.extend(role.map(|role| ("role".to_owned(), role)));
        let header = Header { kid: Some(KID.to_owned()), ..Header::new(Algorithm::HS256) };
        let key = EncodingKey::from_secret(&self.secret());
        jsonwebtoken::encode(&header, &claims, &key).map_err(SetupError::Sign)
    }

    /// The token that `weirgate dev` prints: principal `dev`, every operation on `**`, `dlq.**` and all groups, for
    /// a day.
    ///
    /// # Errors
    /// When signing fails.
    pub fn dev_token(&self, now: Timestamp) -> Result<String, SetupError> {
        self.mint("dev", &[ROLE.to_owned()], &Map::new(), PRINTED_TTL, now)
    }

    /// The issuer whose tokens this key signs.
    pub(super) fn issuer(&self) -> Issuer {
        Issuer {
            rules: Rules {
                issuer: ISSUER.to_owned(),
                audience: AUDIENCE.to_owned(),
                algorithms: vec![Algorithm::HS256],
                principal_prefix: String::new(),
                role_claim: Some("role".to_owned()),
            },
            keys: KeySource::Fixed(KeySet::of_secret(KID, &self.secret())),
        }
    }

    fn secret(&self) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(self.0.expose()).unwrap_or_default()
    }
}

/// What the developer role may do: everything that is not the gateway's own.
pub(super) fn grant() -> Grant {
    let names =
        |patterns: &[&str]| Names::new(patterns.iter().map(|pattern| Pattern::new(pattern)).collect());
    Grant {
        selector: Selector::Developer,
        allow: Operation::ALL.to_vec(),
        topics: Some(names(&["**", "dlq.**"])),
        groups: names(&["**", "_**"]),
        sources: names(&["**", "_**", "dlq.**"]),
        subjects: names(&["**", "_**", "dlq.**"]),
        rows: None,
    }
}

/// Reads how long a development token shall last: `90s`, `15m`, `12h`, `7d`, up to a year.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_ttl(text: &str) -> Result<Duration, String> {
    duration(text, &(Duration::from_secs(1)..=TTL_MAX))
}

/// Refuses a listen address that others could reach.
///
/// # Errors
/// When the address is not loopback.
pub fn check_listen(address: SocketAddr) -> Result<(), SetupError> {
    if address.ip().to_canonical().is_loopback() { Ok(()) } else { Err(SetupError::NotLoopback(address)) }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // A key is 43 characters; whatever is longer is none and need not be read whole.
    File::open(path)?.take(1_024).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a new key beside its place and links it there, so that the file is whole whenever it is seen and the first
/// of two processes wins.
fn create(path: &Path) -> Result<(), SetupError> {
    let mut bytes = [0; KEY_BYTES];
    let mut suffix = [0; 8];
    getrandom::fill(&mut bytes).and_then(|()| getrandom::fill(&mut suffix)).map_err(SetupError::Random)?;
    let draft: PathBuf = path.with_extension(format!("{:016x}", u64::from_le_bytes(suffix)));
    let written =
        write_private(&draft, &URL_SAFE_NO_PAD.encode(bytes)).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    match written.and(removed) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(SetupError::DevKey { path: path.to_path_buf(), source: error })
        }
        _ => Ok(()),
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::{Key, check_listen};
    use crate::auth::SetupError;

    #[test]
    fn the_key_is_made_once_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        let first = Key::load_or_create(data).unwrap();
        assert_eq!(Key::load_or_create(data).unwrap(), first);
        let names: BTreeSet<_> =
            fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, BTreeSet::from(["dev-key".into()]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(data.join("dev-key")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let written = fs::read_to_string(data.join("dev-key")).unwrap();
        assert!(!format!("{first:?}").contains(written.trim()));
    }

    #[test]
    fn processes_that_start_together_agree_on_one_key() {
        let directory = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let start = || scope.spawn(|| Key::load_or_create(directory.path()).unwrap());
            let started: Vec<_> = (0..8).map(|_| start()).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["", "short", &"x".repeat(5_000)] {
            fs::write(directory.path().join("dev-key"), text).unwrap();
            let error = Key::load_or_create(directory.path()).unwrap_err();
            assert!(matches!(error, SetupError::DevKeyMalformed { .. }), "{error}");
        }
    }

    #[test]
    fn only_loopback_addresses_are_allowed() {
        for good in ["127.0.0.1:80", "127.8.8.8:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            assert!(check_listen(good.parse().unwrap()).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:80", "[::]:80", "192.168.0.1:80", "[::ffff:10.0.0.1]:80", "169.254.169.254:80"] {
            assert!(check_listen(bad.parse().unwrap()).is_err(), "{bad}");
        }
    }
}
