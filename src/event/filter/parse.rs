//! Reading a filter, within bounds and with an error that says what to write instead.
//!
//! ```text
//! filter  = {"and": [filter, …]} | {"or": [filter, …]} | {"not": filter} | test
//! test    = {source, one or more operators, all of which must hold}
//! source  = "pointer": "/data/…" | "header": "name" | "key": true
//! operator = "eq": scalar | "in": [scalar, …] | "prefix": text | "exists": bool | "gt" "ge" "lt" "le": text or number
//! ```

use serde_json::{Map, Value};

use super::super::json::Pointer;
use super::{Filter, FilterError, Order, Scalar, Source, Test};

/// How deep `and`, `or` and `not` may nest.
pub(super) const DEPTH_MAX: usize = 8;
/// How many tests and listed values one filter may hold.
pub(super) const TERMS_MAX: usize = 256;
/// How many bytes the filter's text may have.
pub(super) const BYTES_MAX: usize = 16 * 1024;

impl Filter {
    /// Reads a filter from JSON text.
    ///
    /// # Errors
    /// When it is no filter, or above its bounds: 16 KiB, 8 levels, 256 tests and listed values.
    pub fn parse_text(text: &str) -> Result<Self, FilterError> {
        if text.len() > BYTES_MAX {
            return Err(error("", format!("must have at most {BYTES_MAX} bytes")));
        }
        let value = serde_json::from_str(text).map_err(|_| error("", "must be JSON".to_owned()))?;
        Self::parse(&value)
    }

    /// Reads a filter from a JSON value.
    ///
    /// # Errors
    /// As [`Filter::parse_text`].
    pub fn parse(value: &Value) -> Result<Self, FilterError> {
        Parser { terms: 0, bytes: 0 }.filter(value, "", 1)
    }
}

/// What has been used of the bounds.
struct Parser {
    terms: usize,
    bytes: usize,
}

impl Parser {
    fn filter(&mut self, value: &Value, at: &str, depth: usize) -> Result<Filter, FilterError> {
        if depth > DEPTH_MAX {
            return Err(error(at, format!("must nest at most {DEPTH_MAX} levels")));
        }
        let Value::Object(members) = value else {
            return Err(error(
                at,
                "must be an object such as {\"pointer\":\"/data/customerId\",\"eq\":\"42\"}".into(),
            ));
        };
        for (name, build) in [("and", Filter::all as fn(Vec<Filter>) -> Filter), ("or", Filter::any)] {
            if let Some(list) = members.get(name) {
                alone(members, name, at)?;
                return Ok(build(self.list(list, &format!("{at}/{name}"), depth)?));
            }
        }
        if let Some(inner) = members.get("not") {
            alone(members, "not", at)?;
            return Ok(Filter::not(self.filter(inner, &format!("{at}/not"), depth + 1)?));
        }
        self.test(members, at)
    }

    fn list(&mut self, value: &Value, at: &str, depth: usize) -> Result<Vec<Filter>, FilterError> {
        let filters = value.as_array().filter(|list| !list.is_empty());
        let filters =
            filters.ok_or_else(|| error(at, "must be an array of one or more filters".to_owned()))?;
        let mut read = Vec::with_capacity(filters.len());
        for (index, filter) in filters.iter().enumerate() {
            read.push(self.filter(filter, &format!("{at}/{index}"), depth + 1)?);
        }
        Ok(read)
    }

    fn test(&mut self, members: &Map<String, Value>, at: &str) -> Result<Filter, FilterError> {
        let source = self.source(members, at)?;
        let mut tests = Vec::new();
        for (name, value) in members {
            let at = format!("{at}/{name}");
            let test = match name.as_str() {
                "pointer" | "header" | "key" => continue,
                "eq" => Test::of(vec![self.scalar(value, &at)?]),
                "in" => self.any_of(value, &at)?,
                "prefix" => Test::Prefix(self.text(value, &at)?.into()),
                "exists" => Test::Exists(
                    value.as_bool().ok_or_else(|| error(&at, "must be true or false".to_owned()))?,
                ),
                "gt" => Test::Order(Order::Gt, self.bound(value, &at)?),
                "ge" => Test::Order(Order::Ge, self.bound(value, &at)?),
                "lt" => Test::Order(Order::Lt, self.bound(value, &at)?),
                "le" => Test::Order(Order::Le, self.bound(value, &at)?),
                _ => {
                    let known = "pointer, header, key, eq, in, prefix, exists, gt, ge, lt, le, and, or, not";
                    return Err(error(&at, format!("is unknown; a filter has {known}")));
                }
            };
            self.count(&at)?;
            tests.push(Filter::test(source.clone(), test));
        }
        if tests.is_empty() {
            return Err(error(at, "must ask something: eq, in, prefix, exists, gt, ge, lt or le".to_owned()));
        }
        Ok(Filter::all(tests))
    }

    fn source(&mut self, members: &Map<String, Value>, at: &str) -> Result<Source, FilterError> {
        match (members.get("pointer"), members.get("header"), members.get("key")) {
            (Some(pointer), None, None) => {
                let at = format!("{at}/pointer");
                let text = self.text(pointer, &at)?;
                let pointer = Pointer::parse(text).map_err(|problem| error(&at, problem.to_string()))?;
                Ok(Source::Pointer(pointer))
            }
            (None, Some(header), None) => {
                Ok(Source::Header(self.text(header, &format!("{at}/header"))?.into()))
            }
            (None, None, Some(Value::Bool(true))) => Ok(Source::Key),
            (None, None, Some(_)) => {
                Err(error(&format!("{at}/key"), "must be true: {\"key\":true,\"eq\":\"42\"}".to_owned()))
            }
            _ => Err(error(at, "must have exactly one of pointer, header, key, and, or, not".to_owned())),
        }
    }

