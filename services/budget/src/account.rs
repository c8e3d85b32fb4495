//! What a scope's window has cost, may yet cost, and has left.

use headgate_proto::budget::v1::CapTerms;

/// A scope's money in the present window, in nano-USD. Every sum fits: 128 bits for 64-bit parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// From records, as stored.
    booked: i128,
    /// Of leases that ended and whose record has not come yet.
    settled: i128,
    /// The worst case of running leases.
    held: i128,
}

impl Account {
    /// An account that a store remembers.
    pub(crate) fn booked(nano_usd: i64) -> Self {
        Self { booked: nano_usd.into(), ..Self::default() }
    }

    /// An account by its parts: booked, settled, held.
    pub(crate) fn of(booked: i128, settled: i128, held: i128) -> Self {
        Self { booked, settled, held }
    }

    /// A lease begins.
    pub(crate) fn hold(&mut self, nano_usd: i64) {
        self.held += i128::from(nano_usd);
    }

    /// A lease ends without cost, or its record takes over.
    pub(crate) fn release(&mut self, nano_usd: i64) {
        self.held -= i128::from(nano_usd);
    }

    /// A lease ends, and its record will come.
    pub(crate) fn settle(&mut self, hold: i64, cost: i64) {
        self.held -= i128::from(hold);
        self.settled += i128::from(cost);
    }

    /// The record of a settled lease has come.
    pub(crate) fn unsettle(&mut self, cost: i64) {
        self.settled -= i128::from(cost);
    }

    /// A record was stored: by how much it changes the spend.
    pub(crate) fn book(&mut self, delta: i64) {
        self.booked += i128::from(delta);
    }

    /// What ended requests cost.
    pub(crate) fn spent(&self) -> i64 {
        narrow(self.booked + self.settled)
    }

    /// What running requests may yet cost.
    pub(crate) fn held(&self) -> i64 {
        narrow(self.held)
    }

    /// What a limit leaves; negative after an overrun.
    pub(crate) fn remaining(&self, limit: i64) -> i64 {
        narrow(i128::from(limit) - self.booked - self.settled - self.held)
    }
}

/// The longest answer that fits into `remaining`, in tokens, and what prompt and answer then cost at most. `None` when
/// not one token fits, or when a shorter answer would not be cheaper.
pub(crate) fn cap(remaining: i64, terms: &CapTerms) -> Option<(u32, i64)> {
    let price = i128::from(terms.output_nano_usd_per_1k_tokens);
    let room = i128::from(remaining) - i128::from(terms.prompt_nano_usd);
    if price <= 0 || room <= 0 {
        return None;
    }
    let tokens = u32::try_from(room * 1000 / price).unwrap_or(u32::MAX);
    let answer = (i128::from(tokens) * price + 999) / 1000;
    (tokens > 0).then(|| (tokens, narrow(i128::from(terms.prompt_nano_usd) + answer)))
}

/// What tokens cost at a price per 1,000, rounded half up once.
pub(crate) fn cost(tokens: u32, nano_usd_per_1k_tokens: i64) -> i64 {
    narrow((i128::from(tokens) * i128::from(nano_usd_per_1k_tokens) + 500).div_euclid(1000))
}

fn narrow(n: i128) -> i64 {
    i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_a_nano_rounds_up() {
        assert_eq!((cost(1, 499), cost(1, 500), cost(3, 500)), (0, 1, 2));
    }

    #[test]
    fn a_free_answer_cannot_be_capped() {
        assert_eq!(cap(5, &CapTerms { prompt_nano_usd: 9, output_nano_usd_per_1k_tokens: 0 }), None);
    }

    proptest! {
        #[test]
        fn a_cap_is_the_largest_that_fits(
            remaining in -10i64..10_000_000,
            prompt_nano_usd in 0i64..1_000_000,
            output_nano_usd_per_1k_tokens in 1i64..100_000_000,
        ) {
            let terms = CapTerms { prompt_nano_usd, output_nano_usd_per_1k_tokens };
            let costs = |n: u32| {
                let answer = (i128::from(n) * i128::from(output_nano_usd_per_1k_tokens) + 999) / 1000;
                i128::from(prompt_nano_usd) + answer
            };
            match cap(remaining, &terms) {
                None => prop_assert!(costs(1) > i128::from(remaining)),
                Some((tokens, hold)) => {
                    prop_assert_eq!(i128::from(hold), costs(tokens));
                    prop_assert!(hold <= remaining);
                    prop_assert!(costs(tokens + 1) > i128::from(remaining));
                }
            }
        }
    }
}
