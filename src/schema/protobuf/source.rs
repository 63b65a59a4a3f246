//! A schema's text with what it imports, compiled within budgets: `.proto` as people write it, or a file descriptor in
//! base64 as clients send it.
//!
//! Imports are other schemas by the name of the reference, or Google's own, which are built in. Nothing is ever read from
//! the disk or the network.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::FileDescriptor;
use prost_reflect::prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};
use protox::Compiler;
use protox::file::{File, FileResolver, GoogleFileResolver};

use super::brackets;
use super::wire::{Layout, key, write_varint};

/// The name of a schema among those it imports.
pub(super) const NAME: &str = "default";
/// A schema and all that it refers to may have this many bytes of text together.
const TEXT_BYTES_MAX: usize = 512 << 10;
/// So many of each there may be, in a schema and all that it refers to.
const MESSAGES_MAX: usize = 1_000;
const FIELDS_MAX: usize = 5_000;
const ENUM_VALUES_MAX: usize = 10_000;
const RANGES_MAX: usize = 1_000;
const OPTIONS_MAX: usize = 5_000;
const METHODS_MAX: usize = 1_000;
/// What who imports something must do.
const AMONG_REFERENCES: &str = "what is imported must be among the references, by the name it is imported by";
/// Messages may nest this deep.
const NESTING_MAX: usize = 32;

/// A compiled schema.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) file: FileDescriptor,
}

impl Source {
    /// Compiles a text; `imports` are the schemas it may import, by name.
    pub(super) fn compile<'t>(
        text: &'t str,
        imports: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Result<Self, String> {
        let mut files = HashMap::new();
        let (mut bytes, mut counts) = (0, Counts::default());
        for (name, text) in imports.into_iter().chain([(NAME, text)]) {
            bytes += text.len();
            if bytes > TEXT_BYTES_MAX {
                return Err(format!("has more than {TEXT_BYTES_MAX} bytes with what it refers to"));
            }
            let file = read(name, text)
                .map_err(|problem| if name == NAME { problem } else { format!("in {name}: {problem}") })?;
            counts.take(file.file_descriptor_proto())?;
            if files.insert(name.to_owned(), file).is_some() {
                return Err(format!("a reference may not be called '{name}'"));
            }
        }
        counts.check()?;
        let names = Names { files, google: GoogleFileResolver::new() };
        let mut compiler = Compiler::with_file_resolver(names);
        compiler.open_file(NAME).map_err(|error| in_words(&error))?;
        let file = compiler.descriptor_pool().get_file_by_name(NAME).ok_or("is no file")?;
        Ok(Self { file })
    }
}

/// What may be imported, by name; names of files that are built in cannot be taken by others.
struct Names {
    files: HashMap<String, File>,
    google: GoogleFileResolver,
}

impl FileResolver for Names {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        self.google.open_file(name).or_else(|error| self.files.get(name).cloned().ok_or(error))
    }
}

/// The names of the files that a text imports, but for those that are built in.
pub(super) fn imports(text: &str) -> Result<Vec<String>, String> {
    let file = read(NAME, text)?;
    let google = GoogleFileResolver::new();
    let names = file.file_descriptor_proto().dependency.iter();
    Ok(names.filter(|name| google.open_file(name).is_err()).cloned().collect())
}

/// Whether a text is base64: no `.proto` text is without spaces and marks.
pub(super) fn is_encoded(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    !text.is_empty() && text.bytes().all(is_part)
}

fn read(name: &str, text: &str) -> Result<File, String> {
    if is_encoded(text) {
        let mut bytes =
            STANDARD.decode(text).map_err(|_| "is neither a .proto text nor base64 of a descriptor")?;
        // Of a field that stands twice, the last counts.
        bytes.extend_from_slice(&key(1, Layout::Length));
        write_varint(&mut bytes, name.len() as u64);
        bytes.extend_from_slice(name.as_bytes());
        return File::decode_file_descriptor_proto(bytes.as_slice())
            .map_err(|_| "is neither a .proto text nor base64 of a file's descriptor".to_owned());
    }
    brackets::check(text)?;
    File::from_source(name, text).map_err(|error| of_text(text, &error))
}

