//! What requests ask: bodies with members that are looked for, and queries of which what is unknown is passed over, as
//! clients of other versions send more than they need.

use axum::extract::{FromRequestParts, Request};
use http::HeaderName;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::http::body;
use crate::http::call::Call;
use crate::http::media::{self, Media};
use crate::http::serve::Shared;
use crate::problem::{Code, Fault, Problem};
use crate::schema::SchemaId;
use crate::schema::registry::{Kind, Registration, Version};

use super::told::Refusal;

/// Set by clients that pass over members they do not know.
const TAKES_MORE: HeaderName = HeaderName::from_static("confluent-accept-unknown-properties");

/// The parameters of a query.
#[derive(Debug, Default)]
pub(in crate::http) struct Asked {
    parameters: Vec<(String, String)>,
    /// Whether the caller passes over members it does not know.
    pub(super) takes_more: bool,
}

impl Asked {
    /// Whether a parameter is `true`, in whatever case.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The part of a list that `offset` and `limit` name; a negative limit is none.
    pub(super) fn page<T>(&self, mut list: Vec<T>, limit_max: usize) -> Result<Vec<T>, Refusal> {
        let offset = usize::try_from(self.number("offset")?.unwrap_or(0)).unwrap_or(0);
        let limit =
            self.number("limit")?.map_or(limit_max, |limit| usize::try_from(limit).unwrap_or(limit_max));
        list.drain(..offset.min(list.len()));
        list.truncate(limit.min(limit_max));
        Ok(list)
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let invalid = || Problem::new(Code::InvalidParameter, format!("'{name}' must be a whole number"));
        self.text(name).map(|text| text.parse().map_err(|_| invalid().into())).transpose()
    }
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let decode = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned)
        };
        let query = parts.uri.query().unwrap_or_default();
        let mut parameters = Vec::new();
        for member in query.split('&').filter(|member| !member.is_empty()) {
            let (name, value) = member.split_once('=').unwrap_or((member, ""));
            let (Ok(name), Ok(value)) = (decode(name), decode(value)) else {
                return Err(Problem::new(Code::InvalidParameter, "the query must be percent-encoded UTF-8"));
            };
            parameters.push((name, value));
        }
        let takes_more =
            parts.headers.get(TAKES_MORE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        Ok(Self { parameters, takes_more })
    }
}

/// What bodies that bring a schema look like.
pub(super) const REGISTRATION: &str = r#"{"schemaType": "JSON", "schema": "{…}"}, the schema as a text"#;

/// A body that is an object, such as `example`.
pub(super) async fn members(
    request: Request,
    shared: &Shared,
    call: &Call,
    example: &str,
) -> Result<Map<String, Value>, Refusal> {
    let taken =
        [(Media::JsonBased, "application/vnd.schemaregistry.v1+json"), (Media::Json, "application/json")];
    let (_, request) = media::require(request, &taken, &shared.config.limits).await?;
    let body = body::read(request.into_body(), shared, call).await?;
    let malformed = |detail: String| Refusal::from(Problem::new(Code::MalformedJson, detail));
    match serde_json::from_slice(&body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(malformed(format!("the body must be a JSON object such as {example}"))),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            Err(malformed(format!(
                "the body is no JSON from line {line}, column {column} on; send an object such as {example}"
            )))
        }
    }
}

