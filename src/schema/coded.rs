//! Schema files of Avro and Protobuf, with what they refer to: the types that other files define, the files they import.
//!
//! What is referred to is among the files that were read; nothing else is looked for. An Avro file is found by the types
//! that it defines, a Protobuf file by the path it is imported by, seen from the folder of the file that is meant, or from
//! the folder of all schemas.
//!
//! ```text
//! orders/placed/v1.avsc ── wants shop.Money ── shop/money.avsc, which defines it
//! orders/paid/v1.proto ── import "shop/money.proto" ── orders/paid/shop/money.proto, or else shop/money.proto
//! ```

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::avro::{self, Avro};
use super::codec::Codec;
use super::protobuf::{self, Protobuf};
use super::registry::Kind;
use crate::event::EventType;

/// A schema may refer to this many others, theirs included.
const REFERENCES_MAX: usize = 100;

/// A schema file of a language other than JSON.
#[derive(Debug, Clone)]
pub(super) struct Coded {
    pub(super) path: PathBuf,
    /// The path below the folder, parts divided by `/`.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The type whose data it describes; `None` for what others refer to.
    pub(super) event_type: Option<EventType>,
    pub(super) text: String,
}

/// A file that another refers to.
#[derive(Debug, Clone)]
pub(super) struct Referred<'f> {
    /// By which it is referred to: the first type that an Avro file defines, a Protobuf file's path as it is imported.
    pub(super) name: String,
    pub(super) file: &'f Coded,
    /// The names of those that it refers to itself.
    pub(super) needs: Vec<String>,
}

/// A file with all that it refers to.
#[derive(Debug, Clone)]
pub(super) struct Linked<'f> {
    pub(super) file: &'f Coded,
    /// The names that the file itself refers to.
    pub(super) needs: Vec<String>,
    /// All that it reaches; what is needed stands before who needs it.
    pub(super) referred: Vec<Referred<'f>>,
}

/// The language of a file, by its name.
pub(super) fn kind_of(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()? {
        "avsc" => Some(Kind::Avro),
        "json" => Some(Kind::Json),
        "proto" => Some(Kind::Protobuf),
        _ => None,
    }
}

/// Finds what a file refers to, itself or through others, among `files`.
pub(super) fn link<'f>(file: &'f Coded, files: &'f [Coded]) -> Result<Linked<'f>, String> {
    let mut linker = Linker { root: file, files, referred: Vec::new(), open: Vec::new() };
    let needs = linker.follow(file)?;
    Ok(Linked { file, needs, referred: linker.referred })
}

impl Linked<'_> {
    /// The schema, ready to write and read data.
    pub(super) fn codec(&self) -> Result<Box<dyn Codec>, String> {
        Ok(match self.file.kind {
            Kind::Avro => Box::new(self.avro()?),
            Kind::Protobuf => Box::new(self.protobuf()?),
            Kind::Json => return Err("is JSON".to_owned()),
        })
    }

    /// What data must be as JSON.
    pub(super) fn json_schema(&self) -> Option<Value> {
        match self.file.kind {
            Kind::Avro => self.avro().ok().map(|codec| codec.json_schema()),
            Kind::Protobuf => self.protobuf().ok().map(|codec| codec.json_schema()),
            Kind::Json => None,
        }
    }

    /// The Avro schema.
    pub(super) fn avro(&self) -> Result<Avro, String> {
        let texts: Vec<&str> = self.referred.iter().map(|one| one.file.text.as_str()).collect();
        Avro::parse(&self.file.text, &texts)
    }

    /// The Protobuf schema, ready to be compared.
    pub(super) fn version(&self) -> Result<protobuf::compat::Version, String> {
        protobuf::compat::Version::compile(&self.file.text, self.imports())
    }

    fn protobuf(&self) -> Result<Protobuf, String> {
        Protobuf::compile(&self.file.text, self.imports())
    }

    fn imports(&self) -> impl Iterator<Item = (&str, &str)> {
        self.referred.iter().map(|one| (one.name.as_str(), one.file.text.as_str()))
    }
}

struct Linker<'f> {
    root: &'f Coded,
    files: &'f [Coded],
    referred: Vec<Referred<'f>>,
    /// Names that are being followed.
    open: Vec<String>,
}

impl<'f> Linker<'f> {
    /// Adds what a file refers to, and what that refers to; answers the names in the file.
    fn follow(&mut self, file: &Coded) -> Result<Vec<String>, String> {
        let found = match file.kind {
            Kind::Avro => self.types(file)?,
            Kind::Protobuf => self.imports(file)?,
            Kind::Json => Vec::new(),
        };
        let mut needs = Vec::new();
        for (name, found) in found {
            if !needs.contains(&name) {
                self.add(&name, found)?;
                needs.push(name);
            }
        }
        Ok(needs)
    }

