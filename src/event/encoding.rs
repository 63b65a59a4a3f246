//! In which language a topic holds the data of its events, and where a record says which schema wrote it.

/// The language in which a topic holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As it was posted.
    Json,
    /// Avro's binary encoding.
    Avro,
    /// Protobuf.
    Protobuf,
}

impl Format {
    /// Its name in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro => "avro",
            Self::Protobuf => "protobuf",
        }
    }
}

/// Where a record says which schema wrote its data, for readers of Confluent's formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// Nowhere: the value is the data alone, in whatever language.
    None,
    /// Before the data, by the schema's id.
    Prefix,
    /// In a header, by the schema's GUID.
    Header,
}

impl Wire {
    /// Whether a record says it to those readers.
    #[must_use]
    pub const fn is_framed(self) -> bool {
        match self {
            Self::None => false,
            Self::Prefix | Self::Header => true,
        }
    }
}