/// A schema that a body brings.
pub(super) fn registration(mut members: Map<String, Value>) -> Result<Registration, Refusal> {
    let invalid = |problem: &str| Refusal::from(Fault::new(42_201, problem));
    if members.get("ruleSet").is_some_and(|rules| !rules.is_null()) {
        return Err(Fault::new(
            42_210,
            "this registry keeps no rules; register the schema without 'ruleSet'",
        )
        .into());
    }
    if members.get("metadata").is_some_and(|metadata| !metadata.is_null()) {
        return Err(invalid("this registry keeps no metadata; register the schema without 'metadata'"));
    }
    let Some(Value::String(text)) = members.remove("schema") else {
        return Err(invalid("the body needs a member 'schema' that holds the schema as a text"));
    };
    let kind = match members.get("schemaType") {
        None | Some(Value::Null) => Kind::default(),
        Some(name) => name
            .as_str()
            .and_then(Kind::parse)
            .ok_or_else(|| invalid("'schemaType' must be AVRO, JSON or PROTOBUF"))?,
    };
    let references = match members.remove("references") {
        None | Some(Value::Null) => Vec::new(),
        Some(references) => serde_json::from_value(references)
            .map_err(|_| invalid("'references' must be a list of {name, subject, version}"))?,
    };
    // What is not positive is how some clients leave a number out.
    let number = |name: &str| members.get(name).and_then(Value::as_i64).filter(|number| *number > 0);
    let id = number("id").map(|id| {
        i32::try_from(id).ok().and_then(SchemaId::new).ok_or_else(|| invalid("'id' must be below 2147483648"))
    });
    let version = number("version").map(|version| {
        let version = u32::try_from(version).ok().and_then(Version::new);
        let problem = "'version' must be below 2147483648";
        version.ok_or_else(|| Refusal::from(Fault::new(42_202, problem)))
    });
    Ok(Registration { kind, text, references, id: id.transpose()?, version: version.transpose()? })
}

#[cfg(test)]
mod tests {
    use axum::extract::FromRequestParts as _;
    use http::Request;
    use serde_json::json;

    use super::{Asked, Refusal, registration};

    async fn asked(query: &str) -> Asked {
        let request = Request::get(format!("/registry/subjects?{query}")).body(()).unwrap();
        Asked::from_request_parts(&mut request.into_parts().0, &()).await.unwrap()
    }

    #[tokio::test]
    async fn flags_are_read_in_any_case_and_unknown_parameters_passed_over() {
        for (query, is_set) in [
            ("deleted=True", true),
            ("deleted=true&x=%20", true),
            ("deleted=False", false),
            ("deleted=1", false),
            ("", false),
        ] {
            assert_eq!(asked(query).await.flag("deleted"), is_set, "{query}");
        }
    }

    #[tokio::test]
    async fn a_page_is_within_its_list_and_its_limit() {
        let list = || (0..10).collect::<Vec<_>>();
        for (query, expected) in [
            ("", 0..5),
            ("limit=-1", 0..5),
            ("offset=8&limit=4", 8..10),
            ("offset=99", 10..10),
            ("limit=2", 0..2),
            ("limit=0", 0..0),
            ("offset=-3&limit=1", 0..1),
        ] {
            assert_eq!(asked(query).await.page(list(), 5).unwrap(), expected.collect::<Vec<_>>(), "{query}");
        }
        assert!(asked("limit=x").await.page(list(), 5).is_err());
    }

    #[test]
    fn a_schema_is_read_from_a_body_as_clients_write_it() {
        let of = |body: serde_json::Value| registration(body.as_object().unwrap().clone());
        let read = of(json!({"schema": "{}", "schemaType": "JSON", "id": -1, "version": 0, "references": null, "more": 1})).unwrap();
        assert_eq!((read.text.as_str(), read.id, read.version), ("{}", None, None));
        for (body, error_code) in [
            (json!({}), 42_201),
            (json!({"schema": {}}), 42_201),
            (json!({"schema": "", "schemaType": "THRIFT"}), 42_201),
            (json!({"schema": "", "references": [{"name": "a"}]}), 42_201),
            (json!({"schema": "", "ruleSet": {}}), 42_210),
            (json!({"schema": "", "metadata": {}}), 42_201),
            (json!({"schema": "", "version": 2_147_483_648_u32}), 42_202),
        ] {
            let Err(Refusal::Fault(fault)) = of(body.clone()) else { panic!("{body}") };
            assert_eq!(fault.error_code, error_code, "{body}");
        }
    }
}
