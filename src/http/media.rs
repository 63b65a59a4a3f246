//! Media types: what a body is, and what a reader accepts.

use axum::body::Body;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, Request};

use crate::problem::{Code, Problem};

use super::{LiveLimits, body};

/// What a body says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`.
    Json,
    /// Some other `…+json`.
    JsonBased,
    /// `application/cloudevents+json`.
    CloudEvent,
    /// `application/cloudevents-batch+json`.
    CloudEventBatch,
    /// `application/x-ndjson`.
    Lines,
    /// Anything else, or nothing.
    Other,
}

/// Reads `Content-Type` and `Content-Encoding`.
///
/// # Errors
/// `unsupported_encoding` for a compressed body, `bad_request` for a charset that is not UTF-8 or two types.
pub(super) fn of_body(headers: &HeaderMap) -> Result<Media, Problem> {
    let is_coded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"));
    if is_coded {
        return Err(Problem::hidden(Code::UnsupportedEncoding));
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let Some(value) = types.next() else { return Ok(Media::Other) };
    if types.next().is_some() {
        return Err(Problem::new(Code::BadRequest, "send Content-Type once"));
    }
    // What nearly everybody sends.
    if value.as_bytes() == b"application/json" {
        return Ok(Media::Json);
    }
    let Ok(text) = value.to_str() else { return Ok(Media::Other) };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return Err(Problem::new(Code::BadRequest, "JSON is UTF-8; leave the charset out"));
        }
    }
    Ok(match essence.as_str() {
        "application/json" => Media::Json,
        "application/cloudevents+json" => Media::CloudEvent,
        "application/cloudevents-batch+json" => Media::CloudEventBatch,
        "application/x-ndjson" => Media::Lines,
        other if other.ends_with("+json") => Media::JsonBased,
        _ => Media::Other,
    })
}

/// The media type of a body that must be one of these; the body of any other is thrown away.
///
/// # Errors
/// `unsupported_media_type` naming those that are taken, and what [`of_body`] says.
pub(super) async fn require(
    request: Request<Body>,
    taken: &[(Media, &str)],
    limits: &LiveLimits,
) -> Result<(Media, Request<Body>), Problem> {
    let found = of_body(request.headers()).and_then(|media| {
        if taken.iter().any(|(one, _)| *one == media) {
            return Ok(media);
        }
        let names: Vec<&str> = taken.iter().map(|(_, name)| *name).collect();
        let detail = format!("send one of these as Content-Type: {}", names.join(", "));
        Err(Problem::new(Code::UnsupportedMediaType, detail))
    });
    match found {
        Ok(media) => Ok((media, request)),
        Err(problem) => {
            let is_awaiting = request.headers().contains_key(EXPECT);
            body::discard(request.into_body(), is_awaiting, limits).await;
            Err(problem)
        }
    }
}

/// A request whose body is `application/json`.
///
/// # Errors
/// As [`require`].
pub(super) async fn require_json(
    request: Request<Body>,
    limits: &LiveLimits,
) -> Result<Request<Body>, Problem> {
    let taken = [(Media::Json, "application/json")];
    require(request, &taken, limits).await.map(|(_, request)| request)
}

/// How a topic is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// One JSON page.
    Page,
    /// Server-sent events.
    Sse,
    /// An endless stream of JSON lines.
    Lines,
}

/// What the reader likes best of what there is; a page where it has no wish.
///
/// # Errors
/// `not_acceptable`.
pub(super) fn wanted(headers: &HeaderMap) -> Result<Reading, Problem> {
    const OFFERED: [(Reading, &str); 3] = [
        (Reading::Page, "application/json"),
        (Reading::Sse, "text/event-stream"),
        (Reading::Lines, "application/x-ndjson"),
    ];
    let best = best(headers, &OFFERED.map(|(_, media_type)| media_type))?;
    let reading = OFFERED.into_iter().find(|(_, media_type)| *media_type == best);
    Ok(reading.map_or(Reading::Page, |(reading, _)| reading))
}

