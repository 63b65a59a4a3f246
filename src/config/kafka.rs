//! The section of the Kafka engine.

use crate::log_kafka::{Config, GroupProtocol, OpenError, Sasl, Secret, Security, SecurityProtocol, Tls};

use super::secret::MISSING;
use super::section::Section;

/// Reads `log.kafka`. Where this engine is the one in use, it is also checked whether a client can have these settings.
pub(super) fn read(section: Section<'_>, node: &str, is_used: bool) -> Config {
    let brokers = section.list("brokers", "a broker such as kafka-1.example.com:9092", |text| {
        let (host, port) = text.rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| text.to_owned())
    });
    let protocols = [
        ("auto", GroupProtocol::Auto),
        ("consumer", GroupProtocol::Consumer),
        ("classic", GroupProtocol::Classic),
    ];
    let is_static = section.flag("static_membership");
    if is_static && node == "auto" {
        section.mistake("static_membership", "needs a name in 'node' that stays the same");
    }
    let security = security(section.section("security"));
    let properties = section.named_secrets("properties");
    let config = Config {
        client_id: section.text("client_id"),
        security,
        group_protocol: section.choice("group_protocol", &protocols).unwrap_or(GroupProtocol::Auto),
        instance: is_static.then(|| node.to_owned()),
        linger: section.duration("linger"),
        delivery_timeout: section.duration("delivery_timeout"),
        properties: properties.into_iter().map(|(name, value)| (name, Secret::new(&value))).collect(),
        ..Config::of(brokers)
    };
    if is_used {
        match config.check() {
            Ok(()) => {}
            Err(OpenError::Property { name, problem }) => section.mistake_below(&name, &problem),
            Err(OpenError::File { name, problem }) => section.mistake_in_file_below(name, &problem),
            Err(error) => section.mistake_below("", &error.to_string()),
        }
    }
    section.finish();
    config
}

fn security(section: Section<'_>) -> Security {
    let protocols = [
        ("plaintext", SecurityProtocol::Plaintext),
        ("ssl", SecurityProtocol::Ssl),
        ("sasl_plaintext", SecurityProtocol::SaslPlaintext),
        ("sasl_ssl", SecurityProtocol::SaslSsl),
    ];
    let security = Security {
        protocol: section.choice("protocol", &protocols).unwrap_or(SecurityProtocol::Plaintext),
        sasl: section.optional_section("sasl").map(|sasl| {
            let read = Sasl {
                mechanism: sasl.text("mechanism"),
                username: sasl.text("username"),
                password: Secret::new(&password(&sasl)),
            };
            sasl.finish();
            read
        }),
        tls: section.optional_section("tls").map_or_else(Tls::default, |tls| {
            let path = |key| tls.optional_text(key).map(Into::into);
            let read = Tls { ca: path("ca"), certificate: path("certificate"), key: path("key") };
            tls.finish();
            read
        }),
    };
    section.finish();
    security
}

