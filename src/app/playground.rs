//! The page of `GET /` in development mode: publish, follow, be a worker, look at the dead letters.

use crate::config::Config;

const PAGE: &str = include_str!("playground.html");

/// One valid event of each sample type, as the page offers them.
const SAMPLES: &str = include_str!("samples.json");

/// The page with this token, and the configuration's topics and groups.
pub(super) fn page(config: &Config, token: &str) -> String {
    let topics: Vec<&str> = config.topics.iter().map(|topic| topic.name.as_str()).collect();
    let groups: Vec<&str> = config.delivery.groups.keys().map(|group| group.as_str()).collect();
    PAGE.replace("__TOKEN__", token)
        .replace("__TOPICS__", &in_script(&serde_json::json!(topics)))
        .replace("__GROUPS__", &in_script(&serde_json::json!(groups)))
        .replace("__SAMPLES__", SAMPLES)
}

/// JSON that cannot end the script it stands in.
fn in_script(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::{SAMPLES, page};
    use crate::config::{Config, Sources};
    use crate::event::{EventType, json};
    use crate::schema::{self, Schemas};

    #[test]
    fn the_page_is_filled_and_asks_nothing_of_others() {
        let config = Config::read(&Sources { is_dev: true, ..Sources::default() }).unwrap();
        let page = page(&config, "the-token");
        assert!(page.contains("\"the-token\"") && page.contains("inventory-sync"));
        assert!(!page.contains("__"), "a placeholder is left");
        assert!(!page.contains("http://") && !page.contains("https://"), "nothing is loaded from elsewhere");
    }

    #[test]
    fn the_samples_satisfy_their_schemas() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        let schemas = Schemas::load(&schema::Config { directory }).unwrap();
        let samples: serde_json::Map<String, serde_json::Value> = serde_json::from_str(SAMPLES).unwrap();
        for (name, event) in samples {
            let data = event["data"].to_string();
            let document = json::Document::parse(data.as_bytes(), json::Limits { depth_max: 64 }).unwrap();
            let checked = schemas.check(&EventType::parse(&name).unwrap(), document.root()).unwrap();
            assert!(checked.schema.is_some(), "{name}");
        }
    }
}
