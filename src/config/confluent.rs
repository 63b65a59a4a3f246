//! `schemas.confluent`: where a schema registry is, and how it is asked.

use crate::schema::registry::confluent::{Address, Auth, Config};

use super::secret::MISSING;
use super::section::Section;

/// Reads the section.
pub(super) fn read(section: &Section<'_>) -> Config {
    let address =
        "an address such as https://registry.example.com, without user (that is auth's), query and fragment";
    Config {
        urls: section.list("urls", address, Address::parse),
        auth: section.optional_section("auth").and_then(|section| section.read(auth)),
        ca: section.if_set("ca", Section::path),
    }
}

fn auth(section: &Section<'_>) -> Option<Auth> {
    let given = |key| section.is_set(key).then(|| section.secret(key));
    let needed = |key, secret: Option<String>| {
        if secret.is_none() {
            section.mistake(key, MISSING);
        }
        secret
    };
    match (given("user"), given("password"), given("token")) {
        (None, None, Some(token)) => {
            let auth = Auth::bearer(&needed("token", token)?);
            if auth.is_none() {
                section.mistake("token", "holds characters that no token has");
            }
            auth
        }
        (user, password, None) => {
            let user = needed("user", user.flatten());
            let password = needed("password", password.flatten());
            let auth = Auth::basic(&user?, &password?);
            if auth.is_none() {
                section.mistake("user", "must be without a colon");
            }
            auth
        }
        (_, _, Some(_)) => {
            section.mistake("token", "stands beside user or password; the registry takes one credential");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment, Sources};
    use crate::schema::Store;

    fn read(confluent: &str) -> Result<Config, Vec<String>> {
        let file = format!("schemas: {{store: confluent, confluent: {confluent}}}");
        let environment = Environment::new([("REGISTRY".to_owned(), "not-to-be-seen".to_owned())]);
        let sources = Sources { file: Some(file), environment, ..Sources::default() };
        Config::read(&sources).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_registry_is_read_and_its_credential_not_shown() {
        for auth in [
            "null",
            "{user: gateway, password: not-to-be-seen}",
            "{user: gateway, password: {env: REGISTRY}}",
            "{token: not-to-be-seen}",
            "{token: {env: REGISTRY}}",
        ] {
            let urls = "[http://a:8081, 'https://b.example/registry']";
            let config = read(&format!("{{urls: {urls}, auth: {auth}}}")).unwrap();
            let Store::Confluent(confluent) = &config.schemas.store else { panic!("{auth}") };
            assert_eq!((confluent.urls.len(), confluent.auth.is_some()), (2, auth != "null"), "{auth}");
            assert!(!format!("{config:?}{}{}", config.shown, config.view).contains("not-to-be-seen"));
        }
    }

    #[test]
    fn what_no_registry_can_be_asked_by_is_told() {
        for (confluent, told) in [
            ("{}", "schemas.confluent.urls: is empty"),
            ("{urls: ['http://u:not-to-be-seen@a']}", "schemas.confluent.urls[0]: must be an address"),
            ("{urls: ['http://a'], auth: {user: u}}", "schemas.confluent.auth.password: is missing"),
            (
                "{urls: ['http://a'], auth: {token: {env: NOT_SET}}}",
                "schemas.confluent.auth.token: is missing",
            ),
            (
                "{urls: ['http://a'], auth: {token: t, user: u}}",
                "schemas.confluent.auth.token: stands beside",
            ),
            (
                "{urls: ['http://a'], auth: {user: 'a:b', password: p}}",
                "schemas.confluent.auth.user: must be without",
            ),
            ("{urls: ['http://a'], auth: {name: a}}", "schemas.confluent.auth.name: unknown key"),
            ("{url: 'http://a'}", "schemas.confluent.url: unknown key; did you mean 'urls'?"),
        ] {
            let mistakes = read(confluent).unwrap_err();
            assert!(mistakes.iter().any(|mistake| mistake.contains(told)), "{told}: {mistakes:#?}");
            assert!(!mistakes.concat().contains("not-to-be-seen"), "{mistakes:#?}");
        }
    }
}
