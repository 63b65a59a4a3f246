//! Writing JSON strings.

/// Writes text as a JSON string in quotes.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        #[expect(clippy::expect_used, reason = "neither strings nor vectors can fail to be written")]
        serde_json::to_writer(out, text).expect("text is written to memory");
    }
}
