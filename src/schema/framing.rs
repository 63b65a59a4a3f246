//! How a record says which schema wrote its data: Confluent's wire formats, byte for byte.
//!
//! ```text
//! prefix: 0x00, id (int32, big endian), indexes, data                  the value
//! header: 0x01, GUID (16 bytes), indexes ─ `__value_schema_id`; data   the value
//! ```
//! Indexes say which of a Protobuf schema's messages the data is; elsewhere there are none. Either form of name is read in
//! either place, as Confluent's deserializers do.

use bytes::Bytes;

use super::codec::{Codec, Undecodable};
use super::registry::Guid;
use super::{Checked, SchemaId};
use crate::event::Wire;
use crate::event::envelope::Stored;

/// The record header that names the schema of the value.
pub const HEADER: &str = "__value_schema_id";

/// JSON behind a name is JSON to nobody who does not know that.
const FRAMED_JSON: &str = "application/octet-stream";

const ID: u8 = 0;
const GUID: u8 = 1;

/// The schema that wrote a record, as the record names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Writer {
    Id(SchemaId),
    Guid(Guid),
}

impl std::fmt::Display for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(formatter, "the id {id}"),
            Self::Guid(guid) => write!(formatter, "the GUID {guid}"),
        }
    }
}

/// Data as it is stored, and what says which schema wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framed {
    /// The record's value.
    pub stored: Stored,
    /// The value of the record's [`HEADER`], where that names the schema.
    pub header: Option<Bytes>,
}

impl Framed {
    /// Data that was checked; `json` is what was received of it. `None` where the records of a topic name no schema, and
    /// where there is none that could be named.
    #[must_use]
    pub fn new(wire: Wire, checked: &Checked, json: &[u8]) -> Option<Self> {
        let encoded = checked.encoded.as_ref();
        let indexes = encoded.map_or(&[][..], |encoded| &encoded.indexes);
        match wire {
            Wire::None => None,
            Wire::Prefix => {
                let id = checked.schema?.number().to_be_bytes();
                let data = encoded.map_or(json, |encoded| &encoded.bytes);
                let value = [&[ID], &id[..], indexes, data].concat();
                let content_type = Some(media_type(checked).unwrap_or(FRAMED_JSON));
                Some(Self { stored: Stored { value: value.into(), content_type }, header: None })
            }
            Wire::Header => {
                let guid = checked.guid?;
                let header = [&[GUID], &guid.as_bytes()[..], indexes].concat();
                let value =
                    encoded.map_or_else(|| Bytes::copy_from_slice(json), |encoded| encoded.bytes.clone());
                let content_type = media_type(checked);
                Some(Self { stored: Stored { value, content_type }, header: Some(header.into()) })
            }
        }
    }
}

/// The media type of data in a language of its own.
fn media_type(checked: &Checked) -> Option<&'static str> {
    match &checked.encoded {
        None => None,
        Some(encoded) if encoded.indexes.is_empty() => Some("application/avro"),
        Some(_) => Some("application/protobuf"),
    }
}

/// A record's value, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'b> {
    pub(super) writer: Writer,
    /// What a header has after the name.
    in_header: Option<&'b [u8]>,
    /// What the value has after the name.
    rest: &'b [u8],
}

impl<'b> Frame<'b> {
    /// Takes the name off, where there is one.
    pub(super) fn find(value: &'b [u8], header: Option<&'b [u8]>) -> Result<Option<Self>, &'static str> {
        if let Some(header) = header {
            let (writer, rest) = name(header)?.ok_or("the header __value_schema_id is in an unknown form")?;
            return Ok(Some(Self { writer, in_header: Some(rest), rest: value }));
        }
        Ok(name(value)?.map(|(writer, rest)| Self { writer, in_header: None, rest }))
    }

    /// Where the data of a language without indexes begins in the value.
    pub(super) const fn begin(&self, value: &[u8]) -> usize {
        value.len().saturating_sub(self.rest.len())
    }

    /// Appends the data as JSON.
    pub(super) fn decode(
        &self,
        codec: &dyn Codec,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Undecodable> {
        let (indexes, data) = match self.in_header {
            None => codec.split(self.rest)?,
            Some(in_header) => {
                let (indexes, beyond) = codec.split(in_header)?;
                if !beyond.is_empty() {
                    let problem = "the header __value_schema_id has bytes after its end".to_owned();
                    return Err(Undecodable { problem });
                }
                (indexes, self.rest)
            }
        };
        codec.decode(indexes, data, bytes_max, out)
    }
}

