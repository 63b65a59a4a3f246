//! Whether a schema can be worked with: no type may have to hold itself, and references may not lead too deep.

use super::tree::{Id, Node, Tree};

/// Types may lead to each other this deep, each counted where it is met first.
const DEPTH_MAX: usize = 200;

/// Refuses types whose values would be endless, and chains of types that are too long.
pub(super) fn check(tree: &Tree) -> Result<(), String> {
    check_depth(tree)?;
    check_ends(tree)
}

/// Walks as everything does that tells each type once.
fn check_depth(tree: &Tree) -> Result<(), String> {
    let mut is_met = vec![false; tree.nodes().count()];
    let mut path = vec![vec![tree.root()].into_iter()];
    while let Some(siblings) = path.last_mut() {
        let Some(id) = siblings.next() else {
            path.pop();
            continue;
        };
        let Some(is_met) = is_met.get_mut(id.place()).filter(|is_met| !**is_met) else { continue };
        *is_met = true;
        if path.len() > DEPTH_MAX {
            return Err(format!("has types that lead to each other deeper than {DEPTH_MAX}"));
        }
        path.push(tree.node(id).parts().into_iter());
    }
    Ok(())
}

fn check_ends(tree: &Tree) -> Result<(), String> {
    let mut is_finite = vec![false; tree.nodes().count()];
    loop {
        let mut has_changed = false;
        for (at, node) in tree.nodes().enumerate() {
            let finite = |id: &Id| is_finite.get(id.place()).copied().unwrap_or_default();
            let ends = finite_by(node, finite);
            if let Some(known) = is_finite.get_mut(at)
                && ends
                && !*known
            {
                (*known, has_changed) = (true, true);
            }
        }
        if !has_changed {
            break;
        }
    }
    for (node, is_finite) in tree.nodes().zip(is_finite) {
        if let Node::Record(record) = node
            && !is_finite
        {
            let name: String = record.name.full().chars().take(200).collect();
            return Err(format!("a {name} would have to hold another without end"));
        }
    }
    Ok(())
}

/// Whether a type has a value that ends, as far as is known of those within it.
fn finite_by(node: &Node, finite: impl Fn(&Id) -> bool) -> bool {
    match node {
        Node::Union(union) => {
            union.branches.is_empty() || union.branches.iter().any(|branch| finite(&branch.node))
        }
        Node::Record(record) => record.fields.iter().all(|field| finite(&field.node)),
        // Arrays and maps may be empty.
        Node::Array(_)
        | Node::Map(_)
        | Node::Null
        | Node::Boolean
        | Node::Int(_)
        | Node::Long(_)
        | Node::Float
        | Node::Double
        | Node::Bytes(_)
        | Node::Text { .. }
        | Node::Enum(_)
        | Node::Fixed(_) => true,
    }
}
