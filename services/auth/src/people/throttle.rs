//! How often one may fail to log in.
//!
//! Three meters stand before every try: of the network, of the account from that network, and of the account from
//! wherever. The second is small, so that nobody guesses a password from one place; the third is large, so that who is
//! guessed at from many places can still log in from their own for long. A try is charged before it is looked at, so
//! that many at once are no more than one after the other, and a good one is given back. What is remembered is bounded;
//! the longest unseen is forgotten first.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::error::ErrorReason;
use headgate_kit::gcra::{MINUTE, Meter, Rate};
use headgate_kit::strangers::network_of;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;

const OF_NETWORK: Rate = Rate { limit: 60, period: MINUTE, burst: 100 };
const OF_ACCOUNT_THERE: Rate = Rate { limit: 2, period: MINUTE, burst: 10 };
const OF_ACCOUNT: Rate = Rate { limit: 6, period: MINUTE, burst: 100 };
/// By then every meter is empty.
const DRAINED: Duration = Duration::from_secs(20 * 60);
const REMEMBERED: u64 = 50_000;

/// Counts tries. Cheap to clone; clones share the counts.
#[derive(Clone)]
pub(crate) struct Throttle {
    meters: Cache<u64, Arc<Mutex<Meter>>>,
    hasher: RandomState,
    clock: Clock,
}

/// A try that was charged.
pub(crate) struct Try(Vec<(Rate, Arc<Mutex<Meter>>)>);

impl Throttle {
    pub(crate) fn new(clock: Clock) -> Self {
        let meters = Cache::builder()
            .max_capacity(REMEMBERED)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(DRAINED)
            .build();
        Self { meters, hasher: RandomState::new(), clock }
    }

    /// Charges a try. `account` is what is tried to be; `None` where that is nobody in particular.
    ///
    /// # Errors
    /// RATE_LIMITED with the time to come back.
    pub(crate) fn begin(&self, address: Option<IpAddr>, account: Option<&str>) -> Result<Try, Failure> {
        let network = address.map(network_of);
        let mut meters = Vec::with_capacity(3);
        if network.is_some() {
            meters.push((OF_NETWORK, self.meter(network, None)));
        }
        if account.is_some() {
            if network.is_some() {
                meters.push((OF_ACCOUNT_THERE, self.meter(network, account)));
            }
            meters.push((OF_ACCOUNT, self.meter(None, account)));
        }
        let now = self.clock.unix_micros();
        let mut charged = Try(Vec::with_capacity(meters.len()));
        for (rate, meter) in meters {
            let wait = {
                let mut meter = meter.lock();
                let wait = meter.wait(rate, now, 1);
                if wait == 0 {
                    meter.take(rate, now, 1);
                }
                wait
            };
            if wait > 0 {
                // Whoever is refused by one meter is no charge to the others.
                charged.forgive();
                return Err(too_often(Duration::from_micros(u64::try_from(wait).unwrap_or(0))));
            }
            charged.0.push((rate, meter));
        }
        Ok(charged)
    }

    fn meter(&self, network: Option<IpAddr>, account: Option<&str>) -> Arc<Mutex<Meter>> {
        self.meters.get_with(self.hasher.hash_one((network, account)), Arc::default)
    }
}

impl Try {
    /// It was a good one.
    pub(crate) fn forgive(self) {
        for (rate, meter) in self.0 {
            meter.lock().give_back(rate.period, 1);
        }
    }
}

fn too_often(wait: Duration) -> Failure {
    // Whole seconds, upwards, as HTTP says it.
    let wait = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    Failure::new(ErrorReason::RateLimited, "too many tries to log in, try again later").retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> (Throttle, Clock) {
        let clock = Clock::manual(5);
        (Throttle::new(clock.clone()), clock)
    }

    fn ip(n: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, n]))
    }

    #[test]
    fn an_account_is_tried_ten_times_from_one_place_and_still_reached_from_another() {
        let (throttle, clock) = throttle();
        let tries = |n| (0..200).filter(|_| throttle.begin(ip(n), Some("ada")).is_ok()).count();
        assert_eq!(tries(1), 10);
        let refusal = throttle.begin(ip(1), Some("ada")).err().unwrap();
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(30)));
        assert!(throttle.begin(ip(2), Some("ada")).is_ok());
        assert!(throttle.begin(ip(1), Some("bob")).is_ok(), "who fails at one account may have another");
        clock.advance(Duration::from_secs(30));
        assert_eq!(tries(1), 1);
        assert_eq!((3..30).map(tries).sum::<usize>(), 100 - 12 + 3, "the whole account's, refilled by 30 s");
    }

    #[test]
    fn a_network_tries_a_hundred_accounts() {
        let (throttle, _) = throttle();
        let tried = (0..500).filter(|n| throttle.begin(ip(1), Some(&format!("user {n}"))).is_ok()).count();
        assert_eq!(tried, 100);
        assert!(throttle.begin(None, Some("user 499")).is_ok(), "refused tries charge no account");
    }

    #[test]
    fn good_tries_are_no_charge() {
        let (throttle, _) = throttle();
        for _ in 0..500 {
            throttle.begin(ip(1), Some("ada")).ok().unwrap().forgive();
        }
    }
}
