//! The generic cell rate algorithm (ITU-T I.371) in its leaky-bucket form: a burst at once, then an even refill.
//!
//! Integer arithmetic throughout: the fill is kept in cells times microseconds of the period, so that no rate, however
//! odd, is ever rounded.

/// One second, in microseconds.
pub const SECOND: i64 = 1_000_000;
/// One minute, in microseconds.
pub const MINUTE: i64 = 60 * SECOND;

/// How many cells a period lets through, and how many come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Cells, at least 1.
    pub limit: u32,
    /// The period in microseconds, at least 1.
    pub period: i64,
    /// What the bucket holds, at least 1 cell.
    pub burst: u32,
}

impl Rate {
    /// All that a period lets through may come at once.
    #[must_use]
    pub fn new(limit: u32, period: i64) -> Self {
        Self { limit, period, burst: limit }
    }

    fn limit(self) -> i128 {
        i128::from(self.limit.max(1))
    }

    fn burst(self) -> i128 {
        i128::from(self.burst.max(1))
    }

    fn cells(self, n: i64) -> i128 {
        i128::from(n) * i128::from(self.period)
    }

    /// A cost as the bucket sees it: what is larger than the bucket needs the whole of it, but is never impossible.
    #[must_use]
    pub fn clamp(self, cost: u32) -> u32 {
        cost.min(self.burst.max(1))
    }
}

/// One bucket. Starts empty, which means that the whole burst is there at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    /// Cells times the period's microseconds. More than the bucket holds is a debt.
    fill: i128,
    /// When `fill` was true, in microseconds.
    at: i64,
    /// The burst that `fill` was counted under.
    burst: u32,
}

impl Meter {
    /// A meter as text has it: whole cells, parts of a cell, since when, and the burst it was counted under. A period's
    /// microseconds of parts make a cell. `None` for any other text.
    #[must_use]
    pub fn read(text: &str, period: i64) -> Option<Self> {
        let mut words = text.split(' ');
        let cells: i128 = words.next()?.parse().ok()?;
        let parts: i128 = words.next()?.parse().ok()?;
        let (at, burst) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let fill = cells.checked_mul(period.into())?.checked_add(parts)?;
        words.next().is_none().then_some(Self { fill, at, burst })
    }

    /// How long until `cost` cells fit, in microseconds. 0 when they do now.
    #[must_use]
    pub fn wait(&self, rate: Rate, now: i64, cost: u32) -> i64 {
        let room = rate.burst() * i128::from(rate.period);
        let excess = self.fill_at(rate, now) + rate.cells(i64::from(rate.clamp(cost))) - room;
        if excess <= 0 {
            return 0;
        }
        i64::try_from((excess + rate.limit() - 1) / rate.limit()).unwrap_or(i64::MAX)
    }

    /// Takes `cost` cells, whether they fit or not, and tells how many were charged.
    pub fn take(&mut self, rate: Rate, now: i64, cost: u32) -> u32 {
        let charged = rate.clamp(cost);
        self.adjust(rate, now, i64::from(charged));
        charged
    }

    /// Charges more cells after the fact (even into debt), or gives some back when `by` is negative.
    pub fn adjust(&mut self, rate: Rate, now: i64, by: i64) {
        let fill = self.fill_at(rate, now) + rate.cells(by);
        *self = Self { fill: fill.max(0), at: self.at.max(now), burst: rate.burst.max(1) };
    }

    /// Gives cells back that were charged and not used. What drains meanwhile drains all the same, so it need not be
    /// known how fast.
    pub fn give_back(&mut self, period: i64, cells: u32) {
        self.fill = (self.fill - i128::from(cells) * i128::from(period)).max(0);
    }