/// What is wrong with a text. Of an import's path that cannot be one the compiler says what it says of groups; it stands in
/// quotation marks, and a group's name does not.
fn of_text(text: &str, error: &protox::Error) -> String {
    let words = in_words(error);
    let Some(place) = words.strip_suffix("invalid group name") else { return words };
    let mut numbers = place.trim_end_matches([':', ' ']).rsplit([':', ' ']).map(str::parse::<usize>);
    let (Some(Ok(column)), Some(Ok(line))) = (numbers.next(), numbers.next()) else { return words };
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    if !matches!(line.chars().nth(column.saturating_sub(1)), Some('"' | '\'')) {
        return words;
    }
    format!(
        "{place}an import must be a path such as \"shop/order.proto\", without '.' or '..', a slash at an end, two together or \
         backslashes; {AMONG_REFERENCES}"
    )
}

/// What is wrong, with line and column where they are known.
fn in_words(error: &protox::Error) -> String {
    let words = format!("{error:?}");
    let words = match words.strip_prefix(&format!("{NAME}:")) {
        Some(at) => format!("line {at}"),
        None => words,
    };
    if error.is_file_not_found() { format!("{words}; {AMONG_REFERENCES}") } else { words }
}

/// What all files hold together.
#[derive(Default)]
struct Counts {
    messages: usize,
    fields: usize,
    enum_values: usize,
    ranges: usize,
    options: usize,
    methods: usize,
}

impl Counts {
    fn take(&mut self, file: &FileDescriptorProto) -> Result<(), String> {
        self.methods += file.service.iter().map(|service| 1 + service.method.len()).sum::<usize>();
        self.options += file.options.as_ref().map_or(0, |options| options.uninterpreted_option.len());
        self.fields += file.extension.len();
        for one in &file.enum_type {
            self.take_enum(one);
        }
        let mut rest: Vec<(&DescriptorProto, usize)> = file.message_type.iter().map(|one| (one, 1)).collect();
        while let Some((message, depth)) = rest.pop() {
            if depth > NESTING_MAX {
                return Err(format!("messages nest deeper than {NESTING_MAX} levels"));
            }
            self.messages += 1;
            self.fields += message.field.len() + message.extension.len() + message.oneof_decl.len();
            self.ranges +=
                message.extension_range.len() + message.reserved_range.len() + message.reserved_name.len();
            let options = message.field.iter().filter_map(|field| field.options.as_ref());
            self.options += options.map(|options| options.uninterpreted_option.len()).sum::<usize>();
            self.options += message.options.as_ref().map_or(0, |options| options.uninterpreted_option.len());
            for one in &message.enum_type {
                self.take_enum(one);
            }
            rest.extend(message.nested_type.iter().map(|one| (one, depth + 1)));
        }
        Ok(())
    }

    fn take_enum(&mut self, one: &EnumDescriptorProto) {
        self.enum_values += one.value.len();
        self.ranges += one.reserved_range.len() + one.reserved_name.len();
    }

    fn check(&self) -> Result<(), String> {
        for (count, max, what) in [
            (self.messages, MESSAGES_MAX, "messages"),
            (self.fields, FIELDS_MAX, "fields"),
            (self.enum_values, ENUM_VALUES_MAX, "values of enums"),
            (self.ranges, RANGES_MAX, "reserved ranges and names"),
            (self.options, OPTIONS_MAX, "options"),
            (self.methods, METHODS_MAX, "methods"),
        ] {
            if count > max {
                return Err(format!("has {count} {what} with what it refers to; at most {max} are allowed"));
            }
        }
        Ok(())
    }
}
