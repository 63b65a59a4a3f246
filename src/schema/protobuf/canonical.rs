//! A schema as clients exchange it and as it is told from others: its file's descriptor, without comments and places in
//! the text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DynamicMessage, FileDescriptor, ReflectMessage as _, Value};

/// The descriptor in base64. Names of types are whole in it, so that texts that differ in how they say them only have
/// one form; custom options are kept.
pub(super) fn serialized(file: &FileDescriptor) -> Result<String, String> {
    let descriptor = FileDescriptorProto::default().descriptor();
    let mut message = DynamicMessage::decode(descriptor, file.encode_to_vec().as_slice())
        .map_err(|_| "has no descriptor that can be written")?;
    message.clear_field_by_name("source_code_info");
    // What a file is that says nothing.
    if message.get_field_by_name("syntax").as_deref() == Some(&Value::String("proto2".to_owned())) {
        message.clear_field_by_name("syntax");
    }
    Ok(STANDARD.encode(message.encode_to_vec()))
}
