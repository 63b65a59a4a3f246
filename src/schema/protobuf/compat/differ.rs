//! The differences between two files that break readers of the second with data of the first.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, OneofDescriptor,
};

use super::kinds::{family, form, may_change_label, name};
use crate::schema::compat::{Policy, TimeBox};

/// What kind of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    PackageChanged,
    MessageRemoved,
    FieldKindChanged,
    FieldScalarKindChanged,
    FieldNamedTypeChanged,
    FieldNumericLabelChanged,
    RequiredFieldAdded,
    RequiredFieldRemoved,
    OneofFieldRemoved,
    MultipleFieldsMovedToOneof,
    // Those below count only under `STRICT`.
    FirstMessageChanged,
    FieldRemoved,
    FieldNameChanged,
    FieldFormChanged,
    FieldLabelChanged,
    FieldMovedToOneof,
    EnumConstRemoved,
    EnumConstChanged,
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    /// Where in the schema: names of messages, then the number of a field.
    pub(super) pointer: String,
    /// Where in data, so far as that is known.
    pub(super) path: String,
    pub(super) original: String,
    pub(super) update: String,
}

/// The walk over two files.
pub(super) struct Differ<'t> {
    policy: Policy,
    time: &'t TimeBox,
    /// Messages that were compared, by their names on both sides.
    seen: BTreeSet<(String, String)>,
    findings: Vec<Finding>,
}

impl<'t> Differ<'t> {
    /// A walk that ends when the time is over, with what it found until then.
    pub(super) const fn new(policy: Policy, time: &'t TimeBox) -> Self {
        Self { policy, time, seen: BTreeSet::new(), findings: Vec::new() }
    }

    pub(super) fn files(mut self, original: &FileDescriptor, update: &FileDescriptor) -> Vec<Finding> {
        if original.package_name() != update.package_name() {
            let packages = (original.package_name().to_owned(), update.package_name().to_owned());
            self.tell(Rule::PackageChanged, "#".to_owned(), "", packages);
        }
        let firsts = (original.messages().next(), update.messages().next());
        if let (Some(first), Some(now)) = firsts
            && first.name() != now.name()
        {
            let names = (first.name().to_owned(), now.name().to_owned());
            self.tell(Rule::FirstMessageChanged, format!("#/{}", first.name()), "", names);
        }
        self.messages(original.messages(), update.messages());
        self.enums(original.enums(), update.enums());
        self.findings
    }

    fn messages(
        &mut self,
        original: impl Iterator<Item = MessageDescriptor>,
        update: impl Iterator<Item = MessageDescriptor>,
    ) {
        let by_name: BTreeMap<String, MessageDescriptor> =
            update.map(|message| (message.name().to_owned(), message)).collect();
        for message in original.filter(|message| !message.is_map_entry()) {
            match by_name.get(message.name()) {
                Some(now) => {
                    self.message(&message, now, "");
                    self.messages(message.child_messages(), now.child_messages());
                    self.enums(message.child_enums(), now.child_enums());
                }
                None => {
                    let names = (message.full_name().to_owned(), String::new());
                    self.tell(Rule::MessageRemoved, pointer(&message), "", names);
                }
            }
        }
    }

    fn message(&mut self, original: &MessageDescriptor, update: &MessageDescriptor, path: &str) {
        let pair = (original.full_name().to_owned(), update.full_name().to_owned());
        if !self.time.step() || !self.seen.insert(pair) {
            return;
        }
        for field in original.fields() {
            match update.get_field(field.number()) {
                Some(now) => self.field(&field, &now, path),
                None => self.removed(&field, update, path),
            }
        }
        for field in update.fields().filter(FieldDescriptor::is_required) {
            if original.get_field(field.number()).is_none() {
                self.tell_field(Rule::RequiredFieldAdded, &field, path, ("", field.name()));
            }
        }
        self.oneofs(original, update, path);
    }

