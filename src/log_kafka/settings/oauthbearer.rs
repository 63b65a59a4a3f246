//! What OAUTHBEARER asks of the settings and of the build.
//!
//! A token lives for minutes, and somebody has to fetch the next one for every client. rdkafka can hand none to the client
//! that changes topics, so librdkafka itself must do it: from an issuer of OpenID Connect, where it was built with libcurl.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use super::super::config::{Sasl, Secret};
use super::super::failure::OpenError;

/// The mechanism, and the names librdkafka has for it.
const MECHANISM: &str = "OAUTHBEARER";
const MECHANISM_NAMES: &[&str] = &["sasl.mechanism", "sasl.mechanisms"];
const METHOD: &str = "sasl.oauthbearer.method";

/// Looks whether clients could have tokens, where these settings ask for them.
pub(super) fn check(sasl: Option<&Sasl>, properties: &BTreeMap<String, Secret>) -> Result<(), OpenError> {
    judge(sasl, properties, is_built())
}

fn judge(
    sasl: Option<&Sasl>,
    properties: &BTreeMap<String, Secret>,
    is_built: bool,
) -> Result<(), OpenError> {
    let is = |name: &str, value: &str| {
        properties.get(name).is_some_and(|given| given.reveal().eq_ignore_ascii_case(value))
    };
    let problem =
        |name: String, problem: &str| Err(OpenError::Property { name, problem: problem.to_owned() });
    let property = MECHANISM_NAMES.iter().find(|name| is(name, MECHANISM));
    let is_misplaced = sasl.is_some_and(|sasl| sasl.mechanism.eq_ignore_ascii_case(MECHANISM));
    let asked = match property {
        Some(property) => format!("properties.{property}"),
        None if is_misplaced => "security.sasl.mechanism".to_owned(),
        None => return Ok(()),
    };
    if !is_built {
        return problem(asked, "needs a gateway built with the Cargo feature 'oauthbearer' for OAUTHBEARER");
    }
    if is_misplaced {
        return problem(
            "security.sasl".to_owned(),
            "must be null for OAUTHBEARER, which is set by properties: sasl.mechanism, sasl.oauthbearer.method and \
             those that go with it",
        );
    }
    if !is(METHOD, "oidc") {
        return problem(
            format!("properties.{METHOD}"),
            "must be oidc for OAUTHBEARER, since nobody would renew other tokens",
        );
    }
    Ok(())
}

/// Whether this librdkafka can fetch tokens.
fn is_built() -> bool {
    let features =
        ClientConfig::new().create_native_config().and_then(|native| native.get("builtin.features"));
    features.is_ok_and(|features| features.split(',').any(|feature| feature == "oidc"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Sasl, Secret, is_built, judge};

    fn told(mechanism: Option<&str>, properties: &[(&str, &str)], is_built: bool) -> String {
        let sasl = mechanism.map(|mechanism| Sasl {
            mechanism: mechanism.to_owned(),
            username: "w".to_owned(),
            password: Secret::new("p"),
        });
        let properties: BTreeMap<_, _> =
            properties.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(value))).collect();
        judge(sasl.as_ref(), &properties, is_built).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn what_does_not_ask_for_it_is_not_its_business() {
        assert_eq!(told(None, &[], false), "");
        assert_eq!(told(Some("PLAIN"), &[("sasl.mechanisms", "SCRAM-SHA-512")], false), "");
    }

    #[test]
    fn without_the_feature_the_property_and_the_feature_are_named() {
        for (mechanism, property, name) in [
            (None, Some("sasl.mechanism"), "'properties.sasl.mechanism'"),
            (None, Some("sasl.mechanisms"), "'properties.sasl.mechanisms'"),
            (Some("OAUTHBEARER"), None, "'security.sasl.mechanism'"),
        ] {
            let properties: Vec<_> = property.map(|name| (name, "oauthbearer")).into_iter().collect();
            let told = told(mechanism, &properties, false);
            assert!(told.contains(name) && told.contains("feature 'oauthbearer'"), "{told}");
        }
    }

    #[test]
    fn tokens_that_nobody_would_renew_are_refused() {
        let asked = ("sasl.mechanism", "OAUTHBEARER");
        for other in [&[asked][..], &[asked, ("sasl.oauthbearer.method", "default")]] {
            let told = told(None, other, true);
            assert!(told.contains("'properties.sasl.oauthbearer.method' must be oidc"), "{told}");
        }
        assert_eq!(told(None, &[asked, ("sasl.oauthbearer.method", "oidc")], true), "");
    }

    #[test]
    fn beside_a_password_it_is_refused() {
        let properties = [("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.method", "oidc")];
        assert!(told(Some("OAUTHBEARER"), &properties, true).contains("'security.sasl' must be null"));
        assert!(told(Some("OAUTHBEARER"), &[], true).contains("'security.sasl' must be null"));
    }

    #[test]
    fn the_feature_is_what_builds_it() {
        assert_eq!(is_built(), cfg!(feature = "oauthbearer"));
    }
}
