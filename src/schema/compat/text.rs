//! Texts that a schema accepts: by its format, its pattern and its bounds.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::facts::{greatest, least};
use super::place::Node;

/// A text that has each format.
const FORMATS: [(&str, &str); 14] = [
    ("date-time", "2026-01-02T03:04:05Z"),
    ("date", "2026-01-02"),
    ("time", "03:04:05Z"),
    ("duration", "P1D"),
    ("email", "someone@example.com"),
    ("hostname", "example.com"),
    ("ipv4", "192.0.2.1"),
    ("ipv6", "2001:db8::1"),
    ("uri", "https://example.com/"),
    ("uri-reference", "/path"),
    ("uuid", "0f8fad5b-d9cb-469f-a165-70867728950e"),
    ("json-pointer", "/a"),
    ("regex", "a"),
    ("uri-template", "/{a}"),
];
/// So often a part of a pattern is repeated at most.
const REPEATED_MAX: usize = 20_000;

/// A text of so many characters.
pub(super) fn of_length(nodes: &[Node<'_>], count: usize) -> Option<String> {
    if let Some(pattern) = keyword(nodes, "pattern") {
        let hir = regex_syntax::parse(pattern).ok()?;
        let base = matching(&hir, 0, 0)?.chars().count();
        let missing = count.saturating_sub(base);
        let text = matching(&hir, missing, 0)?;
        return (text.chars().count() == count).then_some(text);
    }
    let base = keyword(nodes, "format").and_then(of_format).unwrap_or_default();
    Some(base.chars().chain(std::iter::repeat('x')).take(count.max(base.len())).collect())
}

/// A text; variants differ in length and letters.
pub(super) fn some(nodes: &[Node<'_>], variant: usize) -> Option<String> {
    let size = |size: Option<u64>| size.and_then(|size| usize::try_from(size).ok());
    let (low, high) = (size(greatest(nodes, "minLength")), size(least(nodes, "maxLength")));
    if let Some(pattern) = keyword(nodes, "pattern") {
        let hir = regex_syntax::parse(pattern).ok()?;
        let base = matching(&hir, 0, variant)?.chars().count();
        let more = low.unwrap_or(0).saturating_sub(base) + variant / 3;
        return matching(&hir, more, variant);
    }
    if let Some(text) = keyword(nodes, "format").and_then(of_format) {
        return Some(text.to_owned());
    }
    let texts = ["text", "", "Text 1", "1", "ä", "a b", "TEXT", "-"];
    let text = texts.get(variant % texts.len()).copied().unwrap_or_default();
    let mut letters: Vec<char> = text.chars().collect();
    if let Some(high) = high {
        letters.truncate(high);
    }
    while letters.len() < low.unwrap_or(0).min(REPEATED_MAX) {
        letters.push(if variant == 0 { 'x' } else { 'y' });
    }
    Some(letters.into_iter().collect())
}

fn of_format(format: &str) -> Option<&'static str> {
    FORMATS.iter().find(|(name, _)| *name == format).map(|(_, text)| *text)
}

fn keyword<'b>(nodes: &[Node<'b>], keyword: &str) -> Option<&'b str> {
    nodes.iter().find_map(|node| node.get(keyword)?.as_str())
}

/// A text that matches, its repeated parts longer by `more` in all; the variant chooses letters and alternatives.
fn matching(hir: &Hir, more: usize, variant: usize) -> Option<String> {
    let mut text = String::new();
    let mut more = more;
    write(hir, &mut more, variant, &mut text)?;
    Some(text)
}

fn write(hir: &Hir, more: &mut usize, variant: usize, text: &mut String) -> Option<()> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => text.push(letter(class, variant)?),
        HirKind::Repetition(repetition) => {
            let fewest = usize::try_from(repetition.min).ok()?;
            let most =
                repetition.max.map_or(REPEATED_MAX, |most| usize::try_from(most).unwrap_or(REPEATED_MAX));
            let extra = (*more).min(most.saturating_sub(fewest));
            *more -= extra;
            for _ in 0..(fewest + extra).min(REPEATED_MAX) {
                write(&repetition.sub, &mut 0, variant, text)?;
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, more, variant, text)?,
        HirKind::Concat(parts) => {
            for part in parts {
                write(part, more, variant, text)?;
            }
        }
        HirKind::Alternation(parts) => {
            write(parts.get(variant % parts.len().max(1))?, more, variant, text)?;
        }
    }
    Some(())
}

/// The first letter of a class, its last, then those between.
fn letter(class: &Class, variant: usize) -> Option<char> {
    let Class::Unicode(class) = class else { return None };
    let ranges = class.ranges();
    let plain = ranges.iter().find(|range| range.start().is_ascii_graphic());
    let first = plain.or_else(|| ranges.first())?;
    match variant {
        0 => Some(first.start()),
        1 => ranges
            .iter()
            .rev()
            .find(|range| range.end().is_ascii())
            .or_else(|| ranges.last())
            .map(|range| range.end()),
        _ => ranges
            .get(variant % ranges.len())
            .map(|range| if variant.is_multiple_of(2) { range.start() } else { range.end() }),
    }
}
