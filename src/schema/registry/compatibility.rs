//! Whether a schema fits earlier versions, and in what words it does not: those that clients of registries know.

use std::sync::Arc;

use crate::schema::compat::{self, Break, Comparer, CounterExample};

use super::admission::{self, Named};
use super::content::{Content, Version};
use super::error::Error;
use super::judges::Judges;
use super::level::{Level, Policy};

/// So much of an earlier schema or an example is told.
const TOLD_CHARACTERS_MAX: usize = 2_000;

/// A schema with all that it refers to.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) content: Content,
    pub(super) named: Vec<Named>,
}

/// What a new version must be to earlier ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) level: Level,
    pub(super) policy: Policy,
}

/// Why a schema does not fit versions of other content; nothing where it does.
pub(super) async fn differences(
    (judges, comparer): (&Judges, &Comparer),
    terms: Terms,
    candidate: Side,
    earlier: Vec<(Version, Side)>,
) -> Result<Vec<String>, Error> {
    let kind = candidate.content.kind;
    if let Some((version, side)) = earlier.iter().find(|(_, side)| side.content.kind != kind) {
        let other = side.content.kind.as_str();
        let what = format!("the schema is of type {}, and the earlier one of type {other}", kind.as_str());
        return Ok(told("SCHEMA_TYPE_CHANGED", &what, *version, side, terms));
    }
    let sides: Vec<Side> = earlier.iter().map(|(_, side)| side.clone()).collect();
    let bundled = judges.ask(move || {
        let earlier = sides.iter().map(bundle).collect::<Result<Vec<_>, _>>()?;
        bundle(&candidate).map(|candidate| (earlier, candidate))
    });
    let (bundles, candidate) = match bundled.await? {
        Ok(bundled) => bundled,
        Err(problem) => {
            let last =
                earlier.last().map(|(version, side)| told("NOT_COMPARABLE", &problem, *version, side, terms));
            return Ok(last.unwrap_or_default());
        }
    };
    let (level, policy) = (terms.level.into(), terms.policy.into());
    let report = comparer.compare(bundles.into(), Arc::new(candidate), policy, level).await;
    Ok(report.breaks.iter().flat_map(|found| in_words(found, &earlier, terms)).collect())
}

fn bundle(side: &Side) -> Result<compat::Version, String> {
    admission::comparable(&side.content, &side.named)
}

fn in_words(found: &Break, earlier: &[(Version, Side)], terms: Terms) -> Vec<String> {
    let mut words: Vec<String> = found
        .differences
        .iter()
        .map(|one| {
            error(one.rule, &format!("{} at {} ({}); {}", one.message, one.pointer, one.path, one.fix))
        })
        .collect();
    if let Some(reason) = &found.unproved {
        words.push(error("NOT_PROVED", reason));
    }
    match &found.counter_example {
        Some(CounterExample::Data(data)) => {
            words.push(format!("{{counterExample: '{}'}}", shorten(&data.to_string())))
        }
        Some(CounterExample::Schema(schema)) => {
            words.push(format!("{{counterExampleSchema: '{}'}}", shorten(&schema.to_string())));
        }
        None => {}
    }
    if let Some((version, side)) = earlier.get(found.earlier) {
        words.extend(place(*version, side, terms));
    }
    words
}

fn told(rule: &str, what: &str, version: Version, side: &Side, terms: Terms) -> Vec<String> {
    std::iter::once(error(rule, what)).chain(place(version, side, terms)).collect()
}

fn error(rule: &str, what: &str) -> String {
    format!("{{errorType:\"{rule}\", description:\"{what}\"}}")
}

fn place(version: Version, side: &Side, terms: Terms) -> [String; 3] {
    [
        format!("{{oldSchemaVersion: {version}}}"),
        format!("{{oldSchema: '{}'}}", shorten(&side.content.text)),
        format!(
            "{{compatibility: '{}', compatibilityPolicy: '{}'}}",
            terms.level.as_str(),
            terms.policy.as_str()
        ),
    ]
}

fn shorten(text: &str) -> String {
    text.chars().take(TOLD_CHARACTERS_MAX).collect()
}
