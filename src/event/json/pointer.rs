//! JSON pointers (RFC 6901).

use std::fmt;
use std::sync::Arc;

/// A JSON pointer (RFC 6901), parsed. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pointer(Arc<[Box<str>]>);

/// Why a text is no JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a JSON pointer such as /data/customerId")]
pub struct PointerError;

impl Pointer {
    /// Reads a pointer; the empty text is the whole document.
    ///
    /// # Errors
    /// When the text is not empty and does not begin with `/`, or holds a `~` not followed by 0 or 1.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self(Arc::from([])));
        }
        let rest = text.strip_prefix('/').ok_or(PointerError)?;
        let unescape = |part: &str| {
            let is_bad = part.split('~').skip(1).any(|after| !after.starts_with(['0', '1']));
            if is_bad { Err(PointerError) } else { Ok(part.replace("~1", "/").replace("~0", "~").into()) }
        };
        rest.split('/').map(unescape).collect::<Result<Vec<Box<str>>, _>>().map(|parts| Self(parts.into()))
    }

    /// The pointer of these parts, which are not escaped.
    pub(crate) fn of(parts: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        Self(parts.into_iter().map(Into::into).collect())
    }

    /// The parts, unescaped.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|part| write!(formatter, "/{}", part.replace('~', "~0").replace('/', "~1")))
    }
}
