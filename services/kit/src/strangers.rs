//! How often callers of one address may fail to say who they are.
//!
//! Promises that good callers are not hurt by bad ones of their address: an address that failed too often may still be
//! served by what is known already, and only what claims to be whom it failed to be is refused unheard. So a flood of
//! made-up credentials is no load on whoever would have to be asked for each, and guessing takes as long as the rate
//! says. What is remembered is bounded; the longest unseen is forgotten first.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::gcra::{Meter, Rate, SECOND};

/// Metadata of a call whose caller's address failed too often: let it in only if that needs nobody to be asked. Anyone
/// may send it, and harms but itself.
pub const X_KNOWN_ONLY: HeaderName = HeaderName::from_static("x-headgate-known-only");
/// How many addresses, and claims of addresses, are remembered.
const REMEMBERED: u64 = 20_000;

/// How often one address may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Failures per second that are answered as such. `None`: as many as there are.
    pub per_second: Option<u32>,
    /// Failures at once, before the rate counts.
    pub burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { per_second: Some(10), burst: 100 }
    }
}

impl Config {
    /// What is wrong with it.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let zero = self.per_second == Some(0) || self.burst == 0;
        zero.then(|| "per_second and burst must be at least 1".to_owned())
    }
}

/// What may be done for a caller whose credential was not looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Everything.
    Clear,
    /// Its address failed too often: only what needs nobody to be asked, see [`X_KNOWN_ONLY`].
    Watched,
    /// Nothing for so long: its address failed too often to be whom it claims to be.
    Refused(Duration),
}

/// Remembers who failed. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Strangers {
    rate: Option<Rate>,
    meters: Cache<Source, Arc<Mutex<Meter>>>,
    hasher: RandomState,
    clock: Clock,
}

/// An address with all that comes from it, or with one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Source {
    network: IpAddr,
    claim: Option<u64>,
}

impl Strangers {
    /// Nobody failed yet.
    #[must_use]
    pub fn new(config: &Config, clock: Clock) -> Self {
        let burst = config.burst.max(1);
        let rate = config.per_second.map(|n| Rate { burst, ..Rate::new(n.max(1), SECOND) });
        // By then whatever was counted has drained.
        let drained = burst.div_ceil(config.per_second.unwrap_or(1).max(1));
        let meters = Cache::builder()
            .max_capacity(REMEMBERED)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(Duration::from_secs(u64::from(drained) + 1))
            .build();
        Self { rate, meters, hasher: RandomState::new(), clock }
    }

    /// Whether failures are counted at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.rate.is_some()
    }

    /// Whether nobody failed of late, so that everyone's standing is clear.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.meters.entry_count() == 0
    }

    /// What may be done for a caller. `claim` is what a credential says openly of whose it is.
    #[must_use]
    pub fn standing(&self, address: IpAddr, claim: Option<&[u8]>) -> Standing {
        let (of_address, of_claim) = self.sources(address, claim);
        if self.wait(of_address).is_none() {
            return Standing::Clear;
        }
        of_claim.and_then(|source| self.wait(source)).map_or(Standing::Watched, Standing::Refused)
    }

    /// A caller failed. Returns how long it has to wait where its address failed too often already.
    #[must_use]
    pub fn failed(&self, address: IpAddr, claim: Option<&[u8]>) -> Option<Duration> {
        let was_quiet = self.is_quiet();
        let (of_address, of_claim) = self.sources(address, claim);
        let claim_waits = of_claim.and_then(|source| self.charge(source));
        let waits = self.charge(of_address).max(claim_waits);
        if was_quiet {
            // Otherwise it would be quiet for a moment longer.
            self.meters.run_pending_tasks();
        }
        waits
    }

    fn sources(&self, address: IpAddr, claim: Option<&[u8]>) -> (Source, Option<Source>) {
        let network = network_of(address);
        let of_claim = claim.map(|claim| Source { network, claim: Some(self.hasher.hash_one(claim)) });
        (Source { network, claim: None }, of_claim)
    }

    /// How long a source has to wait, if it failed too often.
    fn wait(&self, source: Source) -> Option<Duration> {
        let (rate, meter) = (self.rate?, self.meters.get(&source)?);
        let wait = meter.lock().wait(rate, self.clock.unix_micros(), 1);
        duration(wait)
    }

    /// Counts a failure, unless there were too many already.
    fn charge(&self, source: Source) -> Option<Duration> {
        let rate = self.rate?;
        let meter = self.meters.get_with(source, Arc::default);
        let (mut meter, now) = (meter.lock(), self.clock.unix_micros());
        let wait = meter.wait(rate, now, 1);
        if wait == 0 {
            meter.take(rate, now, 1);
        }
        duration(wait)
    }
}

