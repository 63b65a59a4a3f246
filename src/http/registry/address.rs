//! Below which path the registry answers.

/// What begins a path of the registry, where nothing stands before it.
const FIRST: [&str; 7] =
    ["subjects", "schemas", "compatibility", "config", "mode", "contexts", "associations"];
/// And what it has below a beginning of the gateway's own.
const METADATA: &str = "v1/metadata/";
/// What begins paths of the gateway's own.
const OWN: [&str; 7] = ["v1", "livez", "readyz", "problems", "openapi.yaml", "openapi.json", "docs"];

/// The path below which the schema registry answers: `/registry`, or `/` for clients that take no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryPath(String);

/// Why a text is no such path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be / or a path such as /registry, which nothing of the gateway's own begins with")]
pub struct RegistryPathError;

/// Below `/registry`.
impl Default for RegistryPath {
    fn default() -> Self {
        Self("/registry".to_owned())
    }
}

impl RegistryPath {
    /// Reads a path.
    ///
    /// # Errors
    /// When it is none, ends with a slash, or is the gateway's own.
    pub fn parse(text: &str) -> Result<Self, RegistryPathError> {
        if text == "/" {
            return Ok(Self(String::new()));
        }
        let mut segments = text.strip_prefix('/').ok_or(RegistryPathError)?.split('/').peekable();
        let is_own = segments.peek().is_some_and(|first| OWN.contains(first));
        let is_plain = |segment: &str| {
            !segment.is_empty()
                && !segment.starts_with('.')
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        };
        if is_own || !segments.all(is_plain) {
            return Err(RegistryPathError);
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether a request's path is the registry's.
    pub(in crate::http) fn holds(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(self.0.as_str()).and_then(|rest| rest.strip_prefix('/')) else {
            return false;
        };
        let first = rest.split('/').next().unwrap_or_default();
        !self.0.is_empty() || FIRST.contains(&first) || rest.starts_with(METADATA)
    }

    /// Where a route lies that is listed below `/registry`.
    pub(in crate::http) fn place(&self, route: &str) -> String {
        format!("{}{}", self.0, route.strip_prefix("/registry").unwrap_or(route))
    }
}

#[cfg(test)]
mod tests {
    use super::RegistryPath;

    #[test]
    fn the_registry_holds_what_is_below_its_path() {
        let path = RegistryPath::parse("/registry").unwrap();
        assert!(path.holds("/registry/subjects") && path.holds("/registry/nothing"));
        assert!(!path.holds("/registry") && !path.holds("/registrys/subjects") && !path.holds("/v1/events"));
        assert_eq!(path.place("/registry/subjects/{subject}"), "/registry/subjects/{subject}");
        let root = RegistryPath::parse("/").unwrap();
        assert!(root.holds("/subjects") && root.holds("/schemas/ids/1") && root.holds("/v1/metadata/id"));
        assert!(!root.holds("/v1/events") && !root.holds("/") && !root.holds("/livez"));
        assert_eq!(root.place("/registry/subjects"), "/subjects");
        let deep = RegistryPath::parse("/api/schemas").unwrap();
        assert!(deep.holds("/api/schemas/config"));
    }

    #[test]
    fn paths_of_the_gateways_own_are_refused() {
        for bad in ["", "registry", "/registry/", "/v1", "/v1/registry", "/docs", "/a b", "/..", "/{a}", "//"]
        {
            assert!(RegistryPath::parse(bad).is_err(), "{bad}");
        }
    }
}
