//! What a client certificate says of its holder: a name, and when it ends.
//!
//! The TLS side has verified the certificate before it comes here: its chain, signature, times and use. What is read
//! here are the few fields that make a principal, by a reader that takes every length from the bytes it has and gives
//! up on anything unusual.
//!
//! ```text
//! Certificate ─ tbsCertificate ─ validity.notAfter            ─► end
//!                              ├ subject.commonName           ─► name, where there is no other
//!                              └ extensions.subjectAltName    ─► name: the first URI, else the first DNS name
//! ```

use crate::event::Timestamp;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]` around the version, and `[3]` around the extensions.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Kinds of names in a subjectAltName.
const DNS_NAME: u8 = 0x82;
const URI_NAME: u8 = 0x86;

/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Whom a certificate stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// The first URI among its names, else the first DNS name, else the common name; not empty.
    pub(super) name: String,
    /// The end of its validity.
    pub(super) expires_at: Timestamp,
}

/// Reads a certificate in DER; `None` for one that names nobody or that cannot be read.
pub(super) fn read(der: &[u8]) -> Option<Holder> {
    let mut certificate = Reader(Reader(der).take(SEQUENCE)?);
    let mut fields = Reader(certificate.take(SEQUENCE)?);
    fields.skip(VERSION);
    fields.take(INTEGER)?; // serial number
    fields.take(SEQUENCE)?; // signature algorithm
    fields.take(SEQUENCE)?; // issuer
    let mut validity = Reader(fields.take(SEQUENCE)?);
    let subject = fields.take(SEQUENCE)?;
    fields.take(SEQUENCE)?; // public key
    validity.next()?;
    let (kind, end) = validity.next()?;
    let names = extensions(fields)?;
    let name = first(names, URI_NAME).or_else(|| first(names, DNS_NAME)).or_else(|| common_name(subject))?;
    Some(Holder { name, expires_at: time(kind, end)? })
}

/// The names of the subjectAltName extension; empty where there is none.
fn extensions(mut fields: Reader<'_>) -> Option<&[u8]> {
    let found = std::iter::from_fn(|| fields.next()).find(|(tag, _)| *tag == EXTENSIONS);
    let Some((_, wrapped)) = found else { return Some(&[]) };
    let mut extensions = Reader(Reader(wrapped).take(SEQUENCE)?);
    while let Some((SEQUENCE, extension)) = extensions.next() {
        let mut parts = Reader(extension);
        if parts.take(OBJECT_ID)? == SUBJECT_ALT_NAME {
            let value = std::iter::from_fn(|| parts.next()).find(|(tag, _)| *tag == OCTET_STRING)?.1;
            return Reader(value).take(SEQUENCE);
        }
    }
    Some(&[])
}

/// The first name of a kind that is there and can be a name.
fn first(names: &[u8], kind: u8) -> Option<String> {
    let mut names = Reader(names);
    std::iter::from_fn(|| names.next()).filter(|(tag, _)| *tag == kind).find_map(|(_, name)| text(name))
}

fn common_name(subject: &[u8]) -> Option<String> {
    let mut sets = Reader(subject);
    while let Some((SET, set)) = sets.next() {
        let mut attributes = Reader(set);
        while let Some((SEQUENCE, attribute)) = attributes.next() {
            let mut parts = Reader(attribute);
            if parts.take(OBJECT_ID)? == COMMON_NAME {
                return match parts.next()? {
                    (UTF8_STRING | PRINTABLE_STRING | IA5_STRING, name) => text(name),
                    _ => None,
                };
            }
        }
    }
    None
}

fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    ((1..=256).contains(&text.len()) && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// `YYMMDDhhmmssZ` (of 1950 to 2049) or `YYYYMMDDhhmmssZ`.
fn time(kind: u8, bytes: &[u8]) -> Option<Timestamp> {
    let digits = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    let (year, rest) = match (kind, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at_checked(2)?;
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()
}

/// The elements of a piece of DER, one after the other.
#[derive(Debug, Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element's tag and content; `None` at the end, and where the rest is no element.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(length), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(length & 0x0f))?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element, which has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.next()?;
        (found == tag).then_some(content)
    }

    /// Passes over the next element where it has this tag.
    fn skip(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            self.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    use super::{GENERALIZED_TIME, UTC_TIME, read, time};

    /// A certificate with these names, good until 2040 began.
    fn certificate(common_name: Option<&str>, names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::OrganizationName, "Shop");
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.subject_alt_names = names;
        params.not_after = date_time_ymd(2040, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    #[test]
    fn a_holder_is_named_by_uri_before_dns_before_common_name() {
        let named = |certificate: &[u8]| read(certificate).map(|holder| holder.name);
        let spiffe = "spiffe://shop/orders";
        assert_eq!(named(&certificate(Some("cn"), vec![dns("a.test"), uri(spiffe)])).unwrap(), spiffe);
        assert_eq!(named(&certificate(Some("cn"), vec![dns("a.test"), dns("b.test")])).unwrap(), "a.test");
        assert_eq!(named(&certificate(Some("orders ü"), vec![])).unwrap(), "orders ü");
        assert_eq!(named(&certificate(None, vec![])), None);
        assert_eq!(named(&certificate(Some("a\nb"), vec![])), None);
    }

    #[test]
    fn the_end_is_read_in_both_forms() {
        let end = read(&certificate(Some("cn"), vec![])).unwrap().expires_at;
        assert_eq!(end.to_string(), "2040-01-01T00:00:00.000Z");
        let read = |kind, text: &str| time(kind, text.as_bytes()).map(|time| time.to_string());
        assert_eq!(read(UTC_TIME, "491231235959Z").unwrap(), "2049-12-31T23:59:59.000Z");
        assert_eq!(read(UTC_TIME, "500101000000Z").unwrap(), "1950-01-01T00:00:00.000Z");
        assert_eq!(read(GENERALIZED_TIME, "99991231235959Z").unwrap(), "9999-12-31T23:59:59.000Z");
        for bad in ["491231235959", "4912312359Z", "491331235959Z", "49123123595éZ", ""] {
            assert_eq!(read(UTC_TIME, bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_no_holder_and_no_panic() {
        let whole = certificate(Some("cn"), vec![uri("spiffe://shop/orders")]);
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), None, "{end}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                drop(read(&damaged));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, tag in any::<u8>()) {
            drop(read(&bytes));
            drop(read(&[&[tag, 0x82, 0xff, 0xff][..], &bytes].concat()));
        }
    }
}
