//! What is wrong in a configuration, for its operator and for a caller from outside.

use std::fmt;

/// One thing that is wrong in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where, as `http.limits.body_bytes_max` or `grants[2].allow`.
    pub path: String,
    /// The line of the file, when it was written there.
    pub line: Option<u64>,
    /// The column, where the text itself is wrong.
    pub column: Option<u64>,
    /// What is wrong and what was expected.
    pub problem: String,
    /// What lies behind it, for the operator alone: it may name files and hold what they say.
    pub cause: Option<String>,
}

impl Mistake {
    /// The mistake for a caller from outside: without its cause.
    #[must_use]
    pub fn told(&self) -> String {
        Self { cause: None, ..self.clone() }.to_string()
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}")?;
            self.column.iter().try_for_each(|column| write!(formatter, ", column {column}"))?;
            formatter.write_str(": ")?;
        }
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.problem)?;
        self.cause.iter().try_for_each(|cause| write!(formatter, ": {cause}"))
    }
}