fn password(sasl: &Section<'_>) -> String {
    sasl.secret("password").unwrap_or_else(|| {
        sasl.mistake("password", MISSING);
        String::new()
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment, Log, Sources};
    use crate::log_kafka::{Secret, SecurityProtocol};

    fn read(kafka: &str) -> Result<Config, Vec<String>> {
        let file = Some(format!("log: {{engine: kafka, kafka: {kafka}}}"));
        let environment = Environment::new([("SECRET".to_owned(), "not-to-be-seen".to_owned())]);
        Config::read(&Sources { file, environment, ..Sources::default() })
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_cluster_with_scram_over_tls_is_read_and_its_secrets_are_hidden() {
        let config = read(
            "{brokers: ['a:9093', 'b:9093'], linger: 1ms, properties: {sasl.password: not-to-be-seen, fetch.max.bytes: 1000000}, \
             security: {protocol: sasl_ssl, sasl: {mechanism: SCRAM-SHA-512, username: w, password: not-to-be-seen}}}",
        )
        .unwrap();
        assert!(
            !config.shown.contains("not-to-be-seen") && !config.view.to_string().contains("not-to-be-seen")
        );
        assert!(!format!("{config:?}").contains("not-to-be-seen"));
        let Log::Kafka(kafka) = config.log else { panic!("another engine") };
        assert_eq!(kafka.brokers, ["a:9093", "b:9093"]);
        assert_eq!(kafka.security.protocol, SecurityProtocol::SaslSsl);
        assert_eq!(kafka.linger.as_millis(), 1);
    }

    #[test]
    fn a_password_may_come_from_the_environment() {
        let security = |name: &str| {
            format!(
                "{{brokers: ['a:9093'], security: {{protocol: sasl_ssl, sasl: {{mechanism: PLAIN, username: w, password: {{env: {name}}}}}}}}}"
            )
        };
        assert!(read(&security("SECRET")).is_ok());
        let mistakes = read(&security("ABSENT")).unwrap_err();
        assert!(mistakes.iter().any(|mistake| mistake.contains("log.kafka.security.sasl.password")));
    }

    #[test]
    fn a_property_may_come_from_the_environment_or_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "not-to-be-seen\n").unwrap();
        let given = |secret: &str| {
            read(&format!(
                "{{brokers: ['a:1'], properties: {{ssl.key.password: {secret}, socket.nagle.disable: true}}}}"
            ))
        };
        for secret in ["{env: SECRET}".to_owned(), format!("{{file: '{}'}}", file.display())] {
            let config = given(&secret).unwrap();
            assert!(!format!("{config:?}").contains("not-to-be-seen"));
            let Log::Kafka(kafka) = config.log else { panic!("another engine") };
            assert_eq!(kafka.properties["ssl.key.password"], Secret::new("not-to-be-seen"));
            assert_eq!(kafka.properties["socket.nagle.disable"], Secret::new("true"));
        }
        for (secret, problem) in [
            ("{env: ABSENT}", "is missing: a text, {env: NAME} of a variable that is set"),
            ("null", "is missing: a text"),
            ("{file: /does/not/exist}", "the file it names cannot be used"),
            ("[a]", "must be a text, {env: NAME} or {file: path}"),
        ] {
            let mistakes = given(secret).unwrap_err();
            let told = format!("log.kafka.properties.ssl.key.password: {problem}");
            assert!(mistakes.iter().any(|mistake| mistake.contains(&told)), "{told}: {mistakes:?}");
        }
    }

    #[test]
    fn wrong_properties_are_named_with_their_path() {
        for (kafka, path) in [
            ("{brokers: []}", "log.kafka.brokers: needs"),
            ("{brokers: [nowhere]}", "log.kafka.brokers[0]: must be"),
            (
                "{brokers: ['a:1'], properties: {no.such: 1}}",
                "log.kafka.properties.no.such: is no property of librdkafka",
            ),
            (
                "{brokers: ['a:1'], properties: {acks: 1}}",
                "log.kafka.properties.acks: belongs to the gateway",
            ),
            (
                "{brokers: ['a:1'], properties: {fetch.max.bytes: -3}}",
                "log.kafka.properties.fetch.max.bytes: must be a number from 0 to",
            ),
            (
                "{brokers: ['a:1'], security: {protocol: ssl, tls: {ca: /dev/null}}}",
                "log.kafka.security.tls.ca: the file it names cannot be used",
            ),
            (
                "{brokers: ['a:1'], security: {protocol: sasl_ssl, sasl: {mechanism: GSSAPI, username: u, password: p}}}",
                "log.kafka.security.sasl.mechanism: must be one of PLAIN",
            ),
            (
                "{brokers: ['a:1'], properties: {sasl.mechanism: OAUTHBEARER}}",
                if cfg!(feature = "oauthbearer") {
                    "log.kafka.properties.sasl.oauthbearer.method: must be oidc"
                } else {
                    "log.kafka.properties.sasl.mechanism: needs a gateway built with the Cargo feature 'oauthbearer'"
                },
            ),
            ("{brokers: ['a:1'], static_membership: true}", "log.kafka.static_membership: needs a name"),
            ("{brokers: ['a:1'], security: {protocol: sasl_ssl}}", "log.kafka.security.sasl: is needed"),
        ] {
            let mistakes = read(kafka).unwrap_err();
            assert!(mistakes.iter().any(|mistake| mistake.contains(path)), "{path}: {mistakes:?}");
        }
    }
}