    fn removed(&mut self, field: &FieldDescriptor, update: &MessageDescriptor, path: &str) {
        let is_reserved = update.reserved_ranges().any(|range| range.contains(&field.number()))
            && update.reserved_names().any(|name| name == field.name());
        if field.is_required() {
            self.tell_field(Rule::RequiredFieldRemoved, field, path, (field.name(), ""));
        } else if !is_reserved {
            self.tell_field(Rule::FieldRemoved, field, path, (field.name(), ""));
        }
    }

    fn field(&mut self, original: &FieldDescriptor, update: &FieldDescriptor, path: &str) {
        if original.json_name() != update.json_name() {
            let names = (original.json_name(), update.json_name());
            self.tell_field(Rule::FieldNameChanged, original, path, names);
        }
        match (original.is_required(), update.is_required()) {
            (false, true) => self.tell_field(Rule::RequiredFieldAdded, update, path, ("", update.name())),
            (true, false) => {
                self.tell_field(Rule::RequiredFieldRemoved, original, path, (original.name(), ""));
            }
            (true, true) | (false, false) => {}
        }
        let below = format!("{path}/{}", original.json_name());
        match (original.is_map(), update.is_map()) {
            (true, true) => self.maps(original, update, &below),
            (false, false) => {
                if original.is_list() != update.is_list() {
                    let may = may_change_label(&original.kind()) && may_change_label(&update.kind());
                    let rule = if may { Rule::FieldLabelChanged } else { Rule::FieldNumericLabelChanged };
                    self.tell_field(rule, original, path, (label(original), label(update)));
                }
                let below = if original.is_list() { format!("{below}/0") } else { below };
                self.kinds(original, (original.kind(), update.kind()), path, &below);
            }
            (true, false) | (false, true) => {
                self.tell_field(Rule::FieldKindChanged, original, path, (label(original), label(update)));
            }
        }
    }

    fn maps(&mut self, original: &FieldDescriptor, update: &FieldDescriptor, below: &str) {
        let (was, is) = (original.kind(), update.kind());
        if let (Some(was), Some(is)) = (was.as_message(), is.as_message()) {
            let keys = (was.map_entry_key_field().kind(), is.map_entry_key_field().kind());
            self.kinds(original, keys, below, below);
            let values = (was.map_entry_value_field().kind(), is.map_entry_value_field().kind());
            self.kinds(original, values, below, &format!("{below}/key"));
        }
    }

    /// The kinds of one field; `below` is where a value of it stands.
    fn kinds(&mut self, field: &FieldDescriptor, (original, update): (Kind, Kind), path: &str, below: &str) {
        let (was, is) = (name(&original), name(&update));
        let names = (was.as_str(), is.as_str());
        match (&original, &update) {
            (Kind::Message(original), Kind::Message(update)) => {
                if relative(original) == relative(update) {
                    self.message(original, update, below);
                } else {
                    self.tell_field(Rule::FieldNamedTypeChanged, field, path, names);
                }
            }
            (Kind::Message(_), _) | (_, Kind::Message(_)) => {
                self.tell_field(Rule::FieldKindChanged, field, path, names);
            }
            (original, update) if family(original) != family(update) => {
                self.tell_field(Rule::FieldScalarKindChanged, field, path, names);
            }
            (original, update) if form(original) != form(update) => {
                self.tell_field(Rule::FieldFormChanged, field, path, names);
            }
            _ => {}
        }
    }

