//! What an operator may change about sockets.

use std::time::Duration;

/// Times and limits of every socket of this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// A ping is due after this long without a message from the client.
    pub ping: Duration,
    /// The client has this long to answer it with anything.
    pub pong: Duration,
    /// A connection without a credential has this long to bring one in `hello`.
    pub hello_timeout: Duration,
    /// Bytes of the largest message a client may send.
    pub inbound_bytes_max: usize,
    /// Messages a client may send in one second.
    pub messages_per_second_max: u32,
    /// Bytes that may wait for a client that does not read.
    pub unsent_bytes_max: usize,
    /// Subscriptions of one connection, broadcast and group together.
    pub subscriptions_max: usize,
    /// Unsettled deliveries of one connection, all groups together.
    pub in_flight_max: u32,
    /// How long a drain takes at most, from its beginning to the last socket's end.
    pub drain_window: Duration,
}
