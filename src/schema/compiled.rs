//! Schemas compiled once, and the set of those in a folder.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::Location;
use jsonschema::{Draft, PatternOptions, Registry, Resource, ValidationError, Validator};
use sha2::{Digest as _, Sha256};

use super::borrowed::Borrowed;
use super::budget::{References, check_size};
use super::bundle::bundle;
use super::codec::Rule;
use super::coded::{Coded, link};
use super::examples::first_valid;
use super::explain::explain;
use super::folder::{File, Folder, error, read};
use super::{Config, Contract, Error, LoadError, SchemaId, Violation, folder, samples};
use crate::event::EventType;
use crate::event::json::Value;

/// A pattern may take this many steps back on one text; then the check is given up.
pub(super) const BACKTRACK_MAX: usize = 10_000;
/// Beyond so many files a reference that leads nowhere is told of the folder, not of its file.
const BLAMED_FILES_MAX: usize = 300;
/// A compiled pattern may have this many bytes.
pub(super) const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Where a schema lies that has no file: relative references start here.
pub(super) const SCHEMA_URI: &str = "weirgate:/schema.json";

/// A dialect of JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Draft 7, which registry clients mean when they name none.
    Draft7,
    /// Draft 2019-09.
    Draft201909,
    /// Draft 2020-12, which the folder's schemas mean when they name none.
    Draft202012,
}

/// A compiled schema. Formats are asserted, patterns bounded, nothing is ever fetched.
#[derive(Debug)]
pub struct Schema {
    validator: Validator<Borrowed>,
    /// A recursive schema may judge one part of the data many times over, which only its verdict is spared.
    is_recursive: bool,
}

/// What data does to a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It satisfies the schema.
    Valid,
    /// It breaks these rules: at most 20, by pointer.
    Broken(Vec<Violation>),
    /// A pattern took too many steps; neither valid nor broken.
    PatternLimit,
}

impl Dialect {
    /// The dialect that a schema names, `otherwise` where it names none.
    ///
    /// # Errors
    /// When it names another one.
    pub fn of(schema: &serde_json::Value, otherwise: Self) -> Result<Self, String> {
        let Some(dialect) = schema.get("$schema") else { return Ok(otherwise) };
        match dialect.as_str().map(|text| text.trim_end_matches('#')) {
            Some("https://json-schema.org/draft/2020-12/schema") => Ok(Self::Draft202012),
            Some("https://json-schema.org/draft/2019-09/schema") => Ok(Self::Draft201909),
            Some("http://json-schema.org/draft-07/schema" | "https://json-schema.org/draft-07/schema") => {
                Ok(Self::Draft7)
            }
            Some(_) | None => Err("$schema must name draft 7, 2019-09 or 2020-12".to_owned()),
        }
    }

    /// How a schema names it.
    pub(super) const fn uri(self) -> &'static str {
        match self {
            Self::Draft7 => "http://json-schema.org/draft-07/schema#",
            Self::Draft201909 => "https://json-schema.org/draft/2019-09/schema",
            Self::Draft202012 => "https://json-schema.org/draft/2020-12/schema",
        }
    }

    pub(super) const fn draft(self) -> Draft {
        match self {
            Self::Draft7 => Draft::Draft7,
            Self::Draft201909 => Draft::Draft201909,
            Self::Draft202012 => Draft::Draft202012,
        }
    }
}

impl Schema {
    /// Compiles a schema that may refer to `shared` ones by their URI or `$id`.
    ///
    /// # Errors
    /// When the schema breaks its dialect, holds a pattern that is none or too large, or refers to what is not there.
    pub fn compile(
        schema: &serde_json::Value,
        otherwise: Dialect,
        shared: &[(String, serde_json::Value)],
    ) -> Result<Self, String> {
        Self::compile_at(SCHEMA_URI, schema, otherwise, shared, true)
    }

    /// Compiles a schema that lies at `uri`, of which it is known whether it is recursive.
    pub(super) fn compile_at(
        uri: &str,
        schema: &serde_json::Value,
        otherwise: Dialect,
        shared: &[(String, serde_json::Value)],
        is_recursive: bool,
    ) -> Result<Self, String> {
        let shared = shared.iter().map(|(uri, schema)| (uri.as_str(), schema));
        let registry = registry(shared, otherwise)?;
        compile(schema, uri, otherwise, &registry, is_recursive)
    }

    /// Judges data; the reasons are looked for only when it is refused.
    #[must_use]
    pub fn judge(&self, data: &Value<'_>) -> Verdict {
        if self.validator.is_valid(data) {
            Verdict::Valid
        } else {
            explain(&self.validator, self.is_recursive, data)
        }
    }
}

/// The schemas of a folder by event type.
#[derive(Debug, Default)]
pub(super) struct Set {
    schemas: HashMap<Arc<str>, Compiled>,
    event_types: Vec<EventType>,
    /// As they were read, for those who want to know what is asked of events.
    files: Vec<File>,
    coded: Vec<Coded>,
    /// Whether those are built in, as their examples are.
    are_samples: bool,
    /// By event type, once somebody asked.
    contracts: OnceLock<HashMap<Arc<str>, Arc<Contract>>>,
}

