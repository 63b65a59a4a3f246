//! How a record says which schema wrote its data: Confluent's wire formats, byte for byte, and a header of the gateway's own
//! beside data that stands alone.
//!
//! ```text
//! prefix: 0x00, id (int32, big endian), indexes, data                  the value
//! header: 0x01, GUID (16 bytes), indexes ─ `__value_schema_id`; data   the value
//! none:   id, in digits ─ `weirgate-schema-id`; data                   the value
//! ```
//! Indexes say which of a Protobuf schema's messages the data is; elsewhere there are none, and data alone is of the first.
//! Either of Confluent's names is read in either place, as its deserializers do.

use bytes::Bytes;

use super::codec::{Codec, Undecodable};
use super::registry::Guid;
use super::{Checked, SchemaId};
use crate::event::envelope::Stored;
use crate::event::{Headers, Wire};

/// The record header that names the schema of the value in Confluent's format.
pub const HEADER: &str = "__value_schema_id";
/// The record header in which the gateway notes the schema of data that stands alone, so that it is read as it was written
/// when the type has another schema.
pub const OWN_HEADER: &str = "weirgate-schema-id";

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
    /// What names the schema in a header: [`OWN_HEADER`] beside data that stands alone, else [`HEADER`].
    pub header: Option<Bytes>,
}