    fn add(&mut self, name: &str, file: &'f Coded) -> Result<(), String> {
        if self.referred.iter().any(|one| one.name == name) {
            return Ok(());
        }
        if self.open.iter().any(|open| open == name) || file.path == self.root.path {
            return Err(format!("refers to itself through {}", file.name));
        }
        if self.referred.len() + self.open.len() >= REFERENCES_MAX {
            return Err(format!("refers to more than {REFERENCES_MAX} files"));
        }
        self.open.push(name.to_owned());
        let needs = self.follow(file).map_err(|problem| format!("in {}: {problem}", file.name))?;
        self.open.pop();
        self.referred.push(Referred { name: name.to_owned(), file, needs });
        Ok(())
    }

    /// The files that define the types that an Avro file names and does not define.
    fn types(&self, file: &Coded) -> Result<Vec<(String, &'f Coded)>, String> {
        let mut found = Vec::new();
        for wanted in avro::outline(&file.text)?.wants {
            let (name, file) = self.defining(&wanted)?;
            found.push((name, file));
        }
        Ok(found)
    }

    /// The shared file that defines a type: of the namespace, else of none.
    fn defining(&self, wanted: &str) -> Result<(String, &'f Coded), String> {
        let simple = wanted.rsplit_once('.').map_or(wanted, |(_, simple)| simple);
        for name in [wanted, simple] {
            let shared =
                self.files.iter().filter(|file| file.kind == Kind::Avro && file.event_type.is_none());
            let mut defining = shared.filter_map(|file| {
                let outline = avro::outline(&file.text).ok()?;
                let is_there = outline.defines.iter().any(|defined| defined == name);
                is_there.then(|| (outline.defines.first().cloned().unwrap_or_default(), file))
            });
            match (defining.next(), defining.next()) {
                (Some((_, one)), Some((_, other))) => {
                    return Err(format!("names {name}, which {} and {} define", one.name, other.name));
                }
                (Some(found), None) => return Ok(found),
                (None, _) => {}
            }
        }
        Err(format!("names {wanted}, which neither it nor a file beside it defines"))
    }

    /// The files that a Protobuf file imports, but for those that come with the language.
    fn imports(&self, file: &Coded) -> Result<Vec<(String, &'f Coded)>, String> {
        let mut found = Vec::new();
        for name in protobuf::imports(&file.text)? {
            let own = self.root.name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let beside = if own.is_empty() { name.clone() } else { format!("{own}/{name}") };
            let named = |wanted: &str| {
                self.files.iter().find(|file| file.kind == Kind::Protobuf && file.name == wanted)
            };
            let Some(file) = named(&beside).or_else(|| named(&name)) else {
                return Err(format!(
                    "imports {name}, which is no file of the folder; nothing else is looked at"
                ));
            };
            found.push((name, file));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Coded, kind_of, link};

    fn file(name: &str, text: &str) -> Coded {
        let kind = kind_of(Path::new(name)).unwrap();
        Coded { path: name.into(), name: name.to_owned(), kind, event_type: None, text: text.to_owned() }
    }

    fn names(file: &Coded, files: &[Coded]) -> Result<Vec<String>, String> {
        link(file, files).map(|linked| {
            linked.referred.into_iter().map(|one| format!("{}={}", one.name, one.file.name)).collect()
        })
    }

    #[test]
    fn what_is_needed_stands_before_who_needs_it() {
        let files = [
            file(
                "c.avsc",
                r#"{"type":"record","name":"C","namespace":"n","fields":[{"name":"b","type":"B"}]}"#,
            ),
            file("b.avsc", r#"{"type":"record","name":"n.B","fields":[{"name":"a","type":"A"}]}"#),
            file("a.avsc", r#"{"type":"enum","name":"A","symbols":["X"]}"#),
        ];
        assert_eq!(names(&files[0], &files).unwrap(), ["A=a.avsc", "n.B=b.avsc"]);
        assert!(link(&files[0], &files).unwrap().codec().is_ok());
        assert!(names(&files[0], &files[..2]).unwrap_err().contains("names n.A"));
    }

    #[test]
    fn imports_are_seen_from_the_files_folder_and_then_from_the_whole() {
        let files = [
            file(
                "o/v1.proto",
                "import \"m.proto\"; import \"s/x.proto\"; import \"google/protobuf/timestamp.proto\"; message O { optional M m = 1; }",
            ),
            file("o/m.proto", "message M { optional int32 a = 1; }"),
            file("m.proto", "message M { }"),
            file("s/x.proto", "message X { }"),
        ];
        assert_eq!(names(&files[0], &files).unwrap(), ["m.proto=o/m.proto", "s/x.proto=s/x.proto"]);
        assert!(link(&files[0], &files).unwrap().codec().is_ok());
    }

    #[test]
    fn nothing_outside_is_looked_for_and_circles_end() {
        for import in
            ["/etc/passwd", "../secret.proto", "http://169.254.169.254/x.proto", "file:///etc/passwd"]
        {
            let files = [
                file("o/v1.proto", &format!("import \"{import}\"; message O {{ }}")),
                file("secret.proto", ""),
            ];
            assert!(names(&files[0], &files).is_err(), "{import}");
        }
        let around = [
            file("a.proto", "import \"b.proto\"; message A { }"),
            file("b.proto", "import \"c.proto\"; message B { }"),
            file("c.proto", "import \"b.proto\"; message C { }"),
        ];
        assert!(names(&around[0], &around).unwrap_err().contains("refers to itself"));
    }
}