/// One type's schema.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    pub(super) subject: Arc<str>,
    pub(super) id: SchemaId,
    rule: Arc<Rule>,
}

impl Set {
    /// Reads and compiles a folder; all mistakes at once.
    pub(super) fn load(config: &Config) -> Result<Self, Vec<LoadError>> {
        let are_samples = config.uses_samples();
        let (Folder { files, coded }, mut errors) =
            if are_samples { folder::samples(&config.directory) } else { read(&config.directory) };
        for file in &files {
            if let Err(problem) = check_size(&file.schema) {
                errors.push(error(&file.path, problem));
            }
        }
        let mut references = References::new(&files);
        let mut recursive = Vec::with_capacity(files.len());
        for (at, file) in files.iter().enumerate() {
            match references.check(at) {
                Ok(is_recursive) => recursive.push(is_recursive),
                Err(problem) => errors.push(error(&file.path, problem)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let set = Self::compile(config, &files, &recursive, &coded)?;
        Ok(Self { files, coded, are_samples, ..set })
    }

    /// What the data of a type must satisfy, where it has a schema.
    pub(super) fn contract(&self, directory: &Path, event_type: &EventType) -> Option<Arc<Contract>> {
        let contracts = self.contracts.get_or_init(|| self.write_contracts(directory));
        let of_first_version = || contracts.get(format!("{event_type}.v1").as_str());
        let found = contracts.get(event_type.as_str());
        found.or_else(|| of_first_version().filter(|_| event_type.major().is_none())).map(Arc::clone)
    }

    fn write_contracts(&self, directory: &Path) -> HashMap<Arc<str>, Arc<Contract>> {
        let references = References::new(&self.files);
        let contract = |(at, file): (usize, &File)| {
            let event_type = file.event_type.as_ref()?;
            let Compiled { subject, id, .. } = self.find(event_type)?;
            let schema = bundle(&self.files, &references, at)?;
            let dialect = Dialect::of(&file.schema, Dialect::Draft202012).ok()?;
            let example = if self.are_samples {
                samples::example(event_type)
            } else {
                first_valid(directory, event_type)
            };
            let contract = Contract { subject: Arc::clone(subject), id: *id, schema, dialect, example };
            Some((Arc::from(event_type.as_str()), Arc::new(contract)))
        };
        let coded_contract = |file: &Coded| {
            let event_type = file.event_type.as_ref()?;
            let Compiled { subject, id, .. } = self.find(event_type)?;
            let schema = link(file, &self.coded).ok()?.json_schema()?;
            let example = first_valid(directory, event_type);
            let contract = Contract {
                subject: Arc::clone(subject),
                id: *id,
                schema,
                dialect: Dialect::Draft202012,
                example,
            };
            Some((Arc::from(event_type.as_str()), Arc::new(contract)))
        };
        let coded = self.coded.iter().filter_map(coded_contract);
        self.files.iter().enumerate().filter_map(contract).chain(coded).collect()
    }

    /// The schema of a type; one without a version has the schema of version 1.
    pub(super) fn find(&self, event_type: &EventType) -> Option<&Compiled> {
        self.schemas.get(event_type.as_str())
    }

    pub(super) fn event_types(&self) -> &[EventType] {
        &self.event_types
    }

    fn compile(
        config: &Config,
        files: &[File],
        recursive: &[bool],
        coded: &[Coded],
    ) -> Result<Self, Vec<LoadError>> {
        let shared = files.iter().map(|file| (file.uri.as_str(), &file.schema));
        let registry = registry(shared, Dialect::Draft202012).map_err(|problem| {
            blame(config, files).unwrap_or_else(|| vec![error(&config.directory, problem)])
        })?;
        let (mut set, mut errors, mut ids) = (Self::default(), Vec::new(), HashMap::new());
        for (file, is_recursive) in files.iter().zip(recursive) {
            let Some(event_type) = &file.event_type else { continue };
            match compile(&file.schema, &file.uri, Dialect::Draft202012, &registry, *is_recursive) {
                Ok(schema) => set.insert(event_type, id_of(&file.bytes, &mut ids), Rule::Json(schema)),
                Err(problem) => errors.push(error(&file.path, problem)),
            }
        }
        for file in coded {
            match (link(file, coded).and_then(|linked| linked.codec()), &file.event_type) {
                (Ok(codec), Some(event_type)) => {
                    set.insert(event_type, id_of(file.text.as_bytes(), &mut ids), Rule::Coded(codec));
                }
                (Ok(_), None) => {}
                (Err(problem), _) => errors.push(error(&file.path, problem)),
            }
        }
        set.event_types.sort();
        if errors.is_empty() { Ok(set) } else { Err(errors) }
    }

    fn insert(&mut self, event_type: &EventType, id: SchemaId, rule: Rule) {
        let rule = Arc::new(rule);
        let subject = |name: &str| Arc::from(format!("{name}-value"));
        if let Some((stem, 1)) = event_type.split_version() {
            let compiled = Compiled { subject: subject(stem), id, rule: Arc::clone(&rule) };
            self.schemas.entry(stem.into()).or_insert(compiled);
        }
        let compiled = Compiled { subject: subject(event_type.as_str()), id, rule };
        self.schemas.insert(event_type.as_str().into(), compiled);
        self.event_types.push(event_type.clone());
    }
}

impl Compiled {
    /// Judges data; the reasons are looked for only when it is refused. What another language made of it is let go.
    pub(super) fn check(&self, data: &Value<'_>) -> Result<(), Error> {
        let (subject, schema_id) = (|| Arc::clone(&self.subject), self.id);
        match self.rule.judge(data).0 {
            Verdict::Valid => Ok(()),
            Verdict::Broken(errors) => Err(Error::Violation { subject: subject(), schema_id, errors }),
            Verdict::PatternLimit => Err(Error::PatternLimit { subject: subject(), schema_id }),
        }
    }
}

pub(super) fn registry<'s>(
    schemas: impl Iterator<Item = (&'s str, &'s serde_json::Value)>,
    otherwise: Dialect,
) -> Result<Registry<'static>, String> {
    let mut builder = Registry::new();
    for (uri, schema) in schemas {
        let draft = Dialect::of(schema, otherwise).map_err(|problem| format!("{uri}: {problem}"))?.draft();
        let resource: Resource = draft.create_resource(schema.clone());
        builder = builder.add(uri, resource).map_err(|error| error.to_string())?;
    }
    builder.prepare().map_err(|error| error.to_string())
}

/// Finds the files whose references lead nowhere: each is tried beside empty schemas in the others' places.
fn blame(config: &Config, files: &[File]) -> Option<Vec<LoadError>> {
    if files.len() > BLAMED_FILES_MAX {
        return None;
    }
    let empty = |file: &File| {
        let mut schema = file.schema.clone();
        if let Some(members) = schema.as_object_mut() {
            members.retain(|keyword, _| matches!(keyword.as_str(), "$id" | "$schema"));
        }
        schema
    };
    let empties: Vec<serde_json::Value> = files.iter().map(empty).collect();
    let errors: Vec<LoadError> = (0..files.len())
        .filter_map(|at| {
            let places = files.iter().zip(&empties).enumerate();
            let schemas = places.map(|(other, (file, empty))| {
                (file.uri.as_str(), if other == at { &file.schema } else { empty })
            });
            let problem = registry(schemas, Dialect::Draft202012).err()?;
            Some(error(files.get(at).map_or(&*config.directory, |file| &*file.path), problem))
        })
        .collect();
    (!errors.is_empty()).then_some(errors)
}

fn compile(
    schema: &serde_json::Value,
    uri: &str,
    otherwise: Dialect,
    registry: &Registry<'_>,
    is_recursive: bool,
) -> Result<Schema, String> {
    let patterns = PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_MAX).size_limit(PATTERN_BYTES_MAX);
    jsonschema::options_for::<Borrowed>()
        .with_draft(Dialect::of(schema, otherwise)?.draft())
        .with_base_uri(uri)
        .with_registry(registry)
        .offline()
        .should_validate_formats(true)
        .with_pattern_options(patterns)
        .build(schema)
        .map(|validator| Schema { validator, is_recursive })
        .map_err(|error| refusal(&error))
}