    /// A clock that went backwards drains nothing. A burst that was changed keeps the share that is used.
    fn fill_at(&self, rate: Rate, now: i64) -> i128 {
        let elapsed = i128::from(now.saturating_sub(self.at).max(0));
        let fill = match i128::from(self.burst) {
            0 => 0,
            old if old == rate.burst() => self.fill,
            old => (self.fill * rate.burst() + old - 1) / old,
        };
        (fill - elapsed * rate.limit()).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn admit(meter: &mut Meter, rate: Rate, now: i64, cost: u32) -> bool {
        let fits = meter.wait(rate, now, cost) == 0;
        if fits {
            meter.take(rate, now, cost);
        }
        fits
    }

    #[test]
    fn sixty_at_once_then_one_a_second() {
        let (mut meter, rate) = (Meter::default(), Rate::new(60, MINUTE));
        assert_eq!((0..100).filter(|_| admit(&mut meter, rate, 5, 1)).count(), 60);
        assert_eq!(meter.wait(rate, 5, 1), SECOND);
        assert!(!admit(&mut meter, rate, 5 + SECOND - 1, 1));
        assert!(admit(&mut meter, rate, 5 + SECOND, 1));
    }

    #[test]
    fn what_is_larger_than_the_bucket_waits_for_all_of_it() {
        let (mut meter, rate) = (Meter::default(), Rate::new(100, MINUTE));
        assert_eq!(meter.take(rate, 0, 1), 1);
        assert_eq!(meter.wait(rate, 0, 5000), MINUTE / 100);
        assert_eq!(meter.take(rate, MINUTE / 100, 5000), 100);
    }

    #[test]
    fn debt_delays_and_refund_hastens() {
        let (mut meter, rate) = (Meter::default(), Rate::new(60, MINUTE));
        meter.take(rate, 0, 60);
        meter.adjust(rate, 0, 30);
        assert_eq!(meter.wait(rate, 0, 1), 31 * SECOND);
        meter.adjust(rate, 0, -90);
        assert_eq!(meter.wait(rate, 0, 60), 0);
        meter.adjust(rate, 0, -90);
        assert_eq!(meter.wait(rate, 0, 60), 0, "a refund never exceeds the bucket");
        assert_eq!((0..99).filter(|_| admit(&mut meter, rate, 0, 1)).count(), 60);
    }

    #[test]
    fn a_changed_limit_keeps_the_share_used() {
        let mut meter = Meter::default();
        meter.take(Rate::new(100, MINUTE), 0, 50);
        assert_eq!(meter.wait(Rate::new(10, MINUTE), 0, 5), 0);
        assert_eq!(meter.wait(Rate::new(10, MINUTE), 0, 6), MINUTE / 10);
    }

    #[test]
    fn a_burst_comes_at_once_and_then_the_rate() {
        for (burst, at_once) in [(20, 20), (3, 3), (1, 1)] {
            let (mut meter, rate) = (Meter::default(), Rate { burst, ..Rate::new(10, SECOND) });
            assert_eq!((0..100).filter(|_| admit(&mut meter, rate, 5, 1)).count(), at_once);
            assert_eq!(meter.wait(rate, 5, 1), SECOND / 10);
            assert_eq!((0..100).filter(|_| admit(&mut meter, rate, 5 + SECOND, 1)).count(), at_once.min(10));
        }
    }

    #[test]
    fn a_changed_burst_keeps_the_share_used() {
        let mut meter = Meter::default();
        meter.take(Rate { burst: 40, ..Rate::new(10, SECOND) }, 0, 20);
        let smaller = Rate { burst: 10, ..Rate::new(10, SECOND) };
        assert_eq!((meter.wait(smaller, 0, 5), meter.wait(smaller, 0, 6)), (0, SECOND / 10));
    }

    proptest! {
        /// In any span of t, no more than B + N * t / period cells pass; and the wait it names is exact.
        #[test]
        fn never_more_than_the_rate(
            limit in 1u32..5000,
            burst in 1u32..5000,
            second in any::<bool>(),
            steps in prop::collection::vec((0i64..3_000_000, 1u32..50), 1..200),
        ) {
            let rate = Rate { limit, period: if second { SECOND } else { MINUTE }, burst };
            let (mut meter, mut now, mut passed) = (Meter::default(), 0i64, Vec::new());
            for (gap, cost) in steps {
                now += gap;
                let cost = rate.clamp(cost);
                let wait = meter.wait(rate, now, cost);
                if wait > 0 {
                    prop_assert!(meter.wait(rate, now + wait - 1, cost) > 0);
                    prop_assert_eq!(meter.wait(rate, now + wait, cost), 0);
                }
                if admit(&mut meter, rate, now, cost) {
                    passed.push((now, i128::from(cost)));
                }
            }
            for (i, (from, _)) in passed.iter().enumerate() {
                let mut sum = 0;
                for (at, cost) in &passed[i..] {
                    sum += cost;
                    let refilled = i128::from(limit) * i128::from(at - from);
                    let allowed = i128::from(burst) * i128::from(rate.period) + refilled;
                    prop_assert!(sum * i128::from(rate.period) <= allowed);
                }
            }
        }

        /// A client that always waits exactly as told gets the full rate in the long run.
        #[test]
        fn the_long_run_rate_is_reached(limit in 1u32..2000) {
            let rate = Rate::new(limit, MINUTE);
            let (mut meter, mut now) = (Meter::default(), 0i64);
            for _ in 0..limit * 3 {
                now += meter.wait(rate, now, 1);
                prop_assert!(admit(&mut meter, rate, now, 1));
            }
            prop_assert!((now - 2 * MINUTE).abs() <= i64::from(limit), "{now}");
        }
    }
}
