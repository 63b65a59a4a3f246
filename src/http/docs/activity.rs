//! What went on with an event type since this gateway started: counted, last seen, refused, by whom, for whom.

use maud::{Markup, html};

use crate::event::Timestamp;
use crate::http::known::About;
use crate::publish::{BrokenRule, Producer, Sighting};

/// The section of a type's page.
pub(super) fn body(about: &About, now: Timestamp) -> Markup {
    let About { counts, sighting, .. } = about;
    html! {
        section aria-labelledby="activity" {
            h2 #activity { "Activity" }
            p.hint { "Counted by this gateway since it started; others count their own." }
            dl.facts {
                dt { "Stored" } dd { (counts.stored) }
                dt { "Broke the schema" } dd { (counts.broken) }
                dt { "Last stored" }
                dd { @match sighting.last_stored {
                    Some(last) => { (ago(last, now)) ", " time datetime=(last) { (last) } },
                    None => "nothing yet",
                } }
                @if !about.consumers.is_empty() {
                    dt { "Worked on by" }
                    dd { @for (index, group) in about.consumers.iter().enumerate() {
                        @if index > 0 { ", " } code { (group) }
                    } }
                }
                @if about.may_see_producers { dt { "Published by" } dd { (producers(sighting, now)) } }
            }
            @if !sighting.broken.is_empty() { (rules(sighting)) }
        }
    }
}

fn producers(sighting: &Sighting, now: Timestamp) -> Markup {
    html! {
        @if sighting.producers.is_empty() { "nobody yet" } @else {
            ul.plain {
                @for Producer { principal, last_stored } in &sighting.producers {
                    li { code { (principal) } ", " (ago(*last_stored, now)) }
                }
                @if sighting.has_more_producers { li { "and others" } }
            }
        }
    }
}

/// The rules that were broken most; roles are told apart from looks, as for fields.
fn rules(sighting: &Sighting) -> Markup {
    html! {
        h3 #refused { "What breaks the schema most" }
        table role="table" aria-labelledby="refused" {
            thead role="rowgroup" { tr role="row" {
                th role="columnheader" scope="col" { "Field" }
                th role="columnheader" scope="col" { "Rule" }
                th role="columnheader" scope="col" { "Events" }
            } }
            tbody role="rowgroup" {
                @for BrokenRule { place, keyword, schema_id, count } in &sighting.broken {
                    tr role="row" {
                        th role="rowheader" scope="row" { code { (place) } }
                        td role="cell" { code { (keyword) } span.hint { " of schema " (schema_id) } }
                        td role="cell" { (count) }
                    }
                }
                @if sighting.broken_others > 0 {
                    tr role="row" {
                        th role="rowheader" scope="row" { "other" }
                        td role="cell" {}
                        td role="cell" { (sighting.broken_others) }
                    }
                }
            }
        }
    }
}

/// A time that passed, in its largest unit.
fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.millis().saturating_sub(then.millis()).max(0) / 1_000;
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        86_400.. => (seconds / 86_400, "day"),
        _ => (0, "second"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::ago;
    use crate::event::Timestamp;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let told = |seconds: i64| {
            ago(
                Timestamp::from_millis(1_000_000_000_000),
                Timestamp::from_millis(1_000_000_000_000 + seconds * 1_000),
            )
        };
        for (seconds, words) in [
            (-5, "0 seconds ago"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (7_200, "2 hours ago"),
            (86_400 * 3, "3 days ago"),
        ] {
            assert_eq!(told(seconds), words);
        }
    }
}
