//! What one reading of a configuration finds wrong: every mistake with its path and line, and what was probably meant.

use std::cell::RefCell;

use super::Mistake;
use super::tree::{Node, Origin};

/// What all sections of one reading share.
#[derive(Debug, Default)]
pub(super) struct Reading {
    mistakes: RefCell<Vec<Mistake>>,
}

impl Reading {
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }

    /// Notes what is wrong at a path, which `node` was written for.
    pub(super) fn mistake(&self, path: &str, node: &Node, problem: String) {
        self.note(path, node, problem, None);
    }

    /// Notes that a file cannot be used that is named there; why is for the operator alone.
    pub(super) fn mistake_in_file(&self, path: &str, node: &Node, cause: String) {
        self.note(path, node, "the file it names cannot be used".to_owned(), Some(cause));
    }

    fn note(&self, path: &str, node: &Node, problem: String, cause: Option<String>) {
        let line = match node.origin {
            Origin::Line(line) => Some(line),
            Origin::Default | Origin::Environment => None,
        };
        let mistake = Mistake { path: path.to_owned(), line, column: None, problem, cause };
        self.mistakes.borrow_mut().push(mistake);
    }
}

/// A suggestion for a misspelt name; empty where no known one is near.
pub(super) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let nearest = known.map(|have| (distance(name, have), have)).min_by_key(|(distance, _)| *distance);
    let near = nearest.filter(|(distance, _)| *distance <= 3);
    near.map_or_else(String::new, |(_, have)| format!("; did you mean '{have}'?"))
}

/// Levenshtein distance, for suggestions.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), index + 1);
        let mut left = index + 1;
        for (cell, wanted) in row.iter_mut().skip(1).zip(other.chars()) {
            let cost = (diagonal + usize::from(letter != wanted)).min(*cell + 1).min(left + 1);
            diagonal = std::mem::replace(cell, cost);
            left = cost;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("listen", "listen"), 0);
        assert_eq!(distance("lisen", "listen"), 1);
        assert_eq!(distance("keep_alvie", "keep_alive"), 2);
        assert_eq!(distance("", "abc"), 3);
    }
}
