//! How long to stay away: what the close code asks for, and full jitter where it asks for nothing.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// What a break asks of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Come back after a random time that grows with each failure.
    Backoff,
    /// Come back after this time, which the gateway chose for this client alone.
    After(Duration),
}

/// What to do after a close with this code; `None` is to stop. The gateway's own word in `bye` goes first.
pub(super) fn after_close(
    code: u16,
    should_reconnect: Option<bool>,
    delay: Option<Duration>,
) -> Option<Next> {
    let may_return =
        should_reconnect.unwrap_or(matches!(code, 1001 | 1005 | 1006 | 1011..=1013 | 4100..=4399));
    // A token that expired would be sent again as it is: coming back at once could not help.
    let has_expired = (4100..=4199).contains(&code);
    (may_return && !has_expired).then_some(delay.map_or(Next::Backoff, Next::After))
}

/// Failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A connection proved good.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait now; `share` is a random number from 0 to 1.
    pub(super) fn delay(&mut self, next: Next, share: f64) -> Duration {
        match next {
            Next::After(delay) => delay,
            Next::Backoff => {
                let longest = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
                self.failures += 1;
                longest.mul_f64(share)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, LONGEST, Next, after_close};
    use crate::problem::CloseCode;

    #[test]
    fn close_codes_say_whether_to_return() {
        for code in CloseCode::ALL.iter().filter(|code| **code != CloseCode::TokenExpired) {
            assert_eq!(after_close(code.number(), None, None).is_some(), code.should_reconnect(), "{code:?}");
        }
        assert_eq!(after_close(4100, Some(true), None), None);
        assert_eq!(after_close(1006, None, None), Some(Next::Backoff));
        assert_eq!(after_close(1002, Some(false), None), None);
        let delay = Duration::from_millis(11_250);
        assert_eq!(after_close(4300, Some(true), Some(delay)), Some(Next::After(delay)));
    }

    #[test]
    fn waits_grow_to_a_bound_and_spread_over_all_of_it() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..10).map(|_| backoff.delay(Next::Backoff, 1.0)).collect();
        assert!(waits.is_sorted() && waits[0] == Duration::from_millis(500) && waits[9] == LONGEST);
        assert_eq!(backoff.delay(Next::Backoff, 0.0), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.delay(Next::Backoff, 1.0), Duration::from_millis(500));
    }
}
