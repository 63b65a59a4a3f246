//! A job that a gateway runs, seen through from a terminal.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::time::sleep;

use super::ask::Asker;
use super::output::counted;
use super::paint::harmless;

/// How often it asks how far a job is.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// So often in a row it may get no answer: a gateway that restarts takes a moment.
const UNANSWERED_MAX: u32 = 10;

/// How a kind of job is told of.
pub(super) struct Kind {
    /// Its name.
    pub(super) noun: &'static str,
    /// The member that says how much there is to look at.
    pub(super) whole: &'static str,
    /// The member that counts what was done, what that is of, and what was done with it.
    pub(super) done: (&'static str, &'static str, &'static str),
    /// States in which it has not ended.
    pub(super) open: &'static [&'static str],
    /// A job in a line.
    pub(super) line: fn(&Value) -> String,
}

/// Asks how far a job is until it has ended.
pub(super) async fn watch(asker: &Asker, kind: &Kind, path: &str, begun: Value) -> anyhow::Result<Value> {
    let bar = bar(kind, &begun);
    let (member, noun, how) = kind.done;
    let (mut now, mut unanswered) = (begun, 0);
    while state(&now).is_some_and(|state| kind.open.contains(&state)) {
        bar.set_position(count(&now, "examined"));
        bar.set_message(format!("{} {how}", counted(count(&now, member), noun)));
        sleep(ASK_EVERY).await;
        match asker.get(path, &[]).await {
            Ok(told) => (now, unanswered) = (told, 0),
            Err(error) => {
                unanswered += 1;
                if unanswered >= UNANSWERED_MAX {
                    bar.finish_and_clear();
                    let id = now.get("id").and_then(Value::as_str).unwrap_or_default();
                    let id = harmless(id);
                    return Err(error
                        .context(format!("{} {id} goes on, and how far it is cannot be seen", kind.noun)));
                }
            }
        }
    }
    bar.finish_and_clear();
    Ok(now)
}

/// How a job stands.
pub(super) fn state(job: &Value) -> Option<&str> {
    job.get("state").and_then(Value::as_str)
}

/// A number that a job tells.
pub(super) fn count(job: &Value, name: &str) -> u64 {
    job.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// A bar on a terminal; elsewhere one line that says which job it is.
fn bar(kind: &Kind, begun: &Value) -> ProgressBar {
    if !io::stderr().is_terminal() {
        tell_begun(kind, begun);
        return ProgressBar::hidden();
    }
    let template = "{bar:30} {pos}/{len} {eta} {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count(begun, kind.whole)).with_style(style)
}

#[expect(clippy::print_stderr, reason = "what is said on the way belongs on standard error")]
fn tell_begun(kind: &Kind, begun: &Value) {
    eprint!("{}", (kind.line)(begun));
}
