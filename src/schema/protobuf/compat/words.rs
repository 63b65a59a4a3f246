//! What differences are called and what a person can do about them.

use super::differ::{Finding, Rule};
use crate::schema::compat::{Difference, Direction};

/// The finding as told, by who reads and who writes.
pub(super) fn difference(finding: &Finding, direction: Direction) -> Difference {
    let (reader, writer) = direction.sides();
    Difference {
        rule: name(finding.rule),
        direction,
        pointer: finding.pointer.clone(),
        path: finding.path.clone(),
        message: message(finding, reader, writer),
        fix: fix(finding.rule).to_owned(),
    }
}

const fn name(rule: Rule) -> &'static str {
    match rule {
        Rule::PackageChanged => "PACKAGE_CHANGED",
        Rule::MessageRemoved => "MESSAGE_REMOVED",
        Rule::FieldKindChanged => "FIELD_KIND_CHANGED",
        Rule::FieldScalarKindChanged => "FIELD_SCALAR_KIND_CHANGED",
        Rule::FieldNamedTypeChanged => "FIELD_NAMED_TYPE_CHANGED",
        Rule::FieldNumericLabelChanged => "FIELD_NUMERIC_LABEL_CHANGED",
        Rule::RequiredFieldAdded => "REQUIRED_FIELD_ADDED",
        Rule::RequiredFieldRemoved => "REQUIRED_FIELD_REMOVED",
        Rule::OneofFieldRemoved => "ONEOF_FIELD_REMOVED",
        Rule::MultipleFieldsMovedToOneof => "MULTIPLE_FIELDS_MOVED_TO_ONEOF",
        Rule::FirstMessageChanged => "FIRST_MESSAGE_CHANGED",
        Rule::FieldRemoved => "FIELD_REMOVED",
        Rule::FieldNameChanged => "FIELD_NAME_CHANGED",
        Rule::FieldFormChanged => "FIELD_JSON_TYPE_CHANGED",
        Rule::FieldLabelChanged => "FIELD_STRING_OR_BYTES_LABEL_CHANGED",
        Rule::FieldMovedToOneof => "FIELD_MOVED_TO_ONEOF",
        Rule::EnumConstRemoved => "ENUM_CONST_REMOVED",
        Rule::EnumConstChanged => "ENUM_CONST_CHANGED",
    }
}

fn message(finding: &Finding, reader: &str, writer: &str) -> String {
    let (was, is) = (&finding.original, &finding.update);
    match finding.rule {
        Rule::PackageChanged => format!("{reader} has the package '{is}', {writer} '{was}'"),
        Rule::MessageRemoved => format!("{reader} has no message {was}, which {writer} has"),
        Rule::FieldKindChanged
        | Rule::FieldScalarKindChanged
        | Rule::FieldNamedTypeChanged
        | Rule::FieldFormChanged => {
            format!("{reader} takes {is} under this number, {writer} has {was}")
        }
        Rule::FieldNumericLabelChanged | Rule::FieldLabelChanged => {
            format!("the field is {is} in {reader}, and {was} in {writer}")
        }
        Rule::RequiredFieldAdded => format!("{reader} requires {is}, {writer} does not"),
        Rule::RequiredFieldRemoved => format!("{reader} does not require {was}, {writer} does"),
        Rule::OneofFieldRemoved => format!("{reader} has no {was} in the oneof {is}, {writer} has"),
        Rule::MultipleFieldsMovedToOneof => {
            format!("{reader} takes one member of the oneof {is}, {writer} has several of them side by side")
        }
        Rule::FieldMovedToOneof => {
            format!("{reader} has {was} in the oneof {is} with others, {writer} beside them")
        }
        Rule::FirstMessageChanged => {
            format!("data posted as JSON is the message {is} by {reader}, and {was} by {writer}")
        }
        Rule::FieldRemoved => {
            format!("{reader} has no field {was}, and does not reserve its number and name")
        }
        Rule::FieldNameChanged => {
            format!("the field is {is} in the JSON of {reader}, and {was} in that of {writer}")
        }
        Rule::EnumConstRemoved => format!("{reader} has no value {was}, which {writer} has"),
        Rule::EnumConstChanged => format!("the value is {is} in {reader}, and {was} in {writer}"),
    }
}

const fn fix(rule: Rule) -> &'static str {
    match rule {
        Rule::PackageChanged => "keep the package; else it is a new version of the type (v2)",
        Rule::MessageRemoved => "keep the message, deprecated if nobody writes it any more",
        Rule::FieldKindChanged
        | Rule::FieldScalarKindChanged
        | Rule::FieldNamedTypeChanged
        | Rule::FieldNumericLabelChanged => "add a field with a new number, and leave this one as it was",
        Rule::RequiredFieldAdded => "make the field optional",
        Rule::RequiredFieldRemoved => {
            "keep the field required; readers without this change refuse data without it"
        }
        Rule::OneofFieldRemoved => "keep the field in its oneof",
        Rule::MultipleFieldsMovedToOneof => {
            "leave the fields where they were, or add new ones in a new oneof"
        }
        Rule::FirstMessageChanged => "keep the first message of the schema first",
        Rule::FieldRemoved => "reserve the field's number and its name",
        Rule::FieldNameChanged => {
            "keep the name, or say it as json_name; the policy LENIENT looks at numbers only"
        }
        Rule::FieldFormChanged => {
            "keep the type, since readers of JSON see the change; the policy LENIENT looks at bytes only"
        }
        Rule::FieldLabelChanged => {
            "add a field with a new number, since readers of JSON see the change; the policy LENIENT looks at bytes only"
        }
        Rule::FieldMovedToOneof => {
            "leave the field where it was; the policy LENIENT allows one field to move"
        }
        Rule::EnumConstRemoved | Rule::EnumConstChanged => {
            "keep the value under its name, which is what JSON has; the policy LENIENT looks at numbers only"
        }
    }
}