    fn oneofs(&mut self, original: &MessageDescriptor, update: &MessageDescriptor, path: &str) {
        for oneof in original.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let Some(now) = find(update, &oneof) else { continue };
            let is_single = oneof.fields().count() == 1;
            for field in oneof.fields().filter(|field| now.fields().all(|now| now.number() != field.number()))
            {
                let is_moved_out = is_single && update.get_field(field.number()).is_some();
                if !is_moved_out {
                    self.tell_field(Rule::OneofFieldRemoved, &field, path, (field.name(), oneof.name()));
                }
            }
        }
        for oneof in update.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let is_new = find(original, &oneof).is_none();
            let moved: Vec<FieldDescriptor> = oneof
                .fields()
                .filter_map(|field| original.get_field(field.number()))
                .filter(|field| field.containing_oneof().is_none_or(|oneof| oneof.is_synthetic()))
                .collect();
            let Some(last) = moved.last() else { continue };
            if is_new && moved.len() > 1 {
                self.tell_field(Rule::MultipleFieldsMovedToOneof, last, path, (last.name(), oneof.name()));
            } else if oneof.fields().count() > 1 {
                self.tell_field(Rule::FieldMovedToOneof, last, path, (last.name(), oneof.name()));
            }
        }
    }

    fn enums(
        &mut self,
        original: impl Iterator<Item = EnumDescriptor>,
        update: impl Iterator<Item = EnumDescriptor>,
    ) {
        let by_name: BTreeMap<String, EnumDescriptor> =
            update.map(|one| (one.name().to_owned(), one)).collect();
        for one in original {
            let Some(now) = by_name.get(one.name()) else { continue };
            for value in one.values() {
                let pointer = format!("#/{}/{}", one.full_name(), value.number());
                match now.get_value(value.number()) {
                    None => {
                        let names = (value.name().to_owned(), String::new());
                        self.tell(Rule::EnumConstRemoved, pointer, "", names);
                    }
                    // A number may have several names.
                    Some(same) if now.get_value_by_name(value.name()).is_none() => {
                        let names = (value.name().to_owned(), same.name().to_owned());
                        self.tell(Rule::EnumConstChanged, pointer, "", names);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn tell_field(&mut self, rule: Rule, field: &FieldDescriptor, path: &str, (was, is): (&str, &str)) {
        let place = format!("{}/{}", pointer(field.parent_message()), field.number());
        let path = format!("{path}/{}", field.json_name());
        self.tell(rule, place, &path, (was.to_owned(), is.to_owned()));
    }

    fn tell(&mut self, rule: Rule, pointer: String, path: &str, (original, update): (String, String)) {
        if self.policy == Policy::Strict || rule.counts_always() {
            self.findings.push(Finding { rule, pointer, path: path.to_owned(), original, update });
        }
    }
}

impl Rule {
    /// Whether it breaks readers of the bytes, and not only of the JSON.
    const fn counts_always(self) -> bool {
        match self {
            Self::PackageChanged
            | Self::MessageRemoved
            | Self::FieldKindChanged
            | Self::FieldScalarKindChanged
            | Self::FieldNamedTypeChanged
            | Self::FieldNumericLabelChanged
            | Self::RequiredFieldAdded
            | Self::RequiredFieldRemoved
            | Self::OneofFieldRemoved
            | Self::MultipleFieldsMovedToOneof => true,
            Self::FirstMessageChanged
            | Self::FieldRemoved
            | Self::FieldNameChanged
            | Self::FieldFormChanged
            | Self::FieldLabelChanged
            | Self::FieldMovedToOneof
            | Self::EnumConstRemoved
            | Self::EnumConstChanged => false,
        }
    }
}

fn find(message: &MessageDescriptor, oneof: &OneofDescriptor) -> Option<OneofDescriptor> {
    message.oneofs().find(|other| !other.is_synthetic() && other.name() == oneof.name())
}

fn pointer(message: &MessageDescriptor) -> String {
    format!("#/{}", message.full_name())
}

fn label(field: &FieldDescriptor) -> &'static str {
    match (field.is_map(), field.is_list()) {
        (true, _) => "a map",
        (false, true) => "repeated",
        (false, false) => "single",
    }
}

/// A type's name within its file's package, so that a change of the package is told once; of imported files, the whole.
fn relative(message: &MessageDescriptor) -> String {
    let is_own = message.parent_file().name() == super::super::source::NAME;
    let name = message.full_name();
    let own = name.strip_prefix(message.package_name()).and_then(|rest| rest.strip_prefix('.'));
    own.filter(|_| is_own && !message.package_name().is_empty()).unwrap_or(name).to_owned()
}
