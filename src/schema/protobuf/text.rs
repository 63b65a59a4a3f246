//! A descriptor as the `.proto` text that people and plain clients read.
//!
//! What is rare has no form here (options of one's own, extensions, groups); whoever asks compiles the text to see whether
//! it says all.

use std::fmt::Write as _;

use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, ServiceDescriptorProto,
};

/// The highest number of a field, which `max` stands for.
const NUMBER_MAX: i32 = 536_870_911;

/// The text of a file.
pub(super) fn text(file: &FileDescriptorProto) -> String {
    let syntax = file.syntax.as_deref().unwrap_or("proto2");
    let mut printer = Printer { text: String::new(), depth: 0, is_proto3: syntax == "proto3", file };
    printer.line(&format!("syntax = \"{syntax}\";"));
    if let Some(package) = &file.package {
        printer.line(&format!("package {package};"));
    }
    printer.imports();
    printer.options();
    for message in &file.message_type {
        printer.blank();
        printer.message(message);
    }
    for one in &file.enum_type {
        printer.blank();
        printer.enumeration(one);
    }
    for service in &file.service {
        printer.blank();
        printer.service(service);
    }
    printer.text
}

struct Printer<'f> {
    text: String,
    depth: usize,
    is_proto3: bool,
    file: &'f FileDescriptorProto,
}

impl Printer<'_> {
    fn imports(&mut self) {
        for (index, path) in (0..).zip(&self.file.dependency) {
            let public = if self.file.public_dependency.contains(&index) { "public " } else { "" };
            self.line(&format!("import {public}{path:?};"));
        }
    }

    fn options(&mut self) {
        let Some(options) = &self.file.options else { return };
        for (name, value) in [
            ("java_package", &options.java_package),
            ("java_outer_classname", &options.java_outer_classname),
            ("go_package", &options.go_package),
            ("csharp_namespace", &options.csharp_namespace),
            ("objc_class_prefix", &options.objc_class_prefix),
            ("php_namespace", &options.php_namespace),
            ("ruby_package", &options.ruby_package),
        ] {
            if let Some(value) = value {
                self.line(&format!("option {name} = {value:?};"));
            }
        }
        for (name, value) in [
            ("java_multiple_files", options.java_multiple_files),
            ("cc_enable_arenas", options.cc_enable_arenas),
            ("deprecated", options.deprecated),
        ] {
            if let Some(value) = value {
                self.line(&format!("option {name} = {value};"));
            }
        }
    }

    fn message(&mut self, message: &DescriptorProto) {
        self.open(&format!("message {}", message.name()));
        if message.options.as_ref().is_some_and(|options| options.deprecated()) {
            self.line("option deprecated = true;");
        }
        self.fields(message);
        for one in &message.enum_type {
            self.enumeration(one);
        }
        for range in &message.extension_range {
            self.line(&format!(
                "extensions {};",
                range_of(range.start(), range.end().saturating_sub(1), NUMBER_MAX)
            ));
        }
        for range in &message.reserved_range {
            self.line(&format!(
                "reserved {};",
                range_of(range.start(), range.end().saturating_sub(1), NUMBER_MAX)
            ));
        }
        for name in &message.reserved_name {
            self.line(&format!("reserved {name:?};"));
        }
        self.close();
    }

    /// The fields in their order, each oneof at its first member, and messages within so that theirs is kept, too.
    fn fields(&mut self, message: &DescriptorProto) {
        let mut nested = message.nested_type.iter().peekable();
        let mut open: Option<i32> = None;
        for field in &message.field {
            let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
            if open != oneof && open.take().is_some() {
                self.close();
            }
            let entry = message.nested_type.iter().find(|one| is_entry(one) && names(field, one));
            while let Some(before) = nested.next_if(|one| entry.is_some() && !is_entry(one)) {
                self.message(before);
            }
            if entry.is_some() {
                nested.next();
            }
            if let (Some(index), None) = (oneof, open) {
                let at = usize::try_from(index).unwrap_or_default();
                let name = message.oneof_decl.get(at).map_or("", |oneof| oneof.name());
                self.open(&format!("oneof {name}"));
                open = Some(index);
            }
            self.field(field, entry, oneof.is_some());
        }
        if open.is_some() {
            self.close();
        }
        for rest in nested.filter(|one| !is_entry(one)) {
            self.message(rest);
        }
    }

    fn field(&mut self, field: &FieldDescriptorProto, entry: Option<&DescriptorProto>, is_in_oneof: bool) {
        let label = match field.label() {
            _ if is_in_oneof || entry.is_some() => "",
            Label::Repeated => "repeated ",
            Label::Required => "required ",
            Label::Optional if self.is_proto3 && !field.proto3_optional() => "",
            Label::Optional => "optional ",
        };
        let kind = match entry.map(|entry| entry.field.as_slice()) {
            Some([key, value]) => format!("map<{}, {}>", self.kind(key), self.kind(value)),
            _ => self.kind(field),
        };
        let mut options = Vec::new();
        if let Some(default) = &field.default_value {
            let is_text = matches!(field.r#type(), Type::String | Type::Bytes);
            options.push(if is_text {
                format!("default = {default:?}")
            } else {
                format!("default = {default}")
            });
        }
        if let Some(name) = field.json_name.as_deref().filter(|name| *name != usual_json_name(field.name())) {
            options.push(format!("json_name = {name:?}"));
        }
        if let Some(own) = &field.options {
            options.extend(own.packed.map(|packed| format!("packed = {packed}")));
            options.extend(own.deprecated.map(|deprecated| format!("deprecated = {deprecated}")));
        }
        let options = if options.is_empty() { String::new() } else { format!(" [{}]", options.join(", ")) };
        self.line(&format!("{label}{kind} {} = {}{options};", field.name(), field.number()));
    }

    fn kind(&self, field: &FieldDescriptorProto) -> String {
        match field.r#type() {
            Type::Double => "double".to_owned(),
            Type::Float => "float".to_owned(),
            Type::Int64 => "int64".to_owned(),
            Type::Uint64 => "uint64".to_owned(),
            Type::Int32 => "int32".to_owned(),
            Type::Fixed64 => "fixed64".to_owned(),
            Type::Fixed32 => "fixed32".to_owned(),
            Type::Bool => "bool".to_owned(),
            Type::String => "string".to_owned(),
            Type::Bytes => "bytes".to_owned(),
            Type::Uint32 => "uint32".to_owned(),
            Type::Sfixed32 => "sfixed32".to_owned(),
            Type::Sfixed64 => "sfixed64".to_owned(),
            Type::Sint32 => "sint32".to_owned(),
            Type::Sint64 => "sint64".to_owned(),
            Type::Group | Type::Message | Type::Enum => self.name(field.type_name()),
        }
    }

    /// A type's name, within the file's package without it.
    fn name(&self, full: &str) -> String {
        let own = full.strip_prefix('.').unwrap_or(full);
        let package = self.file.package();
        let within = own.strip_prefix(package).and_then(|rest| rest.strip_prefix('.'));
        within.filter(|_| !package.is_empty()).unwrap_or(own).to_owned()
    }

    fn enumeration(&mut self, one: &EnumDescriptorProto) {
        self.open(&format!("enum {}", one.name()));
        if one.options.as_ref().is_some_and(|options| options.allow_alias()) {
            self.line("option allow_alias = true;");
        }
        for value in &one.value {
            let is_deprecated = value.options.as_ref().is_some_and(|options| options.deprecated());
            let options = if is_deprecated { " [deprecated = true]" } else { "" };
            self.line(&format!("{} = {}{options};", value.name(), value.number()));
        }
        for range in &one.reserved_range {
            self.line(&format!("reserved {};", range_of(range.start(), range.end(), i32::MAX)));
        }
        for name in &one.reserved_name {
            self.line(&format!("reserved {name:?};"));
        }
        self.close();
    }

    fn service(&mut self, service: &ServiceDescriptorProto) {
        self.open(&format!("service {}", service.name()));
        for method in &service.method {
            let stream = |is_stream| if is_stream { "stream " } else { "" };
            let (input, output) = (self.name(method.input_type()), self.name(method.output_type()));
            self.line(&format!(
                "rpc {} ({}{input}) returns ({}{output});",
                method.name(),
                stream(method.client_streaming()),
                stream(method.server_streaming()),
            ));
        }
        self.close();
    }

    fn open(&mut self, what: &str) {
        self.line(&format!("{what} {{"));
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.line("}");
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn line(&mut self, line: &str) {
        let indent = 2 * self.depth;
        // Text in memory can be written.
        writeln!(self.text, "{:indent$}{line}", "").unwrap_or_default();
    }
}

