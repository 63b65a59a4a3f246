//! The log that gateways of this binary run on: the embedded one, each in the directory of its gateway.

/// Nothing beside the gateway.
#[derive(Debug)]
pub(crate) struct Engine {
    flags: Vec<(String, String)>,
}

impl Engine {
    pub(crate) async fn start() -> Self {
        let flags = vec![("log.engine".to_owned(), "embedded".to_owned())];
        std::future::ready(Self { flags }).await
    }

    /// What a gateway is told to use it.
    pub(crate) fn flags(&self) -> Vec<(String, String)> {
        self.flags.clone()
    }
}