/// What a credential says openly of whose it is: of an API key what stands before the secret, of anything else nothing.
#[must_use]
pub fn claim_of(credential: &[u8]) -> &[u8] {
    let scheme = credential.split_first_chunk::<7>().filter(|(s, _)| s.eq_ignore_ascii_case(b"bearer "));
    let token = scheme.map_or(credential, |(_, token)| token).trim_ascii();
    token.iter().position(|byte| *byte == b'.').map_or(&[], |end| &token[..end])
}

/// Nothing where there is nothing to wait for.
fn duration(micros: i64) -> Option<Duration> {
    (micros > 0).then(|| Duration::from_micros(micros.unsigned_abs()))
}

/// What one caller may well have all of: an address of IPv4, or 64 bits of IPv6.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strangers(per_second: Option<u32>, burst: u32) -> (Strangers, Clock) {
        let clock = Clock::manual(1_000_000);
        (Strangers::new(&Config { per_second, burst }, clock.clone()), clock)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_that_failed_too_often_is_watched_until_the_rate_forgives_it() {
        let (strangers, clock) = strangers(Some(10), 3);
        let (bad, good) = (ip("192.0.2.1"), ip("192.0.2.2"));
        assert!(strangers.is_quiet());
        for claim in [&b"a"[..], b"b", b"c"] {
            assert_eq!(strangers.standing(bad, Some(claim)), Standing::Clear);
            assert_eq!(strangers.failed(bad, Some(claim)), None);
        }
        assert!(!strangers.is_quiet());
        assert_eq!(strangers.failed(bad, None), Some(Duration::from_millis(100)));
        assert_eq!(strangers.standing(bad, Some(b"d")), Standing::Watched);
        assert_eq!(strangers.standing(bad, None), Standing::Watched);
        assert_eq!(strangers.standing(good, Some(b"a")), Standing::Clear);
        clock.advance(Duration::from_millis(100));
        assert_eq!(strangers.standing(bad, None), Standing::Clear);
    }

    #[test]
    fn whom_an_address_failed_to_be_it_cannot_be_for_a_while() {
        let (strangers, clock) = strangers(Some(1), 2);
        let address = ip("192.0.2.1");
        // Others of its address do not help it, nor does it help that they failed before.
        for _ in 0..2 {
            assert_eq!(strangers.failed(address, Some(b"other")), None);
        }
        for _ in 0..2 {
            assert_eq!(strangers.standing(address, Some(b"victim")), Standing::Watched);
            assert!(strangers.failed(address, Some(b"victim")).is_some());
        }
        let refused = Standing::Refused(Duration::from_secs(1));
        assert_eq!(strangers.standing(address, Some(b"victim")), refused);
        assert_eq!(strangers.standing(address, Some(b"somebody")), Standing::Watched);
        clock.advance(Duration::from_secs(1));
        assert_eq!(strangers.standing(address, Some(b"victim")), Standing::Clear);
    }

    #[test]
    fn a_key_claims_to_be_what_stands_before_its_secret() {
        let claimed = |credential: &'static str| str::from_utf8(claim_of(credential.as_bytes())).unwrap();
        assert_eq!(claimed("Bearer sk-a.b.c"), "sk-a");
        assert_eq!(claimed("bearer  sk-a.b"), "sk-a");
        assert_eq!(claimed("sk-a.b"), "sk-a");
        assert_eq!(claimed("Bearer token"), "");
        assert_eq!(claimed(""), "");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_mapped_ones_are_ipv4() {
        let (strangers, _) = strangers(Some(1), 1);
        assert_eq!(strangers.failed(ip("2001:db8::1"), None), None);
        assert_eq!(strangers.standing(ip("2001:db8::ffff:0:0:1"), None), Standing::Watched);
        assert_eq!(strangers.standing(ip("2001:db8:0:1::1"), None), Standing::Clear);
        assert_eq!(strangers.failed(ip("::ffff:192.0.2.1"), None), None);
        assert_eq!(strangers.standing(ip("192.0.2.1"), None), Standing::Watched);
        assert_eq!(strangers.standing(ip("192.0.2.2"), None), Standing::Clear);
    }

    #[test]
    fn without_a_rate_nobody_is_watched() {
        let (strangers, _) = strangers(None, 1);
        for _ in 0..1000 {
            assert_eq!(strangers.failed(ip("192.0.2.1"), Some(b"a")), None);
        }
        assert!(strangers.is_quiet());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest_stays() {
        let (strangers, _) = strangers(Some(1), 1);
        let latest = ip("192.0.2.1");
        for n in 0..3 * u32::try_from(REMEMBERED).unwrap() {
            let _ = strangers.failed(IpAddr::from(n.to_be_bytes()), None);
            let _ = strangers.failed(latest, None);
        }
        strangers.meters.run_pending_tasks();
        assert!(strangers.meters.entry_count() <= REMEMBERED);
        assert_eq!(strangers.standing(latest, None), Standing::Watched);
    }
}
