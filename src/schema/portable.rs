//! The schemas of a folder as texts that can be handed to a registry.
//!
//! A JSON Schema that refers to no other file goes as it is; one that does takes what it refers to along. Either names its
//! dialect, since a registry means another one than the folder does where none is named. Avro and Protobuf files go as they
//! are, after those that they refer to, which are schemas of their own there, by the names they are referred to by.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::bundle::bundle;
use super::coded::{Coded, Linked, link};
use super::compiled::Dialect;
use super::folder::{File, Folder, error, read};
use super::registry::Kind;
use super::{Absent, Config, LoadError, Schemas, Store};
use crate::event::EventType;
use crate::schema::budget::References;

/// A schema of an event type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portable {
    /// The type whose data it describes.
    pub event_type: EventType,
    /// Where it came from.
    pub path: PathBuf,
    /// The schema.
    pub content: Content,
    /// All that it refers to; what is needed stands before who needs it.
    pub referred: Vec<Referred>,
}

/// A schema that others refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referred {
    /// By which they refer to it, and its subject: the name of an Avro type, the path of a Protobuf file.
    pub name: String,
    /// Where it came from.
    pub path: PathBuf,
    /// The schema.
    pub content: Content,
}

/// What a registry is handed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The language.
    pub kind: Kind,
    /// The text.
    pub text: String,
    /// The names of those that it refers to itself.
    pub needs: Vec<String>,
}

/// The schemas of all event types of a folder, by path. Blocks.
///
/// # Errors
/// All mistakes of the folder at once.
pub fn read_folder(directory: &Path) -> Result<Vec<Portable>, Vec<LoadError>> {
    Schemas::load(&Config {
        store: Store::Folder,
        directory: directory.to_owned(),
        absent: Absent::Refused,
    })?;
    let (Folder { files, coded }, mut errors) = read(directory);
    let references = References::new(&files);
    let mut found = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let Some(event_type) = &file.event_type else { continue };
        match text_of(&files, &references, at, file) {
            Ok(text) => {
                let content = Content { kind: Kind::Json, text, needs: Vec::new() };
                let (event_type, path) = (event_type.clone(), file.path.clone());
                found.push(Portable { event_type, path, content, referred: Vec::new() });
            }
            Err(problem) => errors.push(error(&file.path, problem)),
        }
    }
    for file in &coded {
        let Some(event_type) = &file.event_type else { continue };
        match link(file, &coded) {
            Ok(linked) => found.push(portable(event_type, &linked)),
            Err(problem) => errors.push(error(&file.path, problem)),
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    errors.extend(check_names(&found));
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

fn portable(event_type: &EventType, linked: &Linked<'_>) -> Portable {
    let content = |file: &Coded, needs: &[String]| Content {
        kind: file.kind,
        text: file.text.clone(),
        needs: needs.to_vec(),
    };
    let referred = linked.referred.iter().map(|one| Referred {
        name: one.name.clone(),
        path: one.file.path.clone(),
        content: content(one.file, &one.needs),
    });
    Portable {
        event_type: event_type.clone(),
        path: linked.file.path.clone(),
        content: content(linked.file, &linked.needs),
        referred: referred.collect(),
    }
}

/// Refuses files that others refer to by one name: they would be versions of one subject.
fn check_names(found: &[Portable]) -> Vec<LoadError> {
    let mut paths: HashMap<&str, &Path> = HashMap::new();
    let mut errors = Vec::new();
    for one in found.iter().flat_map(|schema| &schema.referred) {
        let other = *paths.entry(&one.name).or_insert(&one.path);
        if other != one.path {
            let problem =
                format!("is called {} by those who refer to it, as {} is", one.name, other.display());
            errors.push(error(&one.path, problem));
        }
    }
    errors
}

fn text_of(files: &[File], references: &References<'_>, at: usize, file: &File) -> Result<String, String> {
    let dialect = |schema: &Value| Dialect::of(schema, Dialect::Draft202012);
    let own = dialect(&file.schema)?;
    let mut schema = if stands_alone(&file.schema) {
        if file.schema.get("$schema").is_some() {
            return String::from_utf8(file.bytes.clone()).map_err(|_| "is no UTF-8".to_owned());
        }
        file.schema.clone()
    } else {
        for other in files {
            if dialect(&other.schema)? != own {
                return Err(
                    "refers to other files, and not all files of the folder are of one draft".to_owned()
                );
            }
        }
        bundle(files, references, at).ok_or_else(|| "refers to what is not there".to_owned())?
    };
    // Schemas that are only true or false have no dialect.
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_owned(), own.uri().into());
    }
    Ok(format!("{schema:#}"))
}

