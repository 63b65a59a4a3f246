//! Whether one version of a schema may follow another, by the numbers of fields.
//!
//! Under `LENIENT` the rules are those that Confluent's registry has; under `STRICT` also those by which data keeps its
//! form as JSON, where names count.

mod differ;
mod example;
mod kinds;
mod sample;
mod words;

#[cfg(test)]
mod tests;

use self::differ::Differ;
use self::example::example;
use super::canonical;
use super::source::Source;
use crate::schema::compat::{Break, ChangeLevel, Direction, Level, Policy, Report, TimeBox, compare_by};

/// So many differences are told of one comparison.
const TOLD_MAX: usize = 100;

/// A version of a schema with all that it imports, ready to be compared.
#[derive(Debug, Clone)]
pub struct Version {
    source: Source,
    serialized: String,
}

impl Version {
    /// Compiles a text; see [`super::Protobuf::compile`].
    ///
    /// # Errors
    /// What is wrong with the text, or that it is beyond a budget.
    pub fn compile<'t>(
        text: &'t str,
        imports: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Result<Self, String> {
        let source = Source::compile(text, imports)?;
        let serialized = canonical::serialized(&source.file)?;
        Ok(Self { source, serialized })
    }
}

/// Compares a new version with the earlier ones, oldest first, as far as the level asks. Takes as long as it takes, which is
/// milliseconds for what the budgets allow.
#[must_use]
pub fn compare(earlier: &[Version], new: &Version, policy: Policy, level: Level) -> Report {
    compare_within(earlier, new, (policy, level), &TimeBox::endless())
}

/// As [`compare`], but what could not be shown before the time was over is not compatible.
#[must_use]
pub fn compare_within(
    earlier: &[Version],
    new: &Version,
    (policy, level): (Policy, Level),
    time: &TimeBox,
) -> Report {
    let judge_as = |policy| move |old: &Version, direction| judge(old, new, policy, direction, time);
    let report = compare_by(earlier, level, time, judge_as(policy), |old| old.serialized == new.serialized);
    // Whatever is asked for, those who read JSON see it.
    let is_seen = |old| judge_as(Policy::Strict)(old, Direction::Backward).is_some();
    let is_major = earlier.last().is_some_and(is_seen);
    let change_level = if is_major { Some(ChangeLevel::Major) } else { report.change_level };
    Report { change_level, ..report }
}

/// What stands against one reader of one writer.
fn judge(
    old: &Version,
    new: &Version,
    policy: Policy,
    direction: Direction,
    time: &TimeBox,
) -> Option<Break> {
    let (original, update) = match direction {
        Direction::Backward => (old, new),
        Direction::Forward => (new, old),
    };
    let files = (&original.source.file, &update.source.file);
    let mut findings = Differ::new(policy, time).files(files.0, files.1);
    findings.truncate(TOLD_MAX);
    let unproved = time.is_over().then(|| "could not be proved: it took too long".to_owned());
    if findings.is_empty() && unproved.is_none() {
        return None;
    }
    let counter_example = example(files, &findings, policy, time);
    let differences = findings.iter().map(|finding| words::difference(finding, direction)).collect();
    let unproved = unproved.filter(|_| findings.is_empty());
    Some(Break { unproved, differences, counter_example, ..Break::new(direction) })
}