impl Framed {
    /// Data that was checked; `json` is what was received of it. `None` where there is no schema that could be named, and for
    /// JSON that stands alone.
    #[must_use]
    pub fn new(wire: Wire, checked: &Checked, json: &[u8]) -> Option<Self> {
        let encoded = checked.encoded.as_ref();
        let indexes = encoded.map_or(&[][..], |encoded| &encoded.indexes);
        match wire {
            Wire::None => {
                let id = checked.schema?.to_string();
                let stored = Stored { value: encoded?.bytes.clone(), content_type: media_type(checked) };
                Some(Self { stored, header: Some(id.into()) })
            }
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
    indexes: Indexes<'b>,
    /// What the value has after the name.
    rest: &'b [u8],
}

/// Where the indexes are.
#[derive(Debug, PartialEq, Eq)]
enum Indexes<'b> {
    /// After the name, in the value.
    InValue,
    /// This, after the name in a header.
    InHeader(&'b [u8]),
    /// Nowhere: they are those of what the schema writes.
    Unsaid,
}

impl<'b> Frame<'b> {
    /// The name in a header, where there is one.
    pub(super) fn beside(value: &'b [u8], headers: &'b Headers) -> Result<Option<Self>, &'static str> {
        if let Some(header) = headers.last(HEADER) {
            let (writer, rest) = name(header)?.ok_or("the header __value_schema_id is in an unknown form")?;
            return Ok(Some(Self { writer, indexes: Indexes::InHeader(rest), rest: value }));
        }
        let Some(own) = headers.last(OWN_HEADER) else { return Ok(None) };
        let number = std::str::from_utf8(own).ok().and_then(|digits| digits.parse().ok());
        let id = number.and_then(SchemaId::new).ok_or("the header weirgate-schema-id is no id")?;
        Ok(Some(Self::alone(id, value)))
    }

    /// The name at the front of the value, where there is one.
    pub(super) fn before(value: &'b [u8]) -> Result<Option<Self>, &'static str> {
        Ok(name(value)?.map(|(writer, rest)| Self { writer, indexes: Indexes::InValue, rest }))
    }

    /// A value that is all data, by this schema.
    pub(super) const fn alone(id: SchemaId, value: &'b [u8]) -> Self {
        Self { writer: Writer::Id(id), indexes: Indexes::Unsaid, rest: value }
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
        let (indexes, data) = match self.indexes {
            Indexes::InValue => codec.split(self.rest)?,
            Indexes::InHeader(in_header) => {
                let (indexes, beyond) = codec.split(in_header)?;
                if !beyond.is_empty() {
                    let problem = "the header __value_schema_id has bytes after its end".to_owned();
                    return Err(Undecodable { problem });
                }
                (indexes, self.rest)
            }
            Indexes::Unsaid => (codec.indexes(), self.rest),
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

    use super::{Frame, Framed, Guid, HEADER, OWN_HEADER, Writer};
    use crate::event::{Headers, Wire};
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
    fn data_stands_alone_beside_the_number_of_its_schema() {
        let noted = Some(b"16909060".to_vec());
        assert_eq!(frame(Wire::None, Some((b"", b"\x06abc"))), (b"\x06abc".to_vec(), noted.clone()));
        assert_eq!(frame(Wire::None, Some((b"\x00", b""))), (vec![], noted));
    }

    #[test]
    fn only_json_without_a_frame_keeps_its_media_type() {
        let of = |wire, encoded| Framed::new(wire, &checked(encoded), b"{}").unwrap().stored.content_type;
        assert_eq!(of(Wire::Header, None), None);
        assert_eq!(of(Wire::Prefix, None), Some("application/octet-stream"));
        assert_eq!(of(Wire::Header, Some((b"", b"\x06abc"))), Some("application/avro"));
        assert_eq!(of(Wire::Prefix, Some((b"\x00", b"\x0a"))), Some("application/protobuf"));
        assert_eq!(of(Wire::None, Some((b"\x00", b"\x0a"))), Some("application/protobuf"));
    }

    #[test]
    fn what_cannot_name_a_schema_is_no_frame() {
        assert_eq!(Framed::new(Wire::None, &checked(None), b"{}"), None);
        for wire in [Wire::None, Wire::Prefix, Wire::Header] {
            assert_eq!(Framed::new(wire, &Checked::default(), b"{}"), None);
        }
    }

    fn headers(name: &str, value: &[u8]) -> Headers {
        Headers::new(vec![(name.into(), Some(Bytes::copy_from_slice(value)))])
    }

    #[test]
    fn either_name_is_found_in_either_place() {
        let id = Writer::Id(SchemaId::new(7).unwrap());
        let guid = Writer::Guid(Guid::parse(UUID).unwrap());
        let by_id: &[u8] = b"\x00\x00\x00\x00\x07";
        let by_guid = [b"\x01", UUID_BYTES].concat();
        for (name, writer) in [(by_id, id), (&by_guid[..], guid)] {
            let value = [name, b"{}"].concat();
            let found = Frame::before(&value).unwrap().unwrap();
            assert_eq!((found.writer, found.begin(&value)), (writer, name.len()));
            let headers = headers(HEADER, name);
            let found = Frame::beside(b"{}", &headers).unwrap().unwrap();
            assert_eq!((found.writer, found.begin(b"{}")), (writer, 0));
        }
        assert_eq!(Frame::beside(by_id, &Headers::default()), Ok(None));
        for plain in [&b""[..], b"{}", b"\x02\x00\x00\x00\x07", b"\xff"] {
            assert_eq!(Frame::before(plain), Ok(None), "{plain:?}");
            assert!(Frame::beside(b"{}", &headers(HEADER, plain)).is_err(), "{plain:?}");
        }
        for cut in [
            &b"\x00"[..],
            b"\x00\x00\x00\x07",
            &by_guid[..16],
            b"\x00\x00\x00\x00\x00",
            b"\x00\xff\xff\xff\xff",
        ] {
            assert!(Frame::before(cut).is_err(), "{cut:?}");
            assert!(Frame::beside(b"{}", &headers(HEADER, cut)).is_err(), "{cut:?}");
        }
    }

    #[test]
    fn the_gateways_own_name_is_the_number_of_a_schema_and_gives_way_to_confluents() {
        let seven = SchemaId::new(7).unwrap();
        assert_eq!(
            Frame::beside(b"\x00\x00", &headers(OWN_HEADER, b"7")),
            Ok(Some(Frame::alone(seven, b"\x00\x00")))
        );
        for wrong in [&b""[..], b"0", b"-1", b"7 ", b"2147483648", b"\x00\x00\x00\x00\x07", b"\xff"] {
            assert!(Frame::beside(b"", &headers(OWN_HEADER, wrong)).is_err(), "{wrong:?}");
        }
        let confluents = Some(Bytes::from_static(b"\x00\x00\x00\x00\x08"));
        let both = Headers::new(vec![
            (HEADER.into(), confluents),
            (OWN_HEADER.into(), Some(Bytes::from_static(b"7"))),
        ]);
        let found = Frame::beside(b"", &both).unwrap().unwrap();
        assert_eq!(found.writer, Writer::Id(SchemaId::new(8).unwrap()));
    }
}
