//! Query parameters and path segments, read strictly: what is misspelt is refused, not ignored.

use std::borrow::Cow;
use std::time::Duration;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::event::{GroupName, Topic};
use crate::problem::{Code, Problem};

/// A parameter has a value that cannot be used.
pub(super) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidParameter, detail)
}

/// The parameters of a query, names known and unique.
#[derive(Debug, Default)]
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads a query.
    ///
    /// # Errors
    /// `invalid_parameter` for a name not in `known`, a name given twice, or a value that is no UTF-8.
    pub(super) fn parse(query: Option<&'a str>, known: &[&str]) -> Result<Self, Problem> {
        let mut members: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for member in query.unwrap_or_default().split('&').filter(|member| !member.is_empty()) {
            let (name, value) = member.split_once('=').unwrap_or((member, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if !known.contains(&name.as_ref()) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(invalid(format!("the parameter '{name}' is not known here; known: {known}")));
            }
            if members.iter().any(|(have, _)| *have == name) {
                return Err(invalid(format!("the parameter '{name}' is given twice")));
            }
            members.push((name, value));
        }
        Ok(Self(members))
    }

    /// A parameter's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_ref())
    }

    /// A parameter that is `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid(format!("'{name}' must be true or false"))),
        }
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, name: &str, least: usize, most: usize) -> Result<Option<usize>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(invalid(format!("'{name}' must be a whole number from {least} to {most}"))),
        }
    }

    /// A time such as `30s` or `500ms`; a bare number means seconds.
    pub(super) fn duration(&self, name: &str, most: Duration) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let parsed = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(millis), _) => millis.parse().ok().map(Duration::from_millis),
            (None, Some(seconds)) => seconds.parse().ok().map(Duration::from_secs),
            (None, None) => text.parse().ok().map(Duration::from_secs),
        };
        match parsed.filter(|duration| *duration <= most) {
            Some(duration) => Ok(Some(duration)),
            None => {
                Err(invalid(format!("'{name}' must be a time of at most {} s, such as 30s", most.as_secs())))
            }
        }
    }
}

/// `+` is a space, as forms write it.
fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    let refuse = |_| invalid("the query must be percent-encoded UTF-8");
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().map_err(refuse)?;
        return Ok(Cow::Owned(decoded.into_owned()));
    }
    percent_decode_str(text).decode_utf8().map_err(refuse)
}

/// The raw query of a request.
#[derive(Debug)]
pub(super) struct RawQuery(pub(super) Option<String>);

impl<S: Sync> FromRequestParts<S> for RawQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self(parts.uri.query().map(ToOwned::to_owned)))
    }
}

/// The path's parameters, in order, as text.
#[derive(Debug)]
pub(super) struct Segments(Vec<String>);

impl Segments {
    /// The parameter at this place.
    pub(super) fn get(&self, index: usize) -> &str {
        self.0.get(index).map_or("", String::as_str)
    }

    /// The parameter at this place split into a name and the verb behind its last `:`; `None` where it has no verb.
    pub(super) fn verb(&self, index: usize) -> Option<(&str, &str)> {
        self.get(index).rsplit_once(':')
    }

    /// The parameter at this place as a topic; what can be no topic's name does not exist.
    pub(super) fn topic(&self, index: usize) -> Result<Topic, Problem> {
        let name = self.get(index);
        Topic::parse(name)
            .map_err(|_| Problem::new(Code::TopicNotFound, "what the path names can be no topic's name"))
    }

    /// The parameter at this place as a group; what can be no group's name does not exist.
    pub(super) fn group(&self, index: usize) -> Result<GroupName, Problem> {
        group(self.get(index))
    }
}

/// A group's name in the path; what can be none does not exist.
pub(super) fn group(name: &str) -> Result<GroupName, Problem> {
    GroupName::parse(name)
        .map_err(|_| Problem::new(Code::GroupNotFound, "what the path names can be no group's name"))
}

impl<S: Send + Sync> FromRequestParts<S> for Segments {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::new(Code::BadRequest, "the path must be percent-encoded UTF-8"))?;
        Ok(Self(params.iter().map(|(_, value)| value.to_owned()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Query;

    #[test]
    fn parameters_are_decoded_and_known() {
        let query = Query::parse(Some("from=a%2Bb&filter=%7B+%7D&"), &["from", "filter"]).unwrap();
        assert_eq!(query.get("from"), Some("a+b"));
        assert_eq!(query.get("filter"), Some("{ }"));
        for bad in ["form=latest", "from=a&from=b", "from=%ff", "From=a"] {
            assert!(Query::parse(Some(bad), &["from", "filter"]).is_err(), "{bad}");
        }
    }

    #[test]
    fn typed_parameters_are_bounded() {
        let parse = |text| Query::parse(Some(text), &["wait", "limit", "dryRun"]).unwrap();
        let minute = Duration::from_secs(60);
        assert_eq!(parse("wait=60s").duration("wait", minute).unwrap(), Some(minute));
        assert_eq!(parse("wait=500ms").duration("wait", minute).unwrap(), Some(Duration::from_millis(500)));
        assert_eq!(parse("wait=2").duration("wait", minute).unwrap(), Some(Duration::from_secs(2)));
        for bad in ["wait=61s", "wait=-1", "wait=", "wait=1m"] {
            assert!(parse(bad).duration("wait", minute).is_err(), "{bad}");
        }
        assert_eq!(parse("limit=1000").number("limit", 1, 1000).unwrap(), Some(1000));
        for bad in ["limit=0", "limit=1001", "limit=x"] {
            assert!(parse(bad).number("limit", 1, 1000).is_err(), "{bad}");
        }
        assert!(parse("dryRun=true").flag("dryRun").unwrap());
        assert!(parse("dryRun=1").flag("dryRun").is_err());
    }
}
