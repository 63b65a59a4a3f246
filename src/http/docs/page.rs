//! What every page has around its body: head, way about, the place for a credential, and the headers that keep it strict.

use axum::response::Response;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, html};

use crate::http::answer;
use crate::problem::Problem;

use super::asset;
use super::reader::Reader;

const HTML: &str = "text/html; charset=utf-8";

const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// The images of Swagger UI stand in its style.
const POLICY_WITH_IMAGES: &str = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'; object-src 'none'";

/// Which of the pages this is, for the way about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Types,
    Http,
    Events,
}

impl Here {
    const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Types, "/docs", "Event types"),
        (Self::Http, "/docs/http", "HTTP API"),
        (Self::Events, "/docs/events", "Events and socket"),
    ];

    /// The page at a path; what is no other belongs to the event types.
    pub(super) fn of(path: &str) -> Self {
        let found = Self::ALL.into_iter().find(|(_, address, _)| *address == path);
        found.map_or(Self::Types, |(here, ..)| here)
    }
}

/// A page.
pub(super) struct Page<'p> {
    pub(super) title: &'p str,
    pub(super) here: Here,
    pub(super) reader: &'p Reader,
    pub(super) body: Markup,
}

impl Page<'_> {
    /// The page as an answer.
    pub(super) fn respond(self, status: StatusCode) -> Response {
        let policy = if self.here == Here::Http { POLICY_WITH_IMAGES } else { POLICY };
        let mut response = answer::text(HTML, self.write().into_string());
        *response.status_mut() = status;
        write_headers(policy, response.headers_mut());
        response
    }

    fn write(self) -> Markup {
        let Self { title, here, reader, body } = self;
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    @if let Some(token) = reader.own_token() { meta name="weirgate-token" content=(token); }
                    title { (title) " · Weirgate" }
                    link rel="icon" href=(asset::ICON.url) type="image/svg+xml";
                    link rel="stylesheet" href=(asset::STYLE.url);
                    script src=(asset::SCRIPT.url) defer {}
                    @if here == Here::Http {
                        @for asset in &*asset::SWAGGER {
                            @if asset.is_style() { link rel="stylesheet" href=(asset.url); }
                            @else { script src=(asset.url) defer {} }
                        }
                    }
                }
                body {
                    a.skip href="#page" { "Skip to the content" }
                    header {
                        a.brand href="/docs" { "Weirgate" }
                        nav aria-label="Pages" {
                            @for (page, address, name) in Here::ALL {
                                a href=(address) aria-current=[(page == here).then_some("page")] { (name) }
                            }
                            @if reader.has_playground { a href="/" { "Playground" } }
                        }
                    }
                    main #page tabindex="-1" {
                        (access(reader))
                        (body)
                    }
                }
            }
        }
    }
}

fn write_headers(policy: &'static str, headers: &mut HeaderMap) {
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    // It depends on who asks, and may hold a token of the development gateway.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Authorization, X-Api-Key"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Writes the page of a problem into its answer: what its JSON says, and nothing more.
pub(super) fn write_problem(problem: &Problem, request_id: &str, headers: &mut HeaderMap) -> Bytes {
    let (title, reader) = (problem.code.title(), Reader::default());
    let body = html! {
        h1 { (title) }
        p { (problem.detail) }
        p.hint {
            "Status " (problem.code.status()) ", "
            a href={ "/problems/" (problem.code.as_str()) } { code { (problem.code.as_str()) } }
            ", request " code { (request_id) } "."
        }
        p { a href="/docs" { "All event types" } }
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(HTML));
    write_headers(POLICY, headers);
    answer::write_headers(problem, headers);
    Page { title, here: Here::Types, reader: &reader, body }.write().into_string().into()
}

/// Who the reader is, and where another credential goes. The field has no name, so that no browser ever puts it into a URL.
fn access(reader: &Reader) -> Markup {
    let principal = reader.principal();
    html! {
        details #access open[principal.is_none()] {
            summary {
                @match principal {
                    Some(principal) => { "Read as " strong { (principal.id()) } },
                    None => { "Who are you?" },
                }
            }
            form #credential hidden {
                label for="secret" { "Token or API key" }
                div.row {
                    input #secret type="password" autocomplete="off" spellcheck="false" required;
                    button.main type="submit" { "Use it" }
                    button #forget type="button" { "Forget it" }
                }
                p.hint {
                    "It stays in this tab until you close it and is sent to this gateway alone. "
                    "What you see is what its grants allow."
                }
            }
            p #access-note role="status" {}
            noscript {
                p.hint {
                    "Without JavaScript, send the header " code { "Authorization" }
                    " with the request for the page, or a client certificate."
                }
            }
        }
    }
}

/// What a reader without a credential is told.
pub(super) fn stranger(reader: &Reader, here: Here) -> Response {
    let body = html! {
        h1 { "Weirgate docs" }
        p {
            "This gateway tells each reader what that reader may publish and read. Give a token or an API key above; "
            "with curl, send it as the header " code { "Authorization" } "."
        }
    };
    Page { title: "Docs", here, reader, body }.respond(StatusCode::OK)
}

/// What a reader is told of what is not there.
pub(super) fn missing(reader: &Reader, what: &str) -> Response {
    let body = html! {
        h1 { "Not found" }
        p { (what) " " a href="/docs" { "All event types" } }
    };
    Page { title: "Not found", here: Here::Types, reader, body }.respond(StatusCode::NOT_FOUND)
}
