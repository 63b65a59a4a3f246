//! Documents as they are sent, kept for who asks next.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::document::document;
use super::known::Known;

/// Callers of this many kinds are answered without making the document anew.
const KEPT_MAX: usize = 16;

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Yaml,
}

impl Form {
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/vnd.aai.asyncapi+json;version=3.0.0",
            Self::Yaml => "application/vnd.aai.asyncapi+yaml;version=3.0.0",
        }
    }

    fn write(self, known: &Known) -> String {
        let document = document(known);
        match self {
            Self::Json => format!("{document:#}\n"),
            Self::Yaml => serde_saphyr::to_string(&document).unwrap_or_else(|_| format!("{document:#}\n")),
        }
    }
}

/// A document as it is sent.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) form: Form,
    pub(super) body: Bytes,
    /// Strong: equal tags are equal bytes (RFC 9110 §8.8.1).
    pub(super) etag: String,
}

/// The documents made last.
#[derive(Debug, Default)]
pub(in crate::http) struct Kept(Mutex<VecDeque<(Known, Arc<Rendered>)>>);

impl Kept {
    /// The document of what is known, made anew where none is kept. Takes about 0.1 ms an event type then.
    pub(super) fn render(&self, known: Known, form: Form) -> Arc<Rendered> {
        let is_same = |(have, rendered): &&(Known, Arc<Rendered>)| rendered.form == form && *have == known;
        if let Some((_, rendered)) = self.lock().iter().find(is_same) {
            return Arc::clone(rendered);
        }
        let body = form.write(&known);
        let digest = Sha256::digest(&body);
        let etag =
            digest.iter().take(16).fold(String::from("\""), |tag, byte| format!("{tag}{byte:02x}")) + "\"";
        let rendered = Arc::new(Rendered { form, body: body.into(), etag });
        let mut kept = self.lock();
        kept.truncate(KEPT_MAX - 1);
        kept.push_front((known, Arc::clone(&rendered)));
        rendered
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Known, Arc<Rendered>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