/// Whether every reference stays within the schema. Data that looks like a reference is taken for one, which does no harm.
fn stands_alone(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().all(|(name, value)| match (name.as_str(), value) {
            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(target)) => target.starts_with('#'),
            _ => stands_alone(value),
        }),
        Value::Array(values) => values.iter().all(stands_alone),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::Value;

    use super::{Content, Portable, read_folder};
    use crate::schema::{Dialect, Schema};

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn a_file_that_stands_alone_keeps_its_text_or_gets_its_dialect() {
        let named = "{ \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n \"type\": \"string\" }";
        let folder = folder(&[
            ("a/b/v1.json", named),
            ("a/c/v1.json", r##"{"properties":{"m":{"$ref":"#/$defs/x"}},"$defs":{"x":true}}"##),
        ]);
        let found = read_folder(folder.path()).unwrap();
        let names: Vec<&str> = found.iter().map(|one| one.event_type.as_str()).collect();
        assert_eq!((names.as_slice(), found[0].content.text.as_str()), (&["a.b.v1", "a.c.v1"][..], named));
        let second: Value = serde_json::from_str(&found[1].content.text).unwrap();
        assert_eq!(second["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }

    #[test]
    fn the_samples_stand_alone_under_the_dialect_that_a_registry_means() {
        for Portable { event_type, content: Content { text, .. }, .. } in
            read_folder(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas"))).unwrap()
        {
            let schema = serde_json::from_str(&text).unwrap();
            Schema::compile(&schema, Dialect::Draft7, &[])
                .unwrap_or_else(|problem| panic!("{event_type}: {problem}"));
            assert!(!text.contains("common.json#"), "{event_type}");
        }
    }

    #[test]
    fn files_of_two_drafts_cannot_become_one() {
        let draft7 = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"string"}"#;
        let folder = folder(&[("a/b/v1.json", r#"{"$ref":"../../x.json"}"#), ("x.json", draft7)]);
        let errors = read_folder(folder.path()).unwrap_err();
        assert!(errors[0].to_string().contains("not all files of the folder are of one draft"), "{errors:?}");
    }

    #[test]
    fn files_of_other_languages_go_as_they_are_after_what_they_refer_to() {
        let order = r#"{"type":"record","name":"shop.Order","fields":[{"name":"total","type":"Money"}]}"#;
        let money = r#"{"type":"fixed","name":"shop.Money","size":8}"#;
        let paid = "import \"shop/money.proto\"; message Paid { optional shop.Money total = 1; }";
        let folder = folder(&[
            ("orders/placed/v1.avsc", order),
            ("shop/money.avsc", money),
            ("orders/paid/v1.proto", paid),
            ("shop/money.proto", "package shop; message Money { }"),
        ]);
        let found = read_folder(folder.path()).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|one| {
                let referred: Vec<&str> = one.referred.iter().map(|one| one.name.as_str()).collect();
                (one.event_type.as_str(), one.content.text.as_str(), one.content.needs.clone(), referred)
            })
            .collect();
        let (import, name) = ("shop/money.proto", "shop.Money");
        assert_eq!(told[0], ("orders.paid.v1", paid, vec![import.to_owned()], vec![import]));
        assert_eq!(told[1], ("orders.placed.v1", order, vec![name.to_owned()], vec![name]));
    }

    #[test]
    fn two_files_of_one_name_cannot_be_told_apart() {
        let text = "import \"money.proto\"; message A { }";
        let folder = folder(&[
            ("a/b/v1.proto", text),
            ("a/b/money.proto", ""),
            ("a/c/v1.proto", text),
            ("a/c/money.proto", ""),
        ]);
        let errors = read_folder(folder.path()).unwrap_err();
        assert!(errors[0].to_string().contains("is called money.proto"), "{errors:?}");
    }
}
