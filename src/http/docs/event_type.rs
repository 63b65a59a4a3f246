//! The page of an event type: what it means, where it goes, what it holds, and how to send one.

use std::time::Duration;

use maud::{Markup, html};

use crate::event::{Enforcement, EventType, Partitioner, Storage, Timestamp, TopicRule};
use crate::http::known::{self, About, KnownTopic, KnownType, Registered};
use crate::http::origin::Origin;
use crate::log::{Cleanup, TopicInfo};

use super::activity;
use super::fields::{self, Field, Fields};
use super::snippet::{self, Event, Snippet};
use super::versions;

/// The page of an event type.
pub(super) fn address(event_type: &EventType) -> String {
    format!("/docs/types/{}", known::segment(event_type))
}

/// The body of the page.
pub(super) fn body(about: &About, origin: &Origin, now: Timestamp) -> Markup {
    let About { topic, known, registered, .. } = about;
    let event = Event::example(known, about.sample.as_ref());
    let fields = known.contract.as_ref().map(|contract| fields::of(&contract.schema));
    html! {
        p { a href="/docs" { "All event types" } }
        h1 { (known.event_type) }
        @if let Some(title) = known.title() { p.title { (title) } }
        @if let Some(text) = known.description() { p { (text) } }
        (contents(about))
        (facts(topic, known, about.is_judged_by_files))
        @match fields {
            Some(fields) => section aria-labelledby="fields" {
                h2 #fields { "Fields of " code { "data" } }
                (table(&fields, "Fields of data"))
            },
            None => { p { "The type has no schema: any data is taken" @if topic.rule.is_schema_required {
                ", but this topic wants one, so events of the type are refused until it has" } "." } }
        }
        (try_it(topic, &event))
        (snippets(topic, &event, origin))
        (activity::body(about, now))
        @if let Some(registered) = registered { (evolution(known, registered, about.is_judged_by_files)) }
        @if let Some(contract) = &known.contract {
            section aria-labelledby="schema" {
                h2 #schema { "Schema" }
                p { a href={ (address(&known.event_type)) "/schema" } download={ (contract.subject) ".json" } { "Download it" }
                    ", with all that it refers to." }
                details { summary { "Show it" } pre tabindex="0" { code { (format!("{:#}", contract.schema)) } } }
            }
        }
        (super::list::downloads())
    }
}

/// Where the parts of the page are, since fields may be many.
fn contents(about: &About) -> Markup {
    let is_described = about.known.contract.is_some();
    let parts = [
        (is_described, "fields", "Fields"),
        (true, "try", "Try a payload"),
        (true, "snippets", "From your own code"),
        (true, "activity", "Activity"),
        (about.registered.is_some(), "versions", "Versions"),
        (is_described, "schema", "Schema"),
    ];
    html! {
        nav.contents aria-label="On this page" {
            @for (_, id, name) in parts.iter().filter(|(is_there, ..)| *is_there) { a href={ "#" (id) } { (name) } }
        }
    }
}

fn facts(topic: &KnownTopic, known: &KnownType, is_judged_by_files: bool) -> Markup {
    let rule = &topic.rule;
    html! {
        dl.facts {
            @if let Some(owner) = known.owner(rule) { dt { "Owner" } dd { (owner) } }
            @if let Some(lifecycle) = known.lifecycle() {
                dt { "Lifecycle" }
                dd { @if lifecycle == "deprecated" { strong { (lifecycle) } } @else { (lifecycle) } }
            }
            dt { "Topic" } dd { code { (rule.topic) } }
            dt { "Partitions" } dd { (partitions(topic.info.as_deref())) }
            dt { "Kept" } dd { (retention(topic.info.as_deref())) }
            dt { "Key" } dd { (key(rule)) }
            dt { "Stored as" } dd { (match rule.storage {
                Storage::Native => "the whole event",
                Storage::Headers => "its data, with the rest of the event in headers",
                Storage::CloudEventsBinary => "a CloudEvent: its data, with the attributes in headers",
                Storage::CloudEventsStructured => "a CloudEvent, attributes and data as JSON",
            }) }
            dt { "Repeats" } dd {
                @if rule.is_deduped { "an event id is stored once" } @else { "are stored again" }
            }
            @if let Some(contract) = &known.contract {
                dt { "Schema" } dd {
                    code { (contract.subject) } ", id " (contract.id)
                    @if is_judged_by_files { " (a file of this gateway)" }
                    ", " (enforcement(rule.enforcement))
                }
            }
            dt { "You may" } dd { (match (topic.may_publish, topic.may_read) {
                (true, true) => "publish and read",
                (true, false) => "publish",
                (false, _) => "read",
            }) }
        }
    }
}

fn partitions(info: Option<&TopicInfo>) -> String {
    info.map_or_else(
        || "the topic is made by its first event".to_owned(),
        |info| info.spec.partitions.to_string(),
    )
}

fn retention(info: Option<&TopicInfo>) -> String {
    let Some(spec) = info.map(|info| &info.spec) else { return "as the topic's settings say".to_owned() };
    let time = spec.retention.map(time);
    let size = spec.retention_bytes.map(|bytes| format!("{bytes} bytes a partition"));
    match (spec.cleanup, time, size) {
        (Cleanup::Compact, _, _) => "the last event of each key".to_owned(),
        (Cleanup::Delete, None, None) => "for ever".to_owned(),
        (Cleanup::Delete, time, size) => time.into_iter().chain(size).collect::<Vec<_>>().join(", at most "),
    }
}