/// Why a schema cannot be compiled, and where.
fn refusal(error: &ValidationError<'_>) -> String {
    const SHOWN_CHARACTERS_MAX: usize = 100;
    let is_of_pattern = |kind: &ValidationErrorKind| matches!(kind, ValidationErrorKind::Format { format } if format == "regex");
    let (pattern, is_name) = match error.kind() {
        kind if is_of_pattern(kind) => (error.instance(), false),
        ValidationErrorKind::PropertyNames { error: named } if is_of_pattern(named.kind()) => {
            (named.instance(), true)
        }
        _ => return format!("{} at #{}", error.masked(), error.instance_path()),
    };
    let pattern = pattern.as_str().unwrap_or_default();
    // Of a pattern that cannot be compiled, the way through the schema is all that is told.
    let place =
        [error.instance_path(), error.schema_path()].into_iter().find(|path| !path.as_str().is_empty());
    let mut place = place.map(Location::as_str).unwrap_or_default().to_owned();
    if is_name {
        place.push('/');
        place.extend(pattern.chars().take(SHOWN_CHARACTERS_MAX));
    }
    let is_sound = regex_syntax::parse(pattern).is_ok();
    let problem = if is_sound { "becomes" } else { "is no regular expression, or becomes" };
    format!(
        "the pattern at #{place} {problem} larger than {PATTERN_BYTES_MAX} bytes when it is compiled; let it repeat less of what it repeats"
    )
}

/// From the content, so that all gateways agree; the next free number where two contents share one.
fn id_of(bytes: &[u8], ids: &mut HashMap<i32, [u8; 32]>) -> SchemaId {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let [first, second, third, fourth, ..] = digest;
    let mut number = (i32::from_be_bytes([first, second, third, fourth]) & i32::MAX).max(1);
    while *ids.entry(number).or_insert(digest) != digest {
        number = number.checked_add(1).unwrap_or(1);
    }
    SchemaId(number)
}
