//! What librdkafka refuses, by the names that operators gave it.

use rdkafka::error::KafkaError;

use super::super::failure::OpenError;
use super::Settings;

/// Where the operator sets what librdkafka knows by another name.
const SET_AT: &[(&str, &str)] = &[
    ("ssl.ca.location", "security.tls.ca"),
    ("ssl.certificate.location", "security.tls.certificate"),
    ("ssl.key.location", "security.tls.key"),
    ("sasl.mechanism", "security.sasl.mechanism"),
    ("sasl.username", "security.sasl.username"),
    ("sasl.password", "security.sasl.password"),
    ("message.timeout.ms", "delivery_timeout"),
    ("linger.ms", "linger"),
    ("bootstrap.servers", "brokers"),
    ("client.id", "client_id"),
];

impl Settings {
    /// What librdkafka refuses, by the name the operator gave it.
    pub(in crate::log_kafka) fn blamed(&self, error: OpenError) -> OpenError {
        match error {
            OpenError::Property { name, problem } => {
                OpenError::Property { name: self.set_at(&name).unwrap_or(name), problem }
            }
            OpenError::Client(KafkaError::ClientCreation(text)) => {
                let given = self.0.properties.keys().map(String::as_str);
                let mut names = given.chain(SET_AT.iter().map(|(name, _)| *name));
                let name = names.find(|name| text.contains(name)).and_then(|name| self.set_at(name));
                match name {
                    Some(name) => {
                        OpenError::Property { name, problem: format!("cannot be used: {}", unquoted(&text)) }
                    }
                    None => OpenError::Client(KafkaError::ClientCreation(text)),
                }
            }
            error => error,
        }
    }

    /// The key of the configuration behind a property.
    fn set_at(&self, name: &str) -> Option<String> {
        if self.0.properties.contains_key(name) {
            return Some(format!("properties.{name}"));
        }
        SET_AT.iter().find(|(native, _)| *native == name).map(|(_, key)| (*key).to_owned())
    }
}

/// The words in which librdkafka refused to make a client, without what they quote.
fn unquoted(text: &str) -> String {
    let plain = text.split('"').step_by(2).map(str::trim).filter(|part| !part.is_empty());
    plain.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{KafkaError, OpenError, Settings, unquoted};
    use crate::log_kafka::config::{Config, Secret};

    #[test]
    fn what_only_a_client_finds_out_is_named_by_its_setting() {
        let mut config = Config::of(vec!["localhost:9092".to_owned()]);
        config.properties.insert("ssl.key.password".to_owned(), Secret::new("s3cret"));
        let settings = Settings::new(config).unwrap();
        let blame = |text: &str| {
            settings.blamed(OpenError::Client(KafkaError::ClientCreation(text.to_owned()))).to_string()
        };
        let told = blame("ssl.key.password \"s3cret\" is wrong");
        assert!(told.contains("'properties.ssl.key.password'") && !told.contains("s3cret"), "{told}");
        assert!(blame("`message.timeout.ms` must be greater").contains("'delivery_timeout'"));
        assert!(blame("anything else").contains("no client"));
        assert_eq!(unquoted("ssl.key.password \"s3cret\" failed"), "ssl.key.password failed");
    }
}