    fn any_of(&mut self, value: &Value, at: &str) -> Result<Test, FilterError> {
        let values = value.as_array().filter(|list| !list.is_empty());
        let values = values.ok_or_else(|| error(at, "must be an array of one or more values".to_owned()))?;
        let mut scalars = Vec::with_capacity(values.len().min(TERMS_MAX));
        for (index, value) in values.iter().enumerate() {
            let at = format!("{at}/{index}");
            self.count(&at)?;
            scalars.push(self.scalar(value, &at)?);
        }
        Ok(Test::of(scalars))
    }

    fn bound(&mut self, value: &Value, at: &str) -> Result<Scalar<'static>, FilterError> {
        let scalar = self.scalar(value, at)?;
        if scalar.is_ordered() {
            Ok(scalar)
        } else {
            Err(error(at, "must be a string or a number".to_owned()))
        }
    }

    fn scalar(&mut self, value: &Value, at: &str) -> Result<Scalar<'static>, FilterError> {
        if value.is_string() {
            self.text(value, at)?;
        }
        Scalar::of_json(value)
            .ok_or_else(|| error(at, "must be a string, a number, true, false or null".to_owned()))
    }

    fn text<'v>(&mut self, value: &'v Value, at: &str) -> Result<&'v str, FilterError> {
        let text = value.as_str().ok_or_else(|| error(at, "must be a string".to_owned()))?;
        self.bytes += text.len();
        if self.bytes > BYTES_MAX {
            return Err(error(at, format!("all strings together must have at most {BYTES_MAX} bytes")));
        }
        Ok(text)
    }

    fn count(&mut self, at: &str) -> Result<(), FilterError> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(error(at, format!("must hold at most {TERMS_MAX} tests and listed values")));
        }
        Ok(())
    }
}

fn alone(members: &Map<String, Value>, name: &str, at: &str) -> Result<(), FilterError> {
    if members.len() == 1 { Ok(()) } else { Err(error(at, format!("must hold nothing beside '{name}'"))) }
}

fn error(pointer: &str, problem: String) -> FilterError {
    FilterError { pointer: pointer.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Filter;
    use super::{BYTES_MAX, DEPTH_MAX, TERMS_MAX};

    fn problem(filter: &str) -> String {
        Filter::parse_text(filter).unwrap_err().to_string()
    }

    #[test]
    fn equal_filters_are_one_whatever_their_order_of_listed_values() {
        let one = Filter::parse_text(r#"{"pointer":"/data/a","in":[1,"x",2.0]}"#).unwrap();
        let other = Filter::parse(&json!({"in": ["x", 2, 1, 1], "pointer": "/data/a"})).unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn what_is_no_filter_is_refused_with_its_place() {
        for (filter, wanted) in [
            ("[]", "at ''"),
            ("{", "must be JSON"),
            (r#"{"pointer":"/a"}"#, "must ask something"),
            (r#"{"eq":1}"#, "exactly one of"),
            (r#"{"pointer":"/a","header":"b","eq":1}"#, "exactly one of"),
            (r#"{"pointer":"a","eq":1}"#, "at '/pointer'"),
            (r#"{"key":"42","eq":1}"#, "must be true"),
            (r#"{"pointer":"/a","eq":[1]}"#, "at '/eq'"),
            (r#"{"pointer":"/a","gt":true}"#, "at '/gt'"),
            (r#"{"pointer":"/a","like":"x"}"#, "is unknown"),
            (r#"{"pointer":"/a","in":[]}"#, "one or more values"),
            (r#"{"and":[]}"#, "one or more filters"),
            (r#"{"and":[{"key":true,"exists":1}]}"#, "at '/and/0/exists'"),
            (r#"{"or":[{"key":true,"eq":"a"}],"not":{}}"#, "nothing beside 'or'"),
        ] {
            assert!(problem(filter).contains(wanted), "{filter}: {}", problem(filter));
        }
    }

    #[test]
    fn depth_terms_and_bytes_are_bounded() {
        let nested = |levels| {
            let test = r#"{"key":true,"eq":"a"}"#.to_owned();
            (1..levels).fold(test, |filter, _| format!(r#"{{"not":{filter}}}"#))
        };
        assert!(Filter::parse_text(&nested(DEPTH_MAX)).is_ok());
        assert!(problem(&nested(DEPTH_MAX + 1)).contains("at most 8 levels"));

        let listed = |count: usize| json!({"key": true, "in": (0..count).collect::<Vec<_>>()});
        assert!(Filter::parse(&listed(TERMS_MAX - 1)).is_ok());
        assert!(Filter::parse(&listed(TERMS_MAX)).unwrap_err().problem.contains("at most 256 tests"));

        let long = |bytes: usize| json!({"key": true, "eq": "x".repeat(bytes)});
        assert!(Filter::parse(&long(BYTES_MAX)).is_ok());
        assert!(Filter::parse(&long(BYTES_MAX + 1)).unwrap_err().problem.contains("at most 16384 bytes"));
        assert!(problem(&long(BYTES_MAX).to_string()).contains("at most 16384 bytes"));
    }
}
