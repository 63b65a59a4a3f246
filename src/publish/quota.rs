//! How fast each principal may publish: token buckets, one for events and one for bytes.
//!
//! A bucket holds one second's worth. A request larger than the bucket passes when it is full and leaves a debt,
//! so that a batch above the rate is slowed down rather than refused for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::event::Pattern;

use super::metrics::Metrics;
use super::{Quota, Used};

/// More principals than this at once are measured anew in turn.
const PRINCIPALS_MAX: usize = 10_000;
const WINDOW: Duration = Duration::from_secs(1);

/// A quota is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted {
    pub(super) retry_after: Duration,
    pub(super) used: Used,
}

/// The quotas and how far each principal has used its own.
#[derive(Debug)]
pub(super) struct Quotas {
    rules: ArcSwap<Vec<Rule>>,
    /// Guards the buckets.
    principals: Mutex<HashMap<Box<str>, Buckets>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    principal: Pattern,
    events: Option<Rate>,
    bytes: Option<Rate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    policy: &'static str,
    unit: &'static str,
    per_second: u64,
}

#[derive(Debug)]
struct Buckets {
    events: Option<Bucket>,
    bytes: Option<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// What is left at `at`; negative is a debt.
    tokens: f64,
    at: Instant,
}

impl Quotas {
    pub(super) fn new(quotas: &[Quota], metrics: Arc<Metrics>) -> Self {
        let rules = ArcSwap::from_pointee(rules(quotas));
        Self { rules, principals: Mutex::default(), metrics }
    }

    /// Puts other quotas in force; every principal begins anew with one second's worth.
    pub(super) fn replace(&self, quotas: &[Quota]) {
        let rules = rules(quotas);
        if **self.rules.load() == rules {
            return;
        }
        let mut principals = self.principals.lock().unwrap_or_else(PoisonError::into_inner);
        self.rules.store(Arc::new(rules));
        principals.clear();
        self.metrics.quota_principals.set(0);
    }

    /// Takes these from the principal's quota, or nothing.
    pub(super) fn take(&self, principal: &str, events: u64, bytes: u64) -> Result<(), Exhausted> {
        if self.rules.load().is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let mut principals = self.principals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buckets) = principals.get_mut(principal) {
            return self.judge(buckets, events, bytes, now);
        }
        if principals.len() >= PRINCIPALS_MAX {
            principals.retain(|_, buckets| buckets.is_in_use(now));
            // Still full: somebody's rate is measured anew, which gives away one second's worth.
            if principals.len() >= PRINCIPALS_MAX
                && let Some(any) = principals.keys().next().cloned()
            {
                principals.remove(&any);
            }
        }
        let buckets = principals.entry(principal.into()).or_insert_with(|| self.buckets(principal, now));
        let judged = self.judge(buckets, events, bytes, now);
        self.metrics.quota_principals.set(i64::try_from(principals.len()).unwrap_or(i64::MAX));
        judged
    }

    fn judge(&self, buckets: &mut Buckets, events: u64, bytes: u64, now: Instant) -> Result<(), Exhausted> {
        let asked = [(&mut buckets.events, events), (&mut buckets.bytes, bytes)];
        let mut asked = asked.map(|(bucket, amount)| bucket.as_mut().map(|bucket| (bucket, amount)));
        for (bucket, amount) in asked.iter_mut().flatten() {
            bucket.refill(now);
            bucket.admit(*amount).inspect_err(|exhausted| {
                self.metrics.quota_refusals.with_label_values(&[exhausted.used.policy]).inc();
            })?;
        }
        for (bucket, amount) in asked.iter_mut().flatten() {
            bucket.tokens -= as_tokens(*amount);
        }
        Ok(())
    }

    fn buckets(&self, principal: &str, now: Instant) -> Buckets {
        let name = format!("={principal}");
        let rules = self.rules.load();
        let rule = rules.iter().find(|rule| rule.principal.matches(&name));
        let bucket = |rate: Rate| Bucket { rate, tokens: as_tokens(rate.per_second), at: now };
        Buckets {
            events: rule.and_then(|rule| rule.events).map(bucket),
            bytes: rule.and_then(|rule| rule.bytes).map(bucket),
        }
    }
}

fn rules(quotas: &[Quota]) -> Vec<Rule> {
    let rate = |policy, unit| move |per_second| Rate { policy, unit, per_second };
    let rule = |quota: &Quota| Rule {
        principal: unreserved(quota.principal.as_str()),
        events: quota.events_per_second.map(rate("events", "requests")),
        bytes: quota.bytes_per_second.map(rate("bytes", "content-bytes")),
    };
    quotas.iter().map(rule).collect()
}

/// A pattern over principals after a `=`: the rule that keeps wildcards from reserved topic names must not let a
/// principal called `_x` past its quota.
fn unreserved(pattern: &str) -> Pattern {
    Pattern::new(&format!("={pattern}"))
}

