//! Which keys a running gateway takes from a configuration that is read again, and which wait for a restart.

use serde_json::{Map, Value};

/// Keys that hold at once, each with all below it.
const LIVE: &[&str] = &[
    "auth",
    "group_defaults",
    "groups",
    "http.limits",
    "publish.quotas",
    "topic_defaults",
    "topics",
    "topics_auto_create",
];

/// Keys below those that wait for a restart all the same.
const FIXED: &[&str] = &["auth.mode"];

/// Brings the configuration in force to the one just read, as far as it can change live. Answers the keys that differ
/// and stay as they were.
pub(crate) fn adopt(in_force: &mut Value, read: &Value) -> Vec<String> {
    let mut kept = Vec::new();
    adopt_at(String::new(), in_force, read, &mut kept);
    kept
}

fn adopt_at(path: String, in_force: &mut Value, read: &Value, kept: &mut Vec<String>) {
    if in_force == read {
        return;
    }
    match (in_force, read) {
        (in_force, read) if is_live(&path) => in_force.clone_from(read),
        (Value::Object(in_force), Value::Object(read)) => adopt_members(&path, in_force, read, kept),
        _ => kept.push(path),
    }
}

fn adopt_members(
    path: &str,
    in_force: &mut Map<String, Value>,
    read: &Map<String, Value>,
    kept: &mut Vec<String>,
) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for (name, value) in read {
        match in_force.get_mut(name) {
            Some(have) => adopt_at(join(name), have, value, kept),
            None if is_live(&join(name)) => drop(in_force.insert(name.clone(), value.clone())),
            None => kept.push(join(name)),
        }
    }
    kept.extend(in_force.keys().filter(|name| !read.contains_key(*name)).map(|name| join(name)));
}

/// Whether a value at this path may be taken whole.
fn is_live(path: &str) -> bool {
    let is_below =
        |root: &&str| path.strip_prefix(*root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let holds_fixed = FIXED.iter().any(|fixed| *fixed == path || fixed.starts_with(&format!("{path}.")));
    LIVE.iter().any(is_below) && !holds_fixed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::adopt;

    #[test]
    fn live_keys_are_taken_and_the_others_told() {
        let mut in_force = json!({
            "node": "auto", "groups": {"a": {"max_retries": 1}}, "auth": {"mode": "required", "grants": []},
            "http": {"listen": "a:1", "tls": null, "limits": {"headers_max": 1}}, "publish": {"queue_bytes_max": 1},
        });
        let read = json!({
            "node": "auto", "groups": {"b": {}}, "auth": {"mode": "dev", "grants": [1], "issuers": []},
            "http": {"listen": "a:2", "tls": {"key": "k"}, "limits": {"headers_max": 2}},
            "publish": {"queue_bytes_max": 1, "quotas": [1]},
        });
        let kept = adopt(&mut in_force, &read);
        assert_eq!(kept, ["auth.mode", "http.listen", "http.tls"]);
        assert_eq!(
            in_force,
            json!({
                "node": "auto", "groups": {"b": {}}, "auth": {"mode": "required", "grants": [1], "issuers": []},
                "http": {"listen": "a:1", "tls": null, "limits": {"headers_max": 2}},
                "publish": {"queue_bytes_max": 1, "quotas": [1]},
            })
        );
        assert!(adopt(&mut in_force.clone(), &in_force).is_empty());
    }
}
