//! Who may connect: bounds on all connections, on those of one address, and on new ones a second.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::metrics::Metrics;
use super::{LiveLimits, Network};

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many in all.
    Total,
    /// Too many from this address.
    Address,
    /// Too many in this second.
    Rate,
}

impl Refusal {
    /// The word in metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Address => "address",
            Self::Rate => "rate",
        }
    }
}

/// The doorkeeper, one for all shards.
#[derive(Debug)]
pub(super) struct Admission {
    limits: LiveLimits,
    trusted: Vec<Network>,
    metrics: Metrics,
    open: AtomicUsize,
    /// Guards the counts per address; an entry lives while it is above 0.
    by_address: Mutex<HashMap<IpAddr, usize>>,
    /// Guards the allowance of new connections.
    allowance: Mutex<Allowance>,
}

#[derive(Debug)]
struct Allowance {
    tokens: f64,
    at: Instant,
}

impl Admission {
    /// A doorkeeper with these limits; addresses in `trusted` are not counted one by one.
    pub(super) fn new(limits: LiveLimits, trusted: Vec<Network>, metrics: Metrics) -> Self {
        let tokens = f64::from(limits.load().connections_new_per_second_max);
        Self {
            limits,
            trusted,
            metrics,
            open: AtomicUsize::new(0),
            by_address: Mutex::default(),
            allowance: Mutex::new(Allowance { tokens, at: Instant::now() }),
        }
    }

    /// Lets a connection in, for as long as the permit lives.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Permit, Refusal> {
        self.decide(peer).inspect_err(|refusal| self.metrics.refused(refusal.as_str()))
    }

    /// Whether the address belongs to a proxy of ours.
    pub(super) fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    fn decide(self: &Arc<Self>, peer: IpAddr) -> Result<Permit, Refusal> {
        let counted = (!self.is_trusted(peer)).then(|| neighbourhood(peer));
        if let Some(address) = counted {
            let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(address).or_insert(0);
            if *count >= self.limits.load().connections_per_address_max {
                return Err(Refusal::Address);
            }
            *count += 1;
        }
        self.open.fetch_add(1, Ordering::AcqRel);
        self.metrics.connections.inc();
        let permit = Permit { admission: Arc::clone(self), counted };
        if self.open.load(Ordering::Acquire) > self.limits.load().connections_max {
            return Err(Refusal::Total);
        }
        if self.take_token() { Ok(permit) } else { Err(Refusal::Rate) }
    }

    /// A bucket that holds one second's worth.
    fn take_token(&self) -> bool {
        let rate = f64::from(self.limits.load().connections_new_per_second_max);
        let now = Instant::now();
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = now.duration_since(allowance.at).as_secs_f64() * rate;
        allowance.tokens = (allowance.tokens + gained).min(rate);
        allowance.at = now;
        let is_left = allowance.tokens >= 1.0;
        if is_left {
            allowance.tokens -= 1.0;
        }
        is_left
    }
}

/// A connection's place.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    counted: Option<IpAddr>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::AcqRel);
        self.admission.metrics.connections.dec();
        let Some(address) = self.counted else { return };
        let mut counts = self.admission.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = counts.entry(address) {
            if *entry.get() > 1 {
                *entry.get_mut() -= 1;
            } else {
                entry.remove();
            }
        }
    }
}

/// One home has one IPv4 address or one /64 of IPv6.
fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::metrics::Metrics;
    use super::super::{Limits, LiveLimits, Network};
    use super::{Admission, Refusal};
    use crate::telemetry::Registry;

    fn admission(total: usize, per_address: usize, per_second: u32) -> Arc<Admission> {
        let limits = Limits {
            connections_max: total,
            connections_per_address_max: per_address,
            connections_new_per_second_max: per_second,
            ..Limits::for_tests()
        };
        let trusted = vec![Network::parse("10.0.0.0/8").unwrap()];
        Arc::new(Admission::new(LiveLimits::new(limits), trusted, Metrics::register(&Registry::new())))
    }

    fn from(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_cannot_take_all_places() {
        let admission = admission(10, 2, 100);
        let first = admission.admit(from("192.0.2.1")).unwrap();
        let _second = admission.admit(from("::ffff:192.0.2.1")).unwrap();
        assert_eq!(admission.admit(from("192.0.2.1")).unwrap_err(), Refusal::Address);
        let _other = admission.admit(from("192.0.2.2")).unwrap();
        drop(first);
        assert!(admission.admit(from("192.0.2.1")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn ipv6_counts_by_network_and_trusted_proxies_not_at_all() {
        let admission = admission(10, 1, 100);
        let _home = admission.admit(from("2001:db8::1")).unwrap();
        assert_eq!(admission.admit(from("2001:db8::2")).unwrap_err(), Refusal::Address);
        let _proxied =
            [admission.admit(from("10.0.0.1")).unwrap(), admission.admit(from("10.0.0.1")).unwrap()];
    }

    #[tokio::test(start_paused = true)]
    async fn the_total_is_bounded_and_given_back() {
        let admission = admission(1, 5, 100);
        let only = admission.admit(from("192.0.2.1")).unwrap();
        assert_eq!(admission.admit(from("192.0.2.2")).unwrap_err(), Refusal::Total);
        drop(only);
        assert!(admission.admit(from("192.0.2.2")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn new_connections_have_a_rate() {
        let admission = admission(100, 100, 2);
        assert!(admission.admit(from("192.0.2.1")).is_ok() && admission.admit(from("192.0.2.1")).is_ok());
        assert_eq!(admission.admit(from("192.0.2.1")).unwrap_err(), Refusal::Rate);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert!(admission.admit(from("192.0.2.1")).is_ok());
    }
}
