//! `/docs/http`: the OpenAPI document, with every operation to be tried.

use maud::{Markup, html};

use super::asset;

/// The body of the page; the registry lies below `registry`.
pub(super) fn body(registry: &str) -> Markup {
    html! {
        h1 { "HTTP API" }
        p {
            "Everything that can be called here. What you send from this page is real, but for requests with "
            code { "dryRun=true" } "; it carries your credential."
        }
        (super::list::downloads())
        @if asset::HAS_SWAGGER {
            div #swagger data-registry=(registry) {}
            noscript {
                p {
                    "The operations are shown by JavaScript. Without it, read the document itself, "
                    a href="/openapi.yaml" { "openapi.yaml" } " or " a href="/openapi.json" { "openapi.json" }
                    " (send the header " code { "Authorization" } " with the request), or the "
                    a href="/docs" { "event types" } ", which need none."
                }
            }
        } @else {
            p { "This gateway was built without the viewer (the feature " code { "docs-ui" } "); read the document itself." }
        }
    }
}
