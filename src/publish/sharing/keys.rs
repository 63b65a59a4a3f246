//! Claims and answers of idempotency keys as records of the table.
//!
//! ```text
//! claim/{id}/{life of a gateway}/{number}   version, fingerprint
//! answer/{id}/{life of a gateway}           version, fingerprint, status, media type, body
//! ```

use bytes::{BufMut as _, Bytes, BytesMut};
use uuid::Uuid;

use super::super::answers::{Answer, ClaimId, Kept};
use super::book::Claimant;

const VERSION: u8 = 1;
const CLAIM: &str = "claim/";
const ANSWER: &str = "answer/";
/// The media types of answers; a record names one by its place here.
const CONTENT_TYPES: [&str; 2] = ["application/json", "application/problem+json"];
/// A longer body stays where it is: the record must fit the log.
const BODY_BYTES_MAX: usize = 512 << 10;

/// Which record of the table a key names; each names the life of the gateway that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Claim(ClaimId, Claimant),
    Answer(ClaimId, u128),
}

impl Key {
    pub(super) fn to_bytes(self) -> Bytes {
        Bytes::from(match self {
            Self::Claim(id, Claimant { run, sequence }) => {
                format!("{CLAIM}{}/{}/{sequence}", hex(id), Uuid::from_u128(run).simple())
            }
            Self::Answer(id, run) => format!("{ANSWER}{}/{}", hex(id), Uuid::from_u128(run).simple()),
        })
    }

    /// `None` for what no gateway wrote, or a later one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if let Some(rest) = text.strip_prefix(ANSWER) {
            let (id, run) = rest.split_once('/')?;
            return Some(Self::Answer(unhex(id)?, Uuid::try_parse(run).ok()?.as_u128()));
        }
        let mut parts = text.strip_prefix(CLAIM)?.splitn(3, '/');
        let id = unhex(parts.next()?)?;
        let run = Uuid::try_parse(parts.next()?).ok()?.as_u128();
        let sequence = parts.next()?.parse().ok()?;
        Some(Self::Claim(id, Claimant { run, sequence }))
    }
}

/// A claim's value: the fingerprint of its request.
pub(super) fn claim(fingerprint: &[u8; 32]) -> Bytes {
    Bytes::from([&[VERSION], fingerprint.as_slice()].concat())
}

pub(super) fn read_claim(value: &[u8]) -> Option<[u8; 32]> {
    let (version, fingerprint) = value.split_first()?;
    (*version == VERSION).then(|| fingerprint.try_into().ok())?
}

/// An answer's value; `None` for one that is too long to be told.
pub(super) fn answer(kept: &Kept) -> Option<Bytes> {
    let Answer { status, content_type, body } = &*kept.answer;
    let content_type = CONTENT_TYPES.iter().position(|known| known == content_type)?;
    let content_type = u8::try_from(content_type).ok().filter(|_| body.len() <= BODY_BYTES_MAX)?;
    let mut value = BytesMut::with_capacity(1 + 32 + 2 + 1 + body.len());
    value.put_u8(VERSION);
    value.put_slice(&kept.fingerprint);
    value.put_u16_le(*status);
    value.put_u8(content_type);
    value.put_slice(body);
    Some(value.freeze())
}

pub(super) fn read_answer(value: &[u8]) -> Option<Kept> {
    let (version, rest) = value.split_first()?;
    let (fingerprint, rest) = rest.split_first_chunk::<32>()?;
    let (status, rest) = rest.split_first_chunk::<2>()?;
    let (content_type, body) = rest.split_first()?;
    let answer = Answer {
        status: u16::from_le_bytes(*status),
        content_type: CONTENT_TYPES.get(usize::from(*content_type))?,
        // Copied, since a slice would keep the whole batch it was read in.
        body: Bytes::copy_from_slice(body),
    };
    (*version == VERSION).then(|| Kept { fingerprint: *fingerprint, answer: answer.into() })
}

fn hex(ClaimId(bytes): ClaimId) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<ClaimId> {
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(ClaimId(bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::proptest;

    use super::super::super::answers::{Answer, ClaimId, Kept};
    use super::{BODY_BYTES_MAX, Claimant, Key, answer, claim, read_answer, read_claim};

    const ID: ClaimId = ClaimId([0xa7; 32]);

    fn kept(status: u16, content_type: &'static str, body: Vec<u8>) -> Kept {
        let answer = Arc::new(Answer { status, content_type, body: Bytes::from(body) });
        Kept { fingerprint: [3; 32], answer }
    }

    #[test]
    fn keys_and_values_come_back_as_they_went_in() {
        let claimant = Claimant { run: u128::MAX - 5, sequence: 12 };
        for key in [Key::Claim(ID, claimant), Key::Answer(ID, 7)] {
            assert_eq!(Key::parse(&key.to_bytes()), Some(key));
        }
        assert_eq!(read_claim(&claim(&[9; 32])), Some([9; 32]));
        let kept = kept(422, "application/problem+json", b"{}".to_vec());
        let read = read_answer(&answer(&kept).unwrap()).unwrap();
        assert_eq!((read.fingerprint, read.answer), (kept.fingerprint, kept.answer));
    }

    #[test]
    fn an_answer_too_long_for_the_log_is_not_told() {
        assert!(answer(&kept(207, "application/json", vec![b'x'; BODY_BYTES_MAX])).is_some());
        assert!(answer(&kept(207, "application/json", vec![b'x'; BODY_BYTES_MAX + 1])).is_none());
        assert!(answer(&kept(207, "text/html", Vec::new())).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(key: Vec<u8>, value: Vec<u8>, text in "(claim|answer)/[0-9a-f/]{0,120}") {
            let (_, _) = (Key::parse(&key), Key::parse(text.as_bytes()));
            let (_, _) = (read_claim(&value), read_answer(&value));
        }
    }
}
