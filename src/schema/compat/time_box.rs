//! How long a comparison may go on. It looks at the clock itself as it goes, so that it ends soon after its time is over
//! instead of going on for nobody.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// The clock is looked at once in so many steps.
const STEPS: u32 = 32;

/// The time of one comparison, shared by all of its parts.
#[derive(Debug)]
pub struct TimeBox {
    /// `None` where it never is over.
    ends: Option<Instant>,
    steps: Cell<u32>,
    is_over: Cell<bool>,
}

impl TimeBox {
    /// One that begins now.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self::until(Instant::now().checked_add(limit))
    }

    /// One that is never over.
    pub(in crate::schema) const fn endless() -> Self {
        Self::until(None)
    }

    const fn until(ends: Option<Instant>) -> Self {
        Self { ends, steps: Cell::new(0), is_over: Cell::new(false) }
    }

    /// Takes a step; `false` when the time is over. Costs a comparison of two numbers, but for one step in many.
    #[must_use]
    pub fn step(&self) -> bool {
        let steps = self.steps.get() + 1;
        if steps < STEPS {
            self.steps.set(steps);
            return !self.is_over.get();
        }
        self.steps.set(0);
        !self.is_over()
    }

    /// Whether the time is over now.
    #[must_use]
    pub fn is_over(&self) -> bool {
        if !self.is_over.get() && self.ends.is_some_and(|ends| Instant::now() >= ends) {
            self.is_over.set(true);
        }
        self.is_over.get()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{STEPS, TimeBox};

    #[tokio::test(start_paused = true)]
    async fn a_time_box_is_over_after_its_time_and_stays_so() {
        let time = TimeBox::new(Duration::from_secs(2));
        assert!((0..1_000).all(|_| time.step()) && !time.is_over());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!((0..STEPS).any(|_| !time.step()), "the clock is looked at again before long");
        assert!(!time.step() && time.is_over());
    }
}
