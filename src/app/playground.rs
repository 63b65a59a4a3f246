//! The page of `GET /` in development mode: publish, follow, be a worker, look at the dead letters.

use std::sync::Arc;

use crate::auth::dev;
use crate::config::Config;
use crate::event::Clock;

const PAGE: &str = include_str!("playground.html");

/// One valid event of each sample type, as the page offers them.
const SAMPLES: &[(&str, &str, &str)] = &[
    (
        "orders.placed.v1",
        "order-service",
        include_str!("../../schemas/orders/placed/v1.examples/valid/minimal.json"),
    ),
    (
        "orders.cancelled.v1",
        "order-service",
        include_str!("../../schemas/orders/cancelled/v1.examples/valid/minimal.json"),
    ),
    (
        "user.created.v1",
        "iam-service",
        include_str!("../../schemas/user/created/v1.examples/valid/minimal.json"),
    ),
    (
        "auth.login.success.v1",
        "iam-service",
        include_str!("../../schemas/auth/login/success/v1.examples/valid/minimal.json"),
    ),
];

/// Makes the page at every request, each with a token of its own.
pub(super) fn server(
    config: &Config,
    token: Arc<dyn Fn() -> String + Send + Sync>,
) -> Arc<dyn Fn() -> String + Send + Sync> {
    let page = page(config);
    Arc::new(move || page.replace("__TOKEN__", &token()))
}

/// Makes the tokens of the development gateway's own pages.
pub(super) fn tokens(key: dev::Key, clock: Clock) -> Arc<dyn Fn() -> String + Send + Sync> {
    Arc::new(move || {
        key.dev_token(clock.now()).unwrap_or_else(|error| {
            tracing::error!(%error, "the gateway's own pages have no token");
            String::new()
        })
    })
}

/// The page but for its token, and the configuration's topics and groups.
fn page(config: &Config) -> String {
    let topics: Vec<&str> = config.topics.iter().map(|topic| topic.name.as_str()).collect();
    let groups: Vec<&str> = config.delivery.groups.keys().map(|group| group.as_str()).collect();
    let samples: serde_json::Map<String, serde_json::Value> = SAMPLES
        .iter()
        .filter_map(|(event_type, source, data)| {
            let data: serde_json::Value = serde_json::from_str(data).ok()?;
            let event = serde_json::json!({"eventType": event_type, "source": source, "data": data});
            Some(((*event_type).to_owned(), event))
        })
        .collect();
    PAGE.replace("__TOPICS__", &in_script(&serde_json::json!(topics)))
        .replace("__GROUPS__", &in_script(&serde_json::json!(groups)))
        .replace("__SAMPLES__", &in_script(&serde_json::json!(samples)))
}

/// JSON that cannot end the script it stands in.
fn in_script(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::page;
    use crate::config::{Config, Sources};

    #[test]
    fn the_page_is_filled_and_asks_nothing_of_others() {
        let config = Config::read(&Sources { is_dev: true, ..Sources::default() }).unwrap();
        let page = page(&config).replace("__TOKEN__", "the-token");
        assert!(page.contains("\"the-token\"") && page.contains("inventory-sync"));
        assert!(!page.contains("__"), "a placeholder is left");
        assert!(page.contains("\"eventType\":\"orders.placed.v1\""));
        assert!(!page.contains("http://") && !page.contains("https://"), "nothing is loaded from elsewhere");
    }
}
