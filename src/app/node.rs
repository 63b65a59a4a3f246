//! The gateway's name: configured, or made once and kept in the data directory.

use std::io;
use std::path::{Path, PathBuf};

/// Why the gateway has no name.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the gateway's name in '{path}'")]
pub struct NodeError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The configured name. Without one a name is made of the host's name and chance: at the first start, and kept in
/// `directory`, which exists; where there is no directory, at every start. Blocks on the file system.
pub(super) fn name(configured: Option<&str>, directory: Option<&Path>) -> Result<String, NodeError> {
    if let Some(name) = configured {
        return Ok(name.to_owned());
    }
    let Some(directory) = directory else { return Ok(made()) };
    let path = directory.join("node");
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(NodeError { path, source }),
    }
    let name = made();
    std::fs::write(&path, format!("{name}\n")).map_err(|source| NodeError { path, source })?;
    Ok(name)
}

/// The host's name and chance.
fn made() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .take(40)
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '-' })
        .collect();
    let chance = uuid::Uuid::new_v4().simple().to_string();
    let host = if host.is_empty() { "node".to_owned() } else { host };
    format!("{host}-{}", chance.get(..6).unwrap_or(&chance))
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_made_name_is_kept_where_there_is_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let first = name(None, Some(directory.path())).unwrap();
        assert_eq!(name(None, Some(directory.path())).unwrap(), first);
        assert_eq!(name(Some("g1"), Some(directory.path())).unwrap(), "g1");
        assert_ne!(name(None, None).unwrap(), first);
    }
}