/// The schema named at the front of bytes, and the rest; `None` where nothing is named.
fn name(bytes: &[u8]) -> Result<Option<(Writer, &[u8])>, &'static str> {
    const CUT_OFF: &str = "cut off within the name of the schema";
    match bytes.split_first() {
        Some((&ID, rest)) => {
            let (id, rest) = rest.split_first_chunk::<4>().ok_or(CUT_OFF)?;
            let id = SchemaId::new(i32::from_be_bytes(*id)).ok_or("an id that no schema can have")?;
            Ok(Some((Writer::Id(id), rest)))
        }
        Some((&GUID, rest)) => {
            let (guid, rest) = rest.split_first_chunk::<16>().ok_or(CUT_OFF)?;
            Ok(Some((Writer::Guid(Guid::from_bytes(*guid)), rest)))
        }
        Some(_) | None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Frame, Framed, Guid, Writer};
    use crate::event::Wire;
    use crate::schema::codec::Encoded;
    use crate::schema::{Checked, SchemaId};

    const UUID: &str = "89791762-2336-4186-9674-299b90a802e2";
    const UUID_BYTES: &[u8] = b"\x89\x79\x17\x62\x23\x36\x41\x86\x96\x74\x29\x9b\x90\xa8\x02\xe2";

    fn checked(encoded: Option<(&'static [u8], &'static [u8])>) -> Checked {
        let encoded = encoded.map(|(indexes, bytes)| Encoded {
            indexes: Bytes::from_static(indexes),
            bytes: Bytes::from_static(bytes),
        });
        Checked { schema: SchemaId::new(0x0102_0304), guid: Guid::parse(UUID), subject: None, encoded }
    }

    fn frame(wire: Wire, encoded: Option<(&'static [u8], &'static [u8])>) -> (Vec<u8>, Option<Vec<u8>>) {
        let Framed { stored, header } = Framed::new(wire, &checked(encoded), b"{}").unwrap();
        (stored.value.to_vec(), header.map(|header| header.to_vec()))
    }

    #[test]
    fn frames_are_those_of_confluents_clients_byte_for_byte() {
        let prefix = |rest: &[u8]| ([b"\x00\x01\x02\x03\x04", rest].concat(), None);
        assert_eq!(frame(Wire::Prefix, None), prefix(b"{}"));
        assert_eq!(frame(Wire::Prefix, Some((b"", b"\x06abc"))), prefix(b"\x06abc"));
        // The message indexes [0] and [1, 2]: the first is written as one zero, the other as its length and numbers in zigzag.
        assert_eq!(frame(Wire::Prefix, Some((b"\x00", b"\x0a\x01a"))), prefix(b"\x00\x0a\x01a"));
        assert_eq!(frame(Wire::Prefix, Some((b"\x04\x02\x04", b"\x0a"))), prefix(b"\x04\x02\x04\x0a"));

        let header = |rest: &[u8]| Some([b"\x01", UUID_BYTES, rest].concat());
        assert_eq!(frame(Wire::Header, None), (b"{}".to_vec(), header(b"")));
        assert_eq!(frame(Wire::Header, Some((b"\x00", b"\x0a"))), (b"\x0a".to_vec(), header(b"\x00")));
        assert_eq!(
            frame(Wire::Header, Some((b"\x04\x02\x04", b"\x0a"))),
            (b"\x0a".to_vec(), header(b"\x04\x02\x04"))
        );
    }

    #[test]
    fn only_json_without_a_frame_keeps_its_media_type() {
        let of = |wire, encoded| Framed::new(wire, &checked(encoded), b"{}").unwrap().stored.content_type;
        assert_eq!(of(Wire::Header, None), None);
        assert_eq!(of(Wire::Prefix, None), Some("application/octet-stream"));
        assert_eq!(of(Wire::Header, Some((b"", b"\x06abc"))), Some("application/avro"));
        assert_eq!(of(Wire::Prefix, Some((b"\x00", b"\x0a"))), Some("application/protobuf"));
    }

    #[test]
    fn what_cannot_name_a_schema_is_no_frame() {
        assert_eq!(Framed::new(Wire::None, &checked(None), b"{}"), None);
        for wire in [Wire::Prefix, Wire::Header] {
            assert_eq!(Framed::new(wire, &Checked::default(), b"{}"), None);
        }
    }

    #[test]
    fn either_name_is_found_in_either_place() {
        let id = Writer::Id(SchemaId::new(7).unwrap());
        let guid = Writer::Guid(Guid::parse(UUID).unwrap());
        let by_id: &[u8] = b"\x00\x00\x00\x00\x07";
        let by_guid = [b"\x01", UUID_BYTES].concat();
        for (name, writer) in [(by_id, id), (&by_guid[..], guid)] {
            let value = [name, b"{}"].concat();
            let found = Frame::find(&value, None).unwrap().unwrap();
            assert_eq!((found.writer, found.begin(&value)), (writer, name.len()));
            let found = Frame::find(b"{}", Some(name)).unwrap().unwrap();
            assert_eq!((found.writer, found.begin(b"{}")), (writer, 0));
        }
        for plain in [&b""[..], b"{}", b"\x02\x00\x00\x00\x07", b"\xff"] {
            assert_eq!(Frame::find(plain, None), Ok(None), "{plain:?}");
            assert!(Frame::find(b"{}", Some(plain)).is_err(), "{plain:?}");
        }
        for cut in [
            &b"\x00"[..],
            b"\x00\x00\x00\x07",
            &by_guid[..16],
            b"\x00\x00\x00\x00\x00",
            b"\x00\xff\xff\xff\xff",
        ] {
            assert!(Frame::find(cut, None).is_err(), "{cut:?}");
            assert!(Frame::find(b"{}", Some(cut)).is_err(), "{cut:?}");
        }
    }
}
