//! Why a body is refused as JSON.

/// Why a body is refused as JSON. Lines and columns count from 1, columns in bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON, or JSON that cannot be kept exactly: a syntax error, bytes after the value, a byte order mark, text
    /// that is not UTF-8, a lone surrogate, a number out of range.
    #[error("{problem} at line {line} column {column}")]
    Malformed {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
        /// What is wrong, without any text of the body.
        problem: String,
    },
    /// An object names a member twice; parsers disagree on which of them counts.
    #[error("the member {pointer} occurs twice, at line {line} column {column}")]
    DuplicateMember {
        /// Where the member lies.
        pointer: String,
        /// The line of the repetition.
        line: usize,
        /// The column of the repetition.
        column: usize,
    },
    /// Arrays and objects nest deeper than the limit.
    #[error("nested deeper than {depth_max} levels")]
    TooDeep {
        /// The limit.
        depth_max: usize,
    },
}