/// The media type that the caller likes best of those offered; the first where it has no wish.
///
/// # Errors
/// `not_acceptable`.
pub(super) fn best(headers: &HeaderMap, offered: &[&'static str]) -> Result<&'static str, Problem> {
    let ranges: Vec<(String, f32)> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(range)
        .collect();
    let has_wish = headers.contains_key(ACCEPT);
    let mut best: Option<(&'static str, f32)> = None;
    for media_type in offered {
        let quality = if has_wish { quality_of(media_type, &ranges) } else { 1.0 };
        if quality > best.map_or(0.0, |(_, quality)| quality) {
            best = Some((media_type, quality));
        }
    }
    best.map(|(media_type, _)| media_type).ok_or_else(|| {
        Problem::new(Code::NotAcceptable, format!("this can be had as {}", offered.join(", ")))
    })
}

/// Whether the caller likes a page better than a problem's JSON, as browsers do.
pub(super) fn prefers_page(headers: &HeaderMap) -> bool {
    best(headers, &["application/problem+json", "text/html"]).is_ok_and(|best| best == "text/html")
}

/// A media range and its quality; one that cannot be read is not wanted.
fn range(text: &str) -> (String, f32) {
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts
        .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
        .map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
    (essence, quality)
}

/// The most specific range that holds the type decides.
fn quality_of(media_type: &str, ranges: &[(String, f32)]) -> f32 {
    let family = media_type.split('/').next().unwrap_or_default();
    let find = |wanted: &str| ranges.iter().find(|(range, _)| range == wanted).map(|(_, quality)| *quality);
    find(media_type).or_else(|| find(&format!("{family}/*"))).or_else(|| find("*/*")).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{Media, Reading, of_body, prefers_page, wanted};

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn bodies_are_known_by_their_type() {
        for (text, media) in [
            ("application/json", Media::Json),
            ("Application/JSON; charset=\"UTF-8\"", Media::Json),
            ("application/cloudevents+json; charset=utf-8", Media::CloudEvent),
            ("application/cloudevents-batch+json", Media::CloudEventBatch),
            ("application/x-ndjson", Media::Lines),
            ("application/vnd.shop+json", Media::JsonBased),
            ("text/plain", Media::Other),
        ] {
            assert_eq!(of_body(&headers("content-type", text)).unwrap(), media, "{text}");
        }
        assert_eq!(of_body(&HeaderMap::new()).unwrap(), Media::Other);
    }

    #[test]
    fn other_charsets_and_codings_are_refused() {
        let charset = of_body(&headers("content-type", "application/json; charset=utf-16"));
        assert_eq!(charset.unwrap_err().code.as_str(), "bad_request");
        let coding = of_body(&headers("content-encoding", "gzip"));
        assert_eq!(coding.unwrap_err().code.as_str(), "unsupported_encoding");
        assert!(of_body(&headers("content-encoding", "identity")).is_ok());
    }

    #[test]
    fn browsers_like_pages_better_than_problems_and_programs_do_not() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert!(prefers_page(&headers("accept", browser)) && prefers_page(&headers("accept", "text/html")));
        for accept in ["*/*", "application/json", "application/problem+json, text/html", "text/html;q=0"] {
            assert!(!prefers_page(&headers("accept", accept)), "{accept}");
        }
        assert!(!prefers_page(&HeaderMap::new()));
    }

    #[test]
    fn readers_get_what_they_like_best() {
        for (accept, reading) in [
            ("*/*", Reading::Page),
            ("application/*", Reading::Page),
            ("text/event-stream", Reading::Sse),
            ("text/event-stream, */*;q=0.1", Reading::Sse),
            ("application/json;q=0.5, application/x-ndjson", Reading::Lines),
            ("text/html, application/xhtml+xml, */*;q=0.8", Reading::Page),
        ] {
            assert_eq!(wanted(&headers("accept", accept)).unwrap(), reading, "{accept}");
        }
        assert_eq!(wanted(&HeaderMap::new()).unwrap(), Reading::Page);
        for accept in ["text/html", "application/json;q=0", "image/png"] {
            assert_eq!(
                wanted(&headers("accept", accept)).unwrap_err().code.as_str(),
                "not_acceptable",
                "{accept}"
            );
        }
    }
}
