//! What a schema is: its language, its text, and the versions it refers to. Equal content has one identity everywhere.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::event::{Format, Subject};

/// The language of a schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// What clients mean when they name none.
    #[default]
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol Buffers.
    Protobuf,
}

/// The identity of content, a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(Uuid);

/// The number of a version within its subject, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u32);

/// A version that a schema refers to, by the name under which the schema knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// As the schema writes it: a URI, a file's name, a type's name.
    pub name: String,
    /// The subject.
    pub subject: Subject,
    /// The version.
    pub version: Version,
}

/// A schema as it is kept and given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// The identity: of kind, references and canonical text, so that it is the same on every gateway.
    pub guid: Guid,
    /// The language.
    #[serde(rename = "schemaType")]
    pub kind: Kind,
    /// The text as it was registered first, or a readable form of it.
    #[serde(rename = "schema")]
    pub text: String,
    /// What it refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
}

impl Kind {
    /// All languages by name.
    pub const ALL: [Self; 3] = [Self::Avro, Self::Json, Self::Protobuf];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }

    /// The format of topics whose data it describes.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::Avro => Format::Avro,
            Self::Json => Format::Json,
            Self::Protobuf => Format::Protobuf,
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Guid {
    /// Reads a UUID.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// The UUID of these bytes.
    pub(in crate::schema) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Its bytes, the most significant first.
    pub(in crate::schema) const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl std::fmt::Display for Guid {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for Guid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("is no UUID"))
    }
}

impl Version {
    /// The first of a subject.
    pub const FIRST: Self = Self(1);
    /// The last that clients can say.
    const LAST: u32 = i32::MAX.unsigned_abs();

    /// The version of this number, where it can be one.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number >= 1 && number <= Self::LAST { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    pub(super) const fn next(self) -> Option<Self> {
        Self::new(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Content {
    /// Content whose identity is that of `canonical`, a form of the text that leaves out what means nothing.
    pub(super) fn new(kind: Kind, text: String, canonical: &str, references: Vec<Reference>) -> Self {
        let mut named: Vec<&Reference> = references.iter().collect();
        named.sort();
        let mut digest = Sha256::new();
        // Lengths keep parts apart that would read the same when joined.
        let mut take = |part: &[u8]| {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        take(kind.as_str().as_bytes());
        take(canonical.as_bytes());
        for reference in named {
            take(reference.name.as_bytes());
            take(reference.subject.as_str().as_bytes());
            take(&reference.version.0.to_be_bytes());
        }
        let digest: [u8; 32] = digest.finalize().into();
        let (half, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        let guid = Guid(uuid::Builder::from_custom_bytes(*half).into_uuid());
        Self { guid, kind, text, references }
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, Kind, Reference, Version};
    use crate::event::Subject;

    fn reference(name: &str, subject: &str, version: u32) -> Reference {
        let (subject, version) = (Subject::parse(subject).unwrap(), Version::new(version).unwrap());
        Reference { name: name.to_owned(), subject, version }
    }

    #[test]
    fn the_identity_is_that_of_kind_canonical_text_and_references_in_any_order() {
        let guid = |kind, text: &str, canonical, references: &[Reference]| {
            Content::new(kind, text.to_owned(), canonical, references.to_vec()).guid
        };
        let (one, other) = (reference("a", "bc", 1), reference("ab", "c", 1));
        let first = guid(Kind::Json, "{ }", "{}", &[one.clone(), other.clone()]);
        assert_eq!(first, guid(Kind::Json, "{}", "{}", &[other.clone(), one.clone()]));
        for different in [
            guid(Kind::Avro, "{}", "{}", &[one.clone(), other.clone()]),
            guid(Kind::Json, "{}", "[]", &[one.clone(), other.clone()]),
            guid(Kind::Json, "{}", "{}", &[one.clone(), one]),
            guid(Kind::Json, "{}", "{}", &[other]),
        ] {
            assert_ne!(first, different);
        }
    }

    #[test]
    fn versions_are_what_clients_can_say() {
        assert_eq!(Version::new(0), None);
        assert_eq!(Version::new(2_147_483_648), None);
        let last = Version::new(2_147_483_647).unwrap();
        assert_eq!((Version::FIRST.next().map(Version::number), last.next()), (Some(2), None));
    }
}
