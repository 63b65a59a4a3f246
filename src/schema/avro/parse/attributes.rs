//! The members of a type's or field's object, and what the logical ones make of it.

use serde_json::{Map, Value};

use super::super::tree::Unit;
use super::{Meaning, Octets};

/// A decimal may have this many digits.
const PRECISION_MAX: u64 = 1_000;

/// The members of an object of a schema.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'s>(pub(super) &'s Map<String, Value>);

impl<'s> Attributes<'s> {
    pub(super) fn get(self, name: &str) -> Option<&'s Value> {
        self.0.get(name)
    }

    pub(super) fn required(self, name: &str) -> Result<&'s Value, String> {
        self.get(name).ok_or_else(|| format!("lacks {name}"))
    }

    pub(super) fn text(self, name: &str) -> Result<&'s str, String> {
        self.required(name)?.as_str().ok_or_else(|| format!("{name} must be a string"))
    }

    pub(super) fn list(self, name: &str) -> Result<&'s [Value], String> {
        let list = self.required(name)?.as_array();
        list.map(Vec::as_slice).ok_or_else(|| format!("{name} must be an array"))
    }

    pub(super) fn doc(self) -> Option<Box<str>> {
        self.get("doc").and_then(Value::as_str).map(Into::into)
    }

    /// Other names; none where nothing is said of them.
    pub(super) fn aliases(self) -> Result<Vec<&'s str>, String> {
        if self.get("aliases").is_none() {
            return Ok(Vec::new());
        }
        let aliases = self.list("aliases")?.iter().map(Value::as_str).collect::<Option<_>>();
        aliases.ok_or_else(|| "aliases must be strings".to_owned())
    }

    pub(super) fn logical(self) -> Option<&'s str> {
        self.get("logicalType").and_then(Value::as_str)
    }
}

/// What a whole number stands for; a logical type that is not known, or of another type, means nothing.
pub(super) fn count_meaning(attributes: Attributes<'_>, name: &str) -> Meaning {
    match (name, attributes.logical()) {
        ("int", Some("date")) => Meaning::Date,
        ("int", Some("time-millis")) => Meaning::TimeOfDay(Unit::Millis),
        ("long", Some("time-micros")) => Meaning::TimeOfDay(Unit::Micros),
        ("long", Some("timestamp-millis")) => Meaning::Instant(Unit::Millis),
        ("long", Some("timestamp-micros")) => Meaning::Instant(Unit::Micros),
        ("long", Some("timestamp-nanos")) => Meaning::Instant(Unit::Nanos),
        ("long", Some("local-timestamp-millis")) => Meaning::Local(Unit::Millis),
        ("long", Some("local-timestamp-micros")) => Meaning::Local(Unit::Micros),
        ("long", Some("local-timestamp-nanos")) => Meaning::Local(Unit::Nanos),
        _ => Meaning::Number,
    }
}

/// What bytes stand for, all or so many; a logical type that makes no sense means nothing.
pub(super) fn octets(attributes: Attributes<'_>, size: Option<usize>) -> Result<Octets, String> {
    let whole = |name| attributes.get(name).and_then(Value::as_u64);
    match (attributes.logical(), size) {
        (Some("uuid"), Some(16)) => Ok(Octets::Uuid),
        (Some("decimal"), _) => {
            let scale = if attributes.get("scale").is_some() { whole("scale") } else { Some(0) };
            let (Some(precision), Some(scale)) = (whole("precision"), scale) else {
                return Ok(Octets::Plain);
            };
            if precision == 0 || scale > precision || size.is_some_and(|size| digits_max(size) < precision) {
                return Ok(Octets::Plain);
            }
            let (Some(precision), Some(scale)) = (bounded(precision), bounded(scale)) else {
                return Err(format!("a decimal may have at most {PRECISION_MAX} digits"));
            };
            Ok(Octets::Decimal { precision, scale })
        }
        _ => Ok(Octets::Plain),
    }
}

fn bounded(digits: u64) -> Option<usize> {
    usize::try_from(digits).ok().filter(|_| digits <= PRECISION_MAX)
}

/// How many digits every number of so many bytes, the sign included, can have.
fn digits_max(size: usize) -> u64 {
    let bits = u64::try_from(size).unwrap_or(u64::MAX).saturating_mul(8).saturating_sub(1);
    // The logarithm of 2 to base 10, from below.
    bits.min(1 << 40) * 30_102_999 / 100_000_000
}