impl Buckets {
    fn is_in_use(&mut self, now: Instant) -> bool {
        [&mut self.events, &mut self.bytes].into_iter().flatten().any(|bucket| {
            bucket.refill(now);
            bucket.tokens < as_tokens(bucket.rate.per_second)
        })
    }
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let rate = as_tokens(self.rate.per_second);
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = rate.mul_add(elapsed, self.tokens).min(rate);
        self.at = now;
    }

    fn admit(&self, amount: u64) -> Result<(), Exhausted> {
        let Rate { policy, unit, per_second } = self.rate;
        let missing = as_tokens(amount.min(per_second)) - self.tokens;
        if missing <= 0.0 && per_second > 0 {
            return Ok(());
        }
        let retry_after = Duration::try_from_secs_f64(missing / as_tokens(per_second))
            .unwrap_or(Duration::from_secs(3_600));
        let used = Used { policy, unit, quota: per_second, window: WINDOW, remaining: whole(self.tokens) };
        Err(Exhausted { retry_after, used })
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^53")]
const fn as_tokens(amount: u64) -> f64 {
    amount as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, and at most a rate that was a u64"
)]
fn whole(tokens: f64) -> u64 {
    tokens.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Metrics, PRINCIPALS_MAX, Quotas};
    use crate::event::Pattern;
    use crate::publish::Quota;
    use crate::telemetry::Registry;

    fn quotas(principal: &str, events: Option<u64>, bytes: Option<u64>) -> Quotas {
        let quota =
            Quota { principal: Pattern::new(principal), events_per_second: events, bytes_per_second: bytes };
        Quotas::new(&[quota], Arc::new(Metrics::register(&Registry::new())))
    }

    #[tokio::test(start_paused = true)]
    async fn one_seconds_worth_passes_at_once_and_more_waits() {
        let quotas = quotas("service:*", Some(10), None);
        for _ in 0..10 {
            quotas.take("service:a", 1, 1).unwrap();
        }
        let exhausted = quotas.take("service:a", 1, 1).unwrap_err();
        assert_eq!(exhausted.retry_after, Duration::from_millis(100));
        assert_eq!((exhausted.used.quota, exhausted.used.remaining), (10, 0));
        tokio::time::advance(Duration::from_millis(100)).await;
        quotas.take("service:a", 1, 1).unwrap();
        assert!(quotas.take("service:a", 1, 1).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn each_principal_has_its_own_and_others_have_none() {
        let quotas = quotas("service:*", Some(1), None);
        quotas.take("service:a", 1, 1).unwrap();
        assert!(quotas.take("service:a", 1, 1).is_err());
        quotas.take("service:b", 1, 1).unwrap();
        for _ in 0..100 {
            quotas.take("person", 1, 1).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_above_the_rate_passes_once_and_leaves_a_debt() {
        let quotas = quotas("**", Some(100), None);
        quotas.take("_a", 250, 1).unwrap();
        assert_eq!(quotas.take("_a", 1, 1).unwrap_err().retry_after, Duration::from_millis(1_510));
        tokio::time::advance(Duration::from_millis(1_510)).await;
        quotas.take("_a", 1, 1).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_bucket_refuses_the_other_does_not_pay() {
        let quotas = quotas("**", Some(2), Some(100));
        quotas.take("a", 1, 100).unwrap();
        assert_eq!(quotas.take("a", 1, 1).unwrap_err().used.policy, "bytes");
        tokio::time::advance(Duration::from_millis(10)).await;
        quotas.take("a", 1, 1).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn other_quotas_hold_from_the_next_event_on_and_equal_ones_change_nothing() {
        let quota = |events| Quota {
            principal: Pattern::new("**"),
            events_per_second: Some(events),
            bytes_per_second: None,
        };
        let quotas = quotas("**", Some(1), None);
        quotas.take("a", 1, 1).unwrap();
        quotas.replace(&[quota(1)]);
        assert!(quotas.take("a", 1, 1).is_err());
        quotas.replace(&[quota(2)]);
        quotas.take("a", 2, 1).unwrap();
        assert!(quotas.take("a", 1, 1).is_err());
        quotas.replace(&[]);
        quotas.take("a", 100, 1).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn principals_measured_are_bounded() {
        let quotas = quotas("**", Some(10), None);
        for number in 0..PRINCIPALS_MAX + 10 {
            quotas.take(&number.to_string(), 1, 1).unwrap();
        }
        assert_eq!(quotas.principals.lock().unwrap().len(), PRINCIPALS_MAX);
        tokio::time::advance(Duration::from_secs(1)).await;
        quotas.take("another", 1, 1).unwrap();
        assert_eq!(quotas.principals.lock().unwrap().len(), 1, "those at rest leave first");
    }
}
