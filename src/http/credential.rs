//! Where a request carries its credential: one header, or a ticket in the URL of what a browser can only open.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::auth::Credential;
use crate::problem::{Code, Problem};

/// Query members that must never hold a token: URLs end up in logs.
const FORBIDDEN_MEMBERS: [&str; 4] = ["access_token", "token", "api_key", "authorization"];

/// The one credential of the headers.
///
/// # Errors
/// 400 when there are two, or one that cannot be read; 401 for a scheme of others (RFC 9110 §11.6.2).
pub(super) fn from_headers(headers: &HeaderMap) -> Result<Option<Credential<'_>>, Problem> {
    let refuse = |detail: &str| Err(Problem::new(Code::BadRequest, detail));
    let mut bearers = headers.get_all(AUTHORIZATION).iter();
    let mut keys = headers.get_all("x-api-key").iter();
    let (authorization, key) = (bearers.next(), keys.next());
    if bearers.next().is_some() || keys.next().is_some() || (authorization.is_some() && key.is_some()) {
        return refuse("send one credential: Authorization or X-Api-Key, once");
    }
    let text = |value: &http::HeaderValue| value.to_str().ok().map(str::trim).map(str::len);
    match (authorization, key) {
        (None, None) => Ok(None),
        (_, Some(value)) => match value.to_str() {
            Ok(key) if text(value) > Some(0) => Ok(Some(Credential::ApiKey(key.trim()))),
            _ => refuse("X-Api-Key must hold an API key"),
        },
        (Some(value), None) => {
            let parts = value.to_str().ok().and_then(|text| text.trim().split_once(' '));
            match parts.map(|(scheme, secret)| (scheme, secret.trim())) {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => {
                    Ok(Some(Credential::Bearer(token)))
                }
                Some((scheme, key)) if scheme.eq_ignore_ascii_case("apikey") && !key.is_empty() => {
                    Ok(Some(Credential::ApiKey(key)))
                }
                Some((scheme, _)) if !is_ours(scheme) => {
                    let detail = "this gateway knows the schemes Bearer and ApiKey";
                    Err(Problem::new(Code::Unauthenticated, detail))
                }
                _ => refuse("Authorization must be `Bearer <token>` or `ApiKey <key>`"),
            }
        }
    }
}

fn is_ours(scheme: &str) -> bool {
    ["bearer", "apikey"].iter().any(|ours| scheme.eq_ignore_ascii_case(ours))
}

/// Refuses a query that carries a token.
///
/// # Errors
/// 400 when it does.
pub(super) fn refuse_in_url(query: &str) -> Result<(), Problem> {
    let is_token = query
        .split('&')
        .filter_map(|member| member.split('=').next())
        .any(|name| FORBIDDEN_MEMBERS.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)));
    if is_token {
        let detail = "a token in a URL ends up in logs; send the Authorization header, or a ticket of POST /v1/tickets";
        return Err(Problem::new(Code::BadRequest, detail));
    }
    Ok(())
}

/// The ticket of a query, for routes that take one.
pub(super) fn ticket_of(query: &str) -> Option<&str> {
    query.split('&').find_map(|member| member.strip_prefix("ticket=")).filter(|ticket| !ticket.is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{from_headers, refuse_in_url, ticket_of};
    use crate::auth::Credential;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(*name, value.parse().unwrap());
            headers
        })
    }

    fn kind(list: &[(&'static str, &str)]) -> &'static str {
        match from_headers(&headers(list)) {
            Ok(None) => "none",
            Ok(Some(Credential::Bearer(_))) => "bearer",
            Ok(Some(Credential::ApiKey(_))) => "key",
            Ok(Some(Credential::Ticket(_))) => "ticket",
            Ok(Some(Credential::Certificate(_))) => "certificate",
            Err(problem) => problem.code.as_str(),
        }
    }

    #[test]
    fn one_credential_is_found_wherever_it_is() {
        assert_eq!(kind(&[]), "none");
        assert_eq!(kind(&[("authorization", "Bearer a.b.c")]), "bearer");
        assert_eq!(kind(&[("authorization", "bearer a.b.c")]), "bearer");
        assert_eq!(kind(&[("authorization", "ApiKey wg_a_b")]), "key");
        assert_eq!(kind(&[("x-api-key", "wg_a_b")]), "key");
    }

    #[test]
    fn two_credentials_or_an_unreadable_one_are_refused() {
        for list in [
            &[("authorization", "Bearer a"), ("x-api-key", "b")][..],
            &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
            &[("x-api-key", "a"), ("x-api-key", "a")],
            &[("authorization", "Bearer")],
            &[("authorization", "Bearer ")],
            &[("x-api-key", "")],
        ] {
            assert_eq!(kind(list), "bad_request", "{list:?}");
        }
    }

    #[test]
    fn a_scheme_of_others_is_no_credential() {
        assert_eq!(kind(&[("authorization", "Basic dTpw")]), "unauthenticated");
    }

    #[test]
    fn tokens_in_urls_are_refused_and_tickets_found() {
        for query in ["token=a", "x=1&access_token=a", "Token=a", "api_key"] {
            assert!(refuse_in_url(query).is_err(), "{query}");
        }
        assert!(refuse_in_url("from=latest&ticket=t1").is_ok());
        assert_eq!(ticket_of("from=latest&ticket=t1"), Some("t1"));
        assert_eq!(ticket_of("ticket="), None);
    }
}
