//! Whether a schema fits earlier versions, and in what words it does not: those that clients of registries know.

use std::sync::Arc;
use std::time::Duration;

use crate::schema::avro;
use crate::schema::compat::{self, Break, ChangeLevel, Comparer, CounterExample, Report, TimeBox};
use crate::schema::protobuf;

use super::admission::{self, Named};
use super::content::{Content, Kind, Version};
use super::error::Error;
use super::judges::Judges;
use super::level::{Level, Policy};

/// What reading all versions, and what comparing them, may take.
const TIME_MAX: Duration = Duration::from_secs(2);
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

/// What a comparison with earlier versions comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Compared {
    /// Why the schema does not fit; nothing where it does.
    pub(super) differences: Vec<String>,
    /// How much it changes the latest of them.
    pub(super) change_level: Option<ChangeLevel>,
}

impl Compared {
    /// Nothing like the earlier ones.
    const fn different(differences: Vec<String>) -> Self {
        Self { differences, change_level: Some(ChangeLevel::Major) }
    }
}

/// Compares a schema with versions of other content.
pub(super) async fn compare(
    by: (&Judges, &Comparer),
    terms: Terms,
    candidate: Side,
    earlier: Vec<(Version, Side)>,
) -> Result<Compared, Error> {
    let kind = candidate.content.kind;
    if let Some((version, side)) = earlier.iter().find(|(_, side)| side.content.kind != kind) {
        let other = side.content.kind.as_str();
        let what = format!("the schema is of type {}, and the earlier one of type {other}", kind.as_str());
        let differences = told("SCHEMA_TYPE_CHANGED", &what, *version, side, terms);
        return Ok(Compared::different(differences));
    }
    let sides: Vec<Side> = earlier.iter().map(|(_, side)| side.clone()).collect();
    Ok(match report(by, terms, candidate, sides).await? {
        Ok(report) => {
            let told = report.breaks.iter().flat_map(|found| in_words(found, &earlier, terms));
            Compared { differences: told.collect(), change_level: report.change_level }
        }
        Err(problem) => {
            let last =
                earlier.last().map(|(version, side)| told("NOT_COMPARABLE", &problem, *version, side, terms));
            Compared::different(last.unwrap_or_default())
        }
    })
}

/// Compares a schema with earlier ones of its language, oldest first; or says why that cannot be done.
pub(super) async fn report(
    (judges, comparer): (&Judges, &Comparer),
    terms: Terms,
    candidate: Side,
    earlier: Vec<Side>,
) -> Result<Result<Report, String>, Error> {
    let (level, policy) = (terms.level.into(), terms.policy.into());
    match candidate.content.kind {
        Kind::Avro => judges.ask(move || by_resolution(&earlier, &candidate, level)).await,
        Kind::Json => by_sets((judges, comparer), earlier, candidate, policy, level).await,
        Kind::Protobuf => judges.ask(move || by_numbers(&earlier, &candidate, policy, level)).await,
    }
}

/// Avro, by what its readers make of writers' data; policies are about JSON.
fn by_resolution(earlier: &[Side], candidate: &Side, level: compat::Level) -> Result<Report, String> {
    let time = TimeBox::new(TIME_MAX);
    let version = |side: &Side| admission::avro(&side.content.text, &side.named);
    let (earlier, candidate) = read_all(earlier, candidate, version, &time)?;
    Ok(avro::compare_within(&earlier, &candidate, level, &time))
}

/// JSON Schemas, as sets of values.
async fn by_sets(
    (judges, comparer): (&Judges, &Comparer),
    earlier: Vec<Side>,
    candidate: Side,
    policy: compat::Policy,
    level: compat::Level,
) -> Result<Result<Report, String>, Error> {
    let bundled = judges.ask(move || {
        let bundle = |side: &Side| admission::comparable(&side.content.text, &side.named);
        read_all(&earlier, &candidate, bundle, &TimeBox::new(TIME_MAX))
    });
    Ok(match bundled.await? {
        Ok((earlier, candidate)) => {
            Ok(comparer.compare(earlier.into(), Arc::new(candidate), policy, level).await)
        }
        Err(problem) => Err(problem),
    })
}

/// Protobuf, by the numbers of fields.
fn by_numbers(
    earlier: &[Side],
    candidate: &Side,
    policy: compat::Policy,
    level: compat::Level,
) -> Result<Report, String> {
    let time = TimeBox::new(TIME_MAX);
    let version = |side: &Side| {
        let imports = side.named.iter().map(Named::as_pair);
        protobuf::compat::Version::compile(&side.content.text, imports)
    };
    let (earlier, candidate) = read_all(earlier, candidate, version, &time)?;
    Ok(protobuf::compat::compare_within(&earlier, &candidate, (policy, level), &time))
}

/// All versions, ready to be compared.
fn read_all<V>(
    earlier: &[Side],
    candidate: &Side,
    read: impl Fn(&Side) -> Result<V, String>,
    time: &TimeBox,
) -> Result<(Vec<V>, V), String> {
    let candidate = read(candidate)?;
    let in_time = |side| {
        if time.is_over() {
            Err("it took too long to read the earlier versions".to_owned())
        } else {
            read(side)
        }
    };
    Ok((earlier.iter().map(in_time).collect::<Result<_, _>>()?, candidate))
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
        Some(CounterExample::Misread { data, read }) => {
            let (data, read) = (shorten(&data.to_string()), shorten(&read.to_string()));
            words.push(format!("{{counterExample: '{data}', readAs: '{read}'}}"));
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
