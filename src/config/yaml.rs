//! Reading YAML: the tree it holds, or what is wrong with it in our words, with line, column and path.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Location, Spanned};

use super::Mistake;
use super::tree::{Node, Origin, Value};

/// Reads YAML; an empty text is an empty map. Of a key that is named twice the first counts, and the other is a mistake.
///
/// # Errors
/// What keeps the text from being YAML.
pub(super) fn parse(text: &str) -> Result<(Node, Vec<Mistake>), Mistake> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok((Node { value: Value::Map(Vec::new()), origin: Origin::Line(1) }, Vec::new()));
    }
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough };
    let tree = serde_saphyr::from_str_with_options::<Spanned<Tree>>(text, options);
    let tree = tree.map_err(|error| unreadable(text, error.without_snippet()))?;
    let mut mistakes = Vec::new();
    let node = node(tree, "", &mut mistakes);
    Ok((node, mistakes))
}

fn node(tree: Spanned<Tree>, path: &str, mistakes: &mut Vec<Mistake>) -> Node {
    let origin = Origin::Line(tree.referenced.line());
    let value = match tree.value {
        Tree::Null => Value::Null,
        Tree::Bool(flag) => Value::Bool(flag),
        Tree::Text(text) => Value::Text(text),
        Tree::List(items) => {
            let items = items.into_iter().enumerate();
            Value::List(
                items.map(|(index, item)| node(item, &format!("{path}[{index}]"), mistakes)).collect(),
            )
        }
        Tree::Map(members) => Value::Map(map(members, path, mistakes)),
    };
    Node { value, origin }
}

fn map(
    members: Vec<(Spanned<String>, Spanned<Tree>)>,
    path: &str,
    mistakes: &mut Vec<Mistake>,
) -> Vec<(String, Node)> {
    let mut nodes: Vec<(String, Node)> = Vec::with_capacity(members.len());
    let mut lines: Vec<u64> = Vec::with_capacity(members.len());
    for (key, tree) in members {
        let place = key.referenced;
        let path = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
        let first = nodes.iter().position(|(have, _)| *have == key.value).and_then(|at| lines.get(at));
        if let Some(first) = first {
            let problem = format!("is named twice; the first is on line {first}");
            mistakes.push(mistake(Some(place), path, problem));
            continue;
        }
        lines.push(place.line());
        nodes.push((key.value, node(tree, &path, mistakes)));
    }
    nodes
}

fn unreadable(text: &str, error: &Error) -> Mistake {
    let place = error.location();
    let path = place.map_or_else(String::new, |place| path_at(text, place.line()));
    match in_our_words(error) {
        Ok(words) => mistake(place, path, words.to_owned()),
        // What the parser says may hold what the file says.
        Err(text) => Mistake { cause: Some(text), ..mistake(place, path, "is not YAML".to_owned()) },
    }
}

fn mistake(place: Option<Location>, path: String, problem: String) -> Mistake {
    let place = place.filter(|place| place.line() > 0);
    let (line, column) = (place.map(|place| place.line()), place.map(|place| place.column()));
    Mistake { path, line, column, problem, cause: None }
}

/// What the parser means, or what it says.
fn in_our_words(error: &Error) -> Result<&'static str, String> {
    let words = match error {
        Error::ExternalMessage { msg, .. } | Error::Message { msg, .. } => return said(msg),
        Error::Eof { .. } => "the file ends before something is complete",
        Error::MultipleDocuments { .. } => "a second document begins here ('---'); a configuration is one",
        Error::Unexpected { .. } => "a key must be a text",
        Error::UnknownAnchor { .. } => {
            "'*' begins an alias, and nothing has that name; a text that begins with '*' needs quotes"
        }
        Error::MergeValueNotMapOrSeqOfMaps { .. } => "'<<' takes in a map, and this is none",
        Error::RecursiveReferencesRequireWeakTypes { .. } => "an alias cannot be part of what it stands for",
        Error::NonFiniteFloat { .. } => "this is a number without an end; a text needs quotes",
        Error::InvalidScalar { .. } | Error::UnsupportedTag { .. } => {
            "the value is not what its tag ('!') says"
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "this is larger or deeper than a configuration can be"
        }
        Error::InvalidUtf8Input => "the file is not UTF-8",
        _ => return Err(first_line(&error.to_string())),
    };
    Ok(words)
}

