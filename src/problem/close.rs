//! Close codes of a socket, in ranges that tell a client what to do next.

/// Why the gateway closes a socket (RFC 6455 §7.4; 4000–4999 are ours).
///
/// 4000–4099: stop and report. 4100–4199: get a new token and reconnect at once. 4200–4299: back off with full
/// jitter and resume. 4300–4399: wait the delay given in `bye`, then resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The client said goodbye, or nothing is left to do.
    Normal,
    /// The gateway goes away at once.
    GoingAway,
    /// The client broke the WebSocket protocol.
    Protocol,
    /// A binary message, which the subprotocol does not have.
    Unsupported,
    /// A text message that is not UTF-8.
    InvalidUtf8,
    /// A message above the limit.
    TooLarge,
    /// The gateway made a mistake.
    Internal,
    /// Not a JSON object, or no `op`.
    BadMessage,
    /// The token is not accepted.
    TokenInvalid,
    /// The principal may not connect.
    Forbidden,
    /// No `hello` in time.
    NoHello,
    /// Too many connections.
    ConnectionLimit,
    /// The principal's rights were taken away.
    Revoked,
    /// The token expired.
    TokenExpired,
    /// The client reads too slowly.
    Slow,
    /// No answer to a ping.
    NoPong,
    /// The gateway has too much to do.
    Overloaded,
    /// Too many messages per second.
    MessageRate,
    /// The gateway drains.
    Drain,
}

impl CloseCode {
    /// Every code, by number.
    pub const ALL: &'static [Self] = &[
        Self::Normal,
        Self::GoingAway,
        Self::Protocol,
        Self::Unsupported,
        Self::InvalidUtf8,
        Self::TooLarge,
        Self::Internal,
        Self::BadMessage,
        Self::TokenInvalid,
        Self::Forbidden,
        Self::NoHello,
        Self::ConnectionLimit,
        Self::Revoked,
        Self::TokenExpired,
        Self::Slow,
        Self::NoPong,
        Self::Overloaded,
        Self::MessageRate,
        Self::Drain,
    ];

    /// The number in the close frame.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Protocol => 1002,
            Self::Unsupported => 1003,
            Self::InvalidUtf8 => 1007,
            Self::TooLarge => 1009,
            Self::Internal => 1011,
            Self::BadMessage => 4000,
            Self::TokenInvalid => 4001,
            Self::Forbidden => 4003,
            Self::NoHello => 4008,
            Self::ConnectionLimit => 4009,
            Self::Revoked => 4010,
            Self::TokenExpired => 4100,
            Self::Slow => 4200,
            Self::NoPong => 4201,
            Self::Overloaded => 4203,
            Self::MessageRate => 4205,
            Self::Drain => 4300,
        }
    }

    /// The reason in `bye` and in the close frame.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::GoingAway => "going away",
            Self::Protocol => "protocol error",
            Self::Unsupported => "binary messages are not taken",
            Self::InvalidUtf8 => "text is not UTF-8",
            Self::TooLarge => "message too large",
            Self::Internal => "internal error",
            Self::BadMessage => "bad message",
            Self::TokenInvalid => "token invalid",
            Self::Forbidden => "forbidden",
            Self::NoHello => "no hello",
            Self::ConnectionLimit => "connection limit",
            Self::Revoked => "revoked",
            Self::TokenExpired => "token expired",
            Self::Slow => "slow",
            Self::NoPong => "no pong",
            Self::Overloaded => "overloaded",
            Self::MessageRate => "message rate",
            Self::Drain => "drain",
        }
    }

    /// Whether the client should come back.
    #[must_use]
    pub const fn should_reconnect(self) -> bool {
        matches!(self.number(), 1001 | 1011 | 4100..=4399)
    }
}

#[cfg(test)]
mod tests {
    use super::CloseCode;

    #[test]
    fn numbers_grow_and_ranges_say_what_to_do() {
        assert!(CloseCode::ALL.is_sorted_by(|one, other| one.number() < other.number()));
        assert!(!CloseCode::TokenInvalid.should_reconnect());
        assert!(CloseCode::TokenExpired.should_reconnect());
        assert!(CloseCode::Drain.should_reconnect());
    }
}
