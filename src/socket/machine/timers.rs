//! Everything of a connection that falls due by itself: hello, silence, the token's end, the drain.

use std::time::Duration;

use tokio::time::Instant;

use crate::problem::CloseCode;

/// How long before the token's end the client is told.
const EXPIRY_NOTICE: Duration = Duration::from_secs(30);

/// The moments of one connection.
#[derive(Debug)]
pub(super) struct Timers {
    ping: Duration,
    pong: Duration,
    /// Until when somebody must say who the client is; `None` once that has begun.
    hello_until: Option<Instant>,
    heard_at: Instant,
    pinged_at: Option<Instant>,
    is_reading: bool,
    expires_at: Option<Instant>,
    is_expiry_told: bool,
    drain: Option<(Instant, Duration)>,
}

/// What fell due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Close(CloseCode),
    /// The drain reached this connection; it may come back after this time.
    Leave(Duration),
    /// The token ends so soon.
    TellExpiry(Duration),
    Ping,
}

impl Timers {
    pub(super) fn new(hello_timeout: Duration, ping: Duration, pong: Duration, now: Instant) -> Self {
        Self {
            ping,
            pong,
            hello_until: Some(now + hello_timeout),
            heard_at: now,
            pinged_at: None,
            is_reading: true,
            expires_at: None,
            is_expiry_told: false,
            drain: None,
        }
    }

    /// The client gave a sign of life.
    pub(super) const fn hear(&mut self, now: Instant) {
        self.heard_at = now;
        self.pinged_at = None;
    }

    /// While nothing is read, silence is not the client's fault.
    pub(super) const fn set_reading(&mut self, is_reading: bool) {
        self.is_reading = is_reading;
    }

    /// The client is about to be known: checking its token is not its time.
    pub(super) const fn greet(&mut self) {
        self.hello_until = None;
    }

    /// A token ends after this time, or never.
    pub(super) fn expire_in(&mut self, left: Option<Duration>, now: Instant) {
        self.expires_at = left.map(|left| now + left);
        self.is_expiry_told = false;
    }

    /// The connection leaves at `at` and may come back `delay` after that.
    pub(super) const fn drain(&mut self, at: Instant, delay: Duration) {
        self.drain = Some((at, delay));
    }

    pub(super) const fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// How long the token is still good; `None` for ever.
    pub(super) fn expires_in(&self, now: Instant) -> Option<Duration> {
        self.expires_at.map(|at| at.saturating_duration_since(now))
    }

    /// When the next thing falls due.
    pub(super) fn deadline(&self) -> Instant {
        let silence = self.pinged_at.map_or(self.heard_at + self.ping, |at| at + self.pong);
        let expiry = self.expires_at.map(|at| if self.is_expiry_told { at } else { notice_at(at) });
        let drain = self.drain.map(|(at, _)| at);
        [self.hello_until, expiry, drain].into_iter().flatten().fold(silence, Instant::min)
    }

    /// What has fallen due by now; asked until nothing has.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.hello_until.is_some_and(|until| now >= until) {
            return Some(Due::Close(CloseCode::NoHello));
        }
        if let Some((_, delay)) = self.drain.filter(|(at, _)| now >= *at) {
            return Some(Due::Leave(delay));
        }
        if let Some(at) = self.expires_at {
            if now >= at {
                return Some(Due::Close(CloseCode::TokenExpired));
            }
            if !self.is_expiry_told && now >= notice_at(at) {
                self.is_expiry_told = true;
                return Some(Due::TellExpiry(at - now));
            }
        }
        match self.pinged_at {
            Some(_) if !self.is_reading => self.hear(now),
            Some(at) if now >= at + self.pong => return Some(Due::Close(CloseCode::NoPong)),
            None if now >= self.heard_at + self.ping => {
                self.pinged_at = Some(now);
                return Some(Due::Ping);
            }
            Some(_) | None => {}
        }
        None
    }
}

fn notice_at(expires_at: Instant) -> Instant {
    expires_at.checked_sub(EXPIRY_NOTICE).unwrap_or(expires_at)
}