fn is_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|options| options.map_entry())
}

/// Whether a field is the map of these entries.
fn names(field: &FieldDescriptorProto, entry: &DescriptorProto) -> bool {
    field.label() == Label::Repeated && field.type_name().rsplit('.').next() == Some(entry.name())
}

fn range_of(first: i32, last: i32, max: i32) -> String {
    match last {
        last if last == first => first.to_string(),
        last if last >= max => format!("{first} to max"),
        last => format!("{first} to {last}"),
    }
}

/// The name in JSON where nothing else is said.
fn usual_json_name(name: &str) -> String {
    let mut json = String::with_capacity(name.len());
    let mut is_after_line = false;
    for letter in name.chars() {
        match letter {
            '_' => is_after_line = true,
            letter => {
                json.push(if std::mem::take(&mut is_after_line) {
                    letter.to_ascii_uppercase()
                } else {
                    letter
                });
            }
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::super::{Protobuf, canonical};
    use super::text;

    #[test]
    fn a_text_says_all_that_its_descriptor_does() {
        let all = include_str!("tests/all.proto");
        let more = r#"
            package a.b;
            import public "google/protobuf/timestamp.proto";
            option java_package = "com.example";
            option java_multiple_files = true;
            message M {
              required string a = 1 [default = "x\"y"];
              optional E e = 2 [default = Y, deprecated = true];
              repeated int32 r = 3 [packed = true];
              message First { }
              map<string, First> by_name = 4;
              message Last { map<int32, M> m = 1; }
              oneof o { Last last = 5; google.protobuf.Timestamp at = 6; }
              extensions 100 to max;
              reserved 10, 12 to 14;
              reserved "old";
              enum Inner { ZERO = 0; ALSO = 0; option allow_alias = true; reserved 5 to 7; }
              optional Inner inner = 7;
            }
            enum E { X = 1; Y = -2 [deprecated = true]; }
            service S { rpc Do (M) returns (stream M.Last); }
        "#;
        for original in [all, more] {
            let source = Source::compile(original, []).unwrap();
            let printed = text(source.file.file_descriptor_proto());
            let again =
                Source::compile(&printed, []).unwrap_or_else(|problem| panic!("{problem} in {printed}"));
            let forms = [&source, &again].map(|source| canonical::serialized(&source.file).unwrap());
            assert_eq!(forms[0], forms[1], "{printed}");
        }
    }

    #[test]
    fn what_has_no_form_is_seen_by_who_compiles_the_text() {
        let group = "message A { optional group B = 1 { } }";
        let source = Source::compile(group, []).unwrap();
        let printed = text(source.file.file_descriptor_proto());
        let again = Protobuf::compile(&printed, []).map(|again| again.serialized().to_owned());
        assert_ne!(again.ok(), canonical::serialized(&source.file).ok());
    }
}