/// The same for what is told only as a text: its commonest sentences.
fn said(message: &str) -> Result<&'static str, String> {
    let sentences = [
        ("tabs disallowed", "a tab; YAML is indented with spaces"),
        ("unclosed bracket", "a bracket is opened here and never closed"),
        ("did not find expected ',' or", "a comma or the closing bracket is missing before this"),
        ("mapping values are not allowed", "a ':' where none can be; a text with ': ' in it needs quotes"),
        ("multiline quoted scalar", "a quoted text begun above is not closed"),
        ("unclosed quote", "a quoted text is not closed"),
        ("unexpected character", "a text cannot begin with this character; put it in quotes"),
        ("did not find expected key", "a key is expected here; are the lines indented alike?"),
        ("simple key expected ':'", "a ':' is missing after the key"),
    ];
    let found = sentences.iter().find(|(part, _)| message.contains(part));
    found.map(|(_, words)| *words).ok_or_else(|| first_line(message))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The keys that a line of block YAML lies under, the line's own included, as its indentation tells.
fn path_at(text: &str, line: u64) -> String {
    let mut keys: Vec<(usize, &str)> = Vec::new();
    for one in text.lines().take(usize::try_from(line).unwrap_or(usize::MAX)) {
        let content = one.trim_start_matches([' ', '\t', '-']);
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let indent = one.len() - content.len();
        keys.retain(|(above, _)| *above < indent);
        let key = content.split_once(':').map(|(key, _)| key.trim());
        let is_key =
            |key: &&str| key.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter));
        keys.extend(key.filter(is_key).map(|key| (indent, key)));
    }
    keys.into_iter().map(|(_, key)| key).collect::<Vec<_>>().join(".")
}

#[derive(Debug)]
enum Tree {
    Null,
    Bool(bool),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Text(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Text(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Text(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(member) = members.next_entry()? {
            map.push(member);
        }
        Ok(Tree::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn mistakes(text: &str) -> Vec<String> {
        let mistakes = match parse(text) {
            Ok((_, mistakes)) => mistakes,
            Err(mistake) => vec![mistake],
        };
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_key_that_is_named_twice_is_told_with_its_place() {
        let text = "http:\n  listen: a\n  limits: {x: 1, x: 2}\n  listen: b\ntopics:\n  - name: a\n    name: b\nhttp:\n  listen: c\n";
        assert_eq!(
            mistakes(text),
            [
                "line 3, column 18: http.limits.x: is named twice; the first is on line 3",
                "line 4, column 3: http.listen: is named twice; the first is on line 2",
                "line 7, column 5: topics[0].name: is named twice; the first is on line 6",
                "line 8, column 1: http: is named twice; the first is on line 1",
            ]
        );
    }

    #[test]
    fn what_is_no_yaml_is_told_in_our_words_with_its_place() {
        for (text, told) in [
            (
                "http:\n  listen: [\n",
                "line 2, column 11: http.listen: a bracket is opened here and never closed",
            ),
            ("http:\n\tlisten: a\n", "line 2, column 2: http.listen: a tab; YAML is indented with spaces"),
            ("http:\n listen: a\n  b: c\n", "line 3, column 4: http.listen.b: a ':' where none can be"),
            (
                "http: {listen: 1\nfeed: 2\n",
                "line 2, column 5: feed: a comma or the closing bracket is missing",
            ),
            ("a: \"x\nb: 1\n", "line 2, column 1: b: a quoted text begun above is not closed"),
            ("node: *x\n", "line 1, column 7: node: '*' begins an alias"),
            ("node: @x\n", "line 1, column 7: node: a text cannot begin with this character"),
            ("? [a]\n: 1\n", "line 1, column 3: a key must be a text"),
            ("node: .nan\n", "line 1, column 7: node: this is a number without an end"),
            ("---\na: 1\n---\nb: 2\n", "a second document begins here"),
            ("<<: 3\n", "'<<' takes in a map"),
        ] {
            let all = mistakes(text);
            assert!(all.len() == 1 && all[0].contains(told), "{told}: {all:?}");
        }
    }
}
