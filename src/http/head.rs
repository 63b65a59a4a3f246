//! What is checked of a request's head before anything else, and what it says of the client.

use std::net::IpAddr;

use http::Version;
use http::header::{HOST, HeaderMap};
use http::request::Parts;

use crate::problem::{Code, Problem};

use super::Limits;
use super::admission::Admission;
use super::connection::Connection;
use super::framing::Fault;

/// Refuses a head that another parser may read differently.
///
/// # Errors
/// `bad_request`.
pub(super) fn check_framing(connection: &Connection) -> Result<(), Problem> {
    let detail = match connection.next_head() {
        None => return Ok(()),
        Some(Fault::Length) => "send Content-Length or Transfer-Encoding, one of them, once",
        Some(Fault::BareNewline) => "lines of the head must end in CR LF",
    };
    Err(Problem::new(Code::BadRequest, detail))
}

/// Checks sizes and the host.
///
/// # Errors
/// `uri_too_long`, `headers_too_large`, `bad_request`.
pub(super) fn check(parts: &Parts, limits: &Limits) -> Result<(), Problem> {
    let uri = &parts.uri;
    let uri_bytes = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if uri_bytes > limits.uri_bytes_max {
        let detail = format!("the URI of {uri_bytes} bytes is above the limit of {}", limits.uri_bytes_max);
        return Err(Problem::new(Code::UriTooLong, detail));
    }
    let headers = &parts.headers;
    // A field's line has `: ` and CR LF beside name and value.
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > limits.header_bytes_max || headers.len() > limits.headers_max {
        let detail = format!(
            "{} fields of {bytes} bytes are above the limit of {} fields and {} bytes",
            headers.len(),
            limits.headers_max,
            limits.header_bytes_max
        );
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    check_host(parts.version, uri.authority().map(http::uri::Authority::as_str), headers)
}

/// The client's address: the peer's, or behind trusted proxies the last one that none of them is.
pub(super) fn client_address(admission: &Admission, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !admission.is_trusted(peer) {
        return peer;
    }
    let named: Vec<IpAddr> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map_while(|part| part.trim().parse().ok())
        .collect();
    named.into_iter().rev().find(|address| !admission.is_trusted(*address)).unwrap_or(peer)
}

fn check_host(version: Version, authority: Option<&str>, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let refuse = |detail: &str| Err(Problem::new(Code::BadRequest, detail));
    match (first, second, authority) {
        (_, Some(_), _) => refuse("send Host once"),
        (None, None, None) if version == Version::HTTP_11 => refuse("send a Host header"),
        (None, None, _) => Ok(()),
        (Some(host), None, authority) => {
            let Some(host) = host.to_str().ok().filter(|host| is_host(host)) else {
                return refuse("the Host header is not a host");
            };
            if authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(host)) {
                return refuse("the Host header and the request's absolute URI differ");
            }
            Ok(())
        }
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte))
}

#[cfg(test)]
mod tests {
    use http::{Request, Version};

    use super::super::Limits;
    use super::check;

    fn code(uri: &str, version: Version, headers: &[(&str, &str)]) -> &'static str {
        let mut request = Request::builder().uri(uri).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0, &Limits::for_tests())
            .map_or_else(|problem| problem.code.as_str(), |()| "ok")
    }

    #[test]
    fn the_host_must_be_there_once_and_agree_with_the_uri() {
        let v11 = Version::HTTP_11;
        assert_eq!(code("/", v11, &[("host", "a:80")]), "ok");
        assert_eq!(code("/", v11, &[]), "bad_request");
        assert_eq!(code("/", Version::HTTP_10, &[]), "ok");
        assert_eq!(code("/", v11, &[("host", "a"), ("host", "a")]), "bad_request");
        assert_eq!(code("http://a/", v11, &[("host", "A")]), "ok");
        assert_eq!(code("http://a/", v11, &[("host", "b")]), "bad_request");
        for bad in ["", "a b", "a/b", "user@a", "a,b"] {
            assert_eq!(code("/", v11, &[("host", bad)]), "bad_request", "{bad}");
        }
    }

    #[test]
    fn sizes_are_bounded_at_their_limit() {
        let limits = Limits::for_tests();
        let at = format!("/{}", "a".repeat(limits.uri_bytes_max - 1));
        assert_eq!(code(&at, Version::HTTP_10, &[]), "ok");
        assert_eq!(code(&format!("{at}a"), Version::HTTP_10, &[]), "uri_too_long");
        let value = "a".repeat(limits.header_bytes_max - 5);
        assert_eq!(code("/", Version::HTTP_10, &[("x", &value)]), "ok");
        assert_eq!(code("/", Version::HTTP_10, &[("xy", &value)]), "headers_too_large");
        let many = vec![("x", "1"); limits.headers_max];
        assert_eq!(code("/", Version::HTTP_10, &many), "ok");
        assert_eq!(code("/", Version::HTTP_10, &[many, vec![("y", "1")]].concat()), "headers_too_large");
    }
}
