//! W3C trace context: checked `traceparent` and `tracestate`, carried and never changed.

use std::sync::Arc;

/// A trace context of a request, as in <https://www.w3.org/TR/trace-context/>. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// `version-traceid-parentid-flags`.
    pub traceparent: Arc<str>,
    /// Vendor state, at most 512 characters; dropped when longer.
    pub tracestate: Option<Arc<str>>,
}

impl TraceContext {
    /// Reads the two headers; an invalid `traceparent` means there is none (the specification says to go on
    /// without).
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        is_traceparent(traceparent).then(|| Self {
            traceparent: traceparent.into(),
            tracestate: tracestate
                .filter(|state| {
                    (1..=512).contains(&state.len())
                        && state.bytes().all(|byte| (b' '..=b'~').contains(&byte))
                })
                .map(Arc::from),
        })
    }
}

fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str, length: usize| {
        part.len() == length
            && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let mut parts = text.splitn(5, '-');
    let (Some(version), Some(trace), Some(parent), Some(flags)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let has_more = parts.next().is_some();
    is_hex(version, 2)
        && version != "ff"
        && !(version == "00" && has_more)
        && text.len() <= 256
        && is_hex(trace, 32)
        && trace.bytes().any(|byte| byte != b'0')
        && is_hex(parent, 16)
        && parent.bytes().any(|byte| byte != b'0')
        && is_hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use super::TraceContext;

    #[test]
    fn only_well_formed_contexts_are_carried() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(&*TraceContext::parse(good, Some("a=b")).unwrap().traceparent, good);
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(TraceContext::parse(bad, None), None, "{bad}");
        }
        assert_eq!(TraceContext::parse(good, Some("a\nb")).unwrap().tracestate, None);
    }
}