/// A time in its largest whole unit.
fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (unit, name) in [(86_400, "days"), (3_600, "hours"), (60, "minutes")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} seconds")
}

fn key(rule: &TopicRule) -> Markup {
    html! {
        @match &rule.key {
            Some(key) => {
                "the event's " code { (key.pointer) }
                @if key.is_optional { ", none where it has none" }
            }
            None => "none, unless the publisher names one",
        }
        (match rule.partitioner {
            Partitioner::Murmur2 => "; events of one key stay in order",
            Partitioner::RoundRobin => "; partitions take turns, whatever the key",
            Partitioner::Random => "; any partition, whatever the key",
        })
    }
}

const fn enforcement(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Observe => "events that break it are counted and taken",
        Enforcement::Warn => "events that break it are taken with a warning",
        Enforcement::Enforce => "events that break it are refused",
    }
}

/// The fields, named for who does not see what stands around them; roles are told apart from looks, since a narrow screen
/// shows rows as blocks.
pub(super) fn table(fields: &Fields, name: &str) -> Markup {
    html! {
        @if !fields.rules.is_empty() { p { "As a whole: " (fields.rules.join("; ")) "." } }
        @if fields.rows.is_empty() { p { "The schema names no fields." } }
        @else {
            table role="table" aria-label=(name) {
                thead role="rowgroup" { tr role="row" {
                    th role="columnheader" scope="col" { "Field" }
                    th role="columnheader" scope="col" { "Type and rules" }
                    th role="columnheader" scope="col" { "Meaning" }
                } }
                tbody role="rowgroup" { @for field in &fields.rows { (row(field)) } }
            }
            @if fields.is_cut { p { "There are more; see the schema." } }
        }
    }
}

fn row(field: &Field) -> Markup {
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                code { (field.path) }
                @if field.is_required { " " span.badge { "required" } }
                @if field.is_deprecated { " " span.badge.warn { "deprecated" } }
            }
            td role="cell" {
                (field.kind)
                @for rule in &field.rules { br; span.hint { (rule) } }
            }
            td role="cell" { @if let Some(text) = &field.description { (text) } }
        }
    }
}

fn try_it(topic: &KnownTopic, event: &Event<'_>) -> Markup {
    html! {
        section aria-labelledby="try" {
            h2 #try { "Try a payload" }
            @if topic.may_publish {
                p { "Validating stores nothing: the gateway judges the event exactly as it would when publishing." }
                form #payload {
                    label for="event" { "The event" }
                    textarea #event rows="16" spellcheck="false" { (event.as_json()) }
                    div.row {
                        button.main type="submit" { "Validate" }
                        button #publish type="button" disabled { "Publish it" }
                    }
                    output #verdict for="event" role="status" {}
                }
                noscript { p.hint { "Without JavaScript, add " code { "?dryRun=true" } " to the address in the curl command below." } }
            } @else {
                p { "Your grants let you read the topic, not publish to it. The gateway would take this:" }
                pre tabindex="0" { code { (event.as_json()) } }
            }
        }
    }
}

fn snippets(topic: &KnownTopic, event: &Event<'_>, origin: &Origin) -> Markup {
    let publish = if topic.may_publish { snippet::publish(origin, event) } else { Vec::new() };
    let follow = if topic.may_read { snippet::follow(origin, &topic.rule.topic) } else { Vec::new() };
    html! {
        section aria-labelledby="snippets" {
            h2 #snippets { "From your own code" }
            p {
                "Your token goes into the environment first: " code { "export WEIRGATE_TOKEN='…'" }
                ". " code { "weirgate dev" } " prints one; elsewhere it comes from who runs this gateway. In place of the token's header an API key has "
                code { "X-Api-Key: wg_…" } "."
            }
            @for (index, Snippet { title, text }) in publish.iter().chain(&follow).enumerate() {
                details.snippet open[index == 0] {
                    summary { (title) }
                    pre tabindex="0" { code { (text) } }
                }
            }
        }
    }
}

/// The versions in the registry, and a box to check a next one.
fn evolution(known: &KnownType, registered: &Registered, is_judged_by_files: bool) -> Markup {
    let Registered { versions, latest, level, policy, check } = registered;
    let versions = &versions.all;
    html! {
        section aria-labelledby="versions" {
            h2 #versions { "Versions in the registry" }
            p {
                @if let [_] = versions.as_slice() { "One version" } @else { (versions.len()) " versions" }
                ", compatibility " strong { (level.as_str()) } " (" (policy.as_str()) "). "
                @if versions.len() > 1 { a href=(versions::address_of(&known.event_type)) { "How they differ" } }
            }
            p {
                @match (&known.contract, is_judged_by_files) {
                    (Some(contract), true) => {
                        strong { "None of them judges events." }
                        " A file of this gateway does, the schema above (id " (contract.id) "); the registry serves other programs."
                    }
                    (None, true) => {
                        strong { "None of them judges events." }
                        " Files of this gateway do, and there is none for this type; the registry serves other programs."
                    }
                    (_, false) => "The latest of them judges events.",
                }
            }
            form #compatibility data-url=(check) data-kind=(latest.kind.as_str()) {
                label for="candidate" { "A next version, to be checked and not registered" }
                textarea #candidate rows="12" spellcheck="false" { (versions::readable(latest)) }
                div.row { button type="submit" { "Would it fit?" } }
                output #answer for="candidate" role="status" {}
            }
        }
    }
}
