//! The list of event types that the reader may publish or read.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::http::known::{KnownTopic, KnownType};

use super::event_type::address;
use super::fields;

/// An event type with the topic it goes to.
type Entry<'t> = (&'t KnownTopic, &'t KnownType);

/// The list; `wanted` are the words that were searched for.
pub(super) fn body(topics: &[KnownTopic], wanted: &str) -> Markup {
    let all = topics.iter().flat_map(|topic| topic.types.iter().map(move |known| (topic, known)));
    let words: Vec<String> = wanted.split_whitespace().map(str::to_lowercase).collect();
    let mut domains: BTreeMap<&str, Vec<(Entry<'_>, String)>> = BTreeMap::new();
    let mut count = 0;
    for entry in all {
        let text = searched(entry);
        if words.iter().all(|word| text.contains(word)) {
            count += 1;
            domains.entry(domain(entry.1)).or_default().push((entry, text));
        }
    }
    html! {
        h1 { "Event types" }
        p { "What you may publish or read here. Open one for its fields, an example, and a box to try a payload." }
        form.search role="search" action="/docs" {
            label for="q" { "Search names, fields, topics and descriptions" }
            div.row {
                input #q name="q" type="search" value=(wanted) autocomplete="off";
                button type="submit" { "Search" }
            }
        }
        p #found role="status" { (count) @if count == 1 { " event type" } @else { " event types" } }
        @for (domain, entries) in &domains {
            section.domain aria-label=(domain) {
                h2 { (domain) }
                ul.types {
                    @for (entry, text) in entries { (card(*entry, text)) }
                }
            }
        }
        (downloads())
    }
}

fn card((topic, known): Entry<'_>, text: &str) -> Markup {
    html! {
        li data-search=(text) {
            h3 { a href=(address(&known.event_type)) { (known.event_type) } }
            @if let Some(title) = known.title() { p.title { (title) } }
            @if let Some(text) = known.description() { p { (text) } }
            p.hint {
                "topic " code { (topic.rule.topic) } " · "
                @match (topic.may_publish, topic.may_read) {
                    (true, true) => { "you may publish and read" },
                    (true, false) => { "you may publish" },
                    (false, _) => { "you may read" },
                }
                @if known.contract.is_none() { " · no schema" }
            }
        }
    }
}

/// The contracts as files. The script fetches them with the reader's credential.
pub(super) fn downloads() -> Markup {
    html! {
        section aria-labelledby="downloads" {
            h2 #downloads { "Contracts as files" }
            ul.files {
                li { a href="/openapi.yaml" download="openapi.yaml" { "OpenAPI (YAML)" } " · "
                     a href="/openapi.json" download="openapi.json" { "JSON" } }
                li { a href="/asyncapi.yaml" download="asyncapi.yaml" { "AsyncAPI (YAML)" } " · "
                     a href="/asyncapi.json" download="asyncapi.json" { "JSON" } " · "
                     a href="/asyncapi.yaml?view=client" download="asyncapi-client.yaml" { "as a client sees it" } }
            }
        }
    }
}

fn domain(known: &KnownType) -> &str {
    known.event_type.as_str().split('.').next().unwrap_or_default()
}

/// What a search looks through, in lower case.
fn searched((topic, known): Entry<'_>) -> String {
    let mut text = format!("{} {}", known.event_type, topic.rule.topic);
    let fields = known.contract.as_ref().map(|contract| fields::of(&contract.schema));
    let names = fields.iter().flat_map(|fields| &fields.rows).map(|field| field.path.as_str());
    for part in known.title().into_iter().chain(known.description()).chain(names) {
        text.push(' ');
        text.push_str(part);
    }
    text.to_lowercase()
}
