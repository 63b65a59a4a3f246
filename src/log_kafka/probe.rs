//! Which group protocol a cluster offers.
//!
//! A member that speaks KIP-848 to an older broker waits for ever and says nothing, so the broker is asked first. The
//! only place where librdkafka tells a broker's versions is its debug log; a test holds its wording.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use tokio::time::Instant;

use super::config::GroupProtocol;
use super::locked;
use super::settings::Settings;

const PATIENCE: Duration = Duration::from_secs(5);
/// The version librdkafka speaks.
const VERSION: u16 = 1;

/// Hears a broker's versions.
#[derive(Debug, Default)]
struct Ear {
    /// Guards the highest version of the members' heartbeat, once it was told.
    heartbeat: Mutex<Option<u16>>,
}

impl ClientContext for Ear {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, text: &str) {
        if facility == "APIVERSION" {
            let told = heartbeat(text);
            let mut known = locked(&self.heartbeat);
            *known = told.or(*known);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = "probe", %error, reason, "librdkafka");
    }
}

impl ConsumerContext for Ear {}

/// The protocol of the cluster: KIP-848 where every broker named in the configuration that answers offers it. Blocks.
pub(super) fn protocol(settings: &Settings) -> Result<GroupProtocol, KafkaError> {
    let mut found = None;
    let mut failure = KafkaError::NoMessageReceived;
    for broker in &settings.config().brokers {
        match ask(settings, broker) {
            Ok(GroupProtocol::Consumer) if found.is_none() => found = Some(GroupProtocol::Consumer),
            Ok(GroupProtocol::Consumer) => {}
            Ok(_) => found = Some(GroupProtocol::Classic),
            Err(error) => failure = error,
        }
    }
    found.ok_or(failure)
}

fn ask(settings: &Settings, broker: &str) -> Result<GroupProtocol, KafkaError> {
    let client: BaseConsumer<Ear> = settings.probe(broker).create_with_context(Ear::default())?;
    client.fetch_metadata(None, PATIENCE)?;
    // The versions were told before the metadata; the lines only wait to be taken.
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        drop(client.poll(Duration::from_millis(10)));
        let heartbeat = *locked(&client.context().heartbeat);
        if heartbeat.is_some_and(|version| version >= VERSION) {
            return Ok(GroupProtocol::Consumer);
        }
        if Instant::now() >= deadline {
            return Ok(GroupProtocol::Classic);
        }
    }
}

/// The highest version of the members' heartbeat, where the line tells it.
fn heartbeat(text: &str) -> Option<u16> {
    let (_, versions) = text.split_once("ApiKey ConsumerGroupHeartbeat (68) Versions 0..")?;
    versions.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::heartbeat;

    #[test]
    fn the_line_of_the_heartbeat_is_understood() {
        assert_eq!(heartbeat("[thrd:b]: b:   ApiKey Fetch (1) Versions 4..17"), None);
        let line = "[thrd:b]: b:   ApiKey ConsumerGroupHeartbeat (68) Versions 0..1";
        assert_eq!(heartbeat(line), Some(1));
    }
}
