//! How deep a `.proto` text nests, judged before it is parsed.

/// Brackets of all kinds may nest this deep.
const DEPTH_MAX: usize = 64;

/// Refuses a text whose brackets nest too deep; strings and comments are passed over.
pub(super) fn check(text: &str) -> Result<(), String> {
    let (mut depth, mut rest) = (0_usize, text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            b'"' | b'\'' => rest = past_string(after, *byte),
            b'#' => rest = past(after, b"\n"),
            b'/' if after.first() == Some(&b'/') => rest = past(after, b"\n"),
            b'/' if after.first() == Some(&b'*') => rest = past(after.get(1..).unwrap_or_default(), b"*/"),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(format!("nests deeper than {DEPTH_MAX} levels"));
        }
    }
    Ok(())
}

fn past<'t>(text: &'t [u8], end: &[u8]) -> &'t [u8] {
    let at = text.windows(end.len()).position(|window| window == end);
    at.and_then(|at| text.get(at + end.len()..)).unwrap_or_default()
}

/// A string ends at its quote, or, where that is missing, with its line.
fn past_string(text: &[u8], quote: u8) -> &[u8] {
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' => rest = after.get(1..).unwrap_or_default(),
            b'\n' => return rest,
            byte if *byte == quote => return rest,
            _ => {}
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_brackets_that_are_code_count() {
        let deep = "{".repeat(65);
        assert!(check(&deep).is_err());
        assert!(check(&"{}".repeat(1_000)).is_ok());
        for text in
            [format!("\"{deep}\""), format!("// {deep}"), format!("/* {deep} */"), format!("'\\'{deep}'")]
        {
            assert_eq!(check(&text), Ok(()), "{text}");
            assert!(check(&format!("{text}\n{deep}")).is_err(), "{text}");
        }
        assert_eq!(check("\""), Ok(()));
        assert_eq!(check("/*"), Ok(()));
    }
}
