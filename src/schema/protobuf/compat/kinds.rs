//! What may stand for what: on the wire, and as JSON.

use prost_reflect::Kind;

/// Kinds of one family read each other's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Plain varints; enums are numbers too.
    Varint,
    Zigzag,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Text,
    Message,
}

/// Kinds of one form are the same JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Number,
    /// Whole numbers of 64 bits are told as text.
    LongNumber,
    Truth,
    Text,
    Base64,
    Name,
    Object,
}

pub(super) const fn family(kind: &Kind) -> Family {
    match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => {
            Family::Varint
        }
        Kind::Sint32 | Kind::Sint64 => Family::Zigzag,
        Kind::Fixed32 | Kind::Sfixed32 => Family::Fixed32,
        Kind::Fixed64 | Kind::Sfixed64 => Family::Fixed64,
        Kind::Float => Family::Float,
        Kind::Double => Family::Double,
        Kind::String | Kind::Bytes => Family::Text,
        Kind::Message(_) => Family::Message,
    }
}

pub(super) const fn form(kind: &Kind) -> Form {
    match kind {
        Kind::Int32
        | Kind::Uint32
        | Kind::Sint32
        | Kind::Fixed32
        | Kind::Sfixed32
        | Kind::Float
        | Kind::Double => Form::Number,
        Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => Form::LongNumber,
        Kind::Bool => Form::Truth,
        Kind::String => Form::Text,
        Kind::Bytes => Form::Base64,
        Kind::Enum(_) => Form::Name,
        Kind::Message(_) => Form::Object,
    }
}

/// Whether a field of this kind may become a list, or cease to be one: readers take the last of what they find.
/// Numbers of lists come in a run, which a single number does not.
pub(super) const fn may_change_label(kind: &Kind) -> bool {
    matches!(family(kind), Family::Text | Family::Message)
}

pub(super) fn name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(one) => one.full_name().to_owned(),
        other => format!("{other:?}"),
    }
}
