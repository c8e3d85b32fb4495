//! What tokens cost: integers from end to end, rounded half up once.

use headgate_proto::catalog::v1::Price;
use headgate_proto::inference::v1::TokenUsage;

/// The cost of an answer in nano-USD. Saturates instead of overflowing. What took no tokens costs nothing.
#[must_use]
pub(crate) fn cost(price: &Price, usage: &TokenUsage) -> i64 {
    if let Some(request) = price.request_nano_usd {
        return if usage.prompt_tokens == 0 && usage.completion_tokens == 0 { 0 } else { request };
    }
    let cached = i128::from(usage.cached_tokens.min(usage.prompt_tokens));
    let fresh = i128::from(usage.prompt_tokens) - cached;
    let cached_price =
        price.cached_input_nano_usd_per_1k_tokens.unwrap_or(price.input_nano_usd_per_1k_tokens);
    let thousandfold = fresh * i128::from(price.input_nano_usd_per_1k_tokens)
        + cached * i128::from(cached_price)
        + i128::from(usage.completion_tokens) * i128::from(price.output_nano_usd_per_1k_tokens);
    i64::try_from((thousandfold + 500) / 1000).unwrap_or(i64::MAX)
}

/// The dearest of several prices: for each kind of token among those that are paid by tokens, and beside it among those
/// that are paid by requests.
#[must_use]
pub(crate) fn dearest<'a>(prices: impl Iterator<Item = &'a Price>) -> Price {
    let mut dearest = Price::default();
    for price in prices {
        if let Some(request) = price.request_nano_usd {
            dearest.request_nano_usd = dearest.request_nano_usd.max(Some(request));
            continue;
        }
        let cached = price.cached_input_nano_usd_per_1k_tokens.unwrap_or(0);
        let input = price.input_nano_usd_per_1k_tokens.max(cached);
        dearest.input_nano_usd_per_1k_tokens = dearest.input_nano_usd_per_1k_tokens.max(input);
        dearest.output_nano_usd_per_1k_tokens =
            dearest.output_nano_usd_per_1k_tokens.max(price.output_nano_usd_per_1k_tokens);
    }
    dearest
}

/// The most that `prompt` and `completion` tokens can cost in nano-USD: rounded up, and no cache assumed. `price` may be
/// that of several targets, some paid by tokens and some by requests.
#[must_use]
pub(crate) fn worst_case(price: &Price, prompt: u64, completion: u64) -> i64 {
    let input =
        price.input_nano_usd_per_1k_tokens.max(price.cached_input_nano_usd_per_1k_tokens.unwrap_or(0));
    let thousandfold = i128::from(prompt) * i128::from(input)
        + i128::from(completion) * i128::from(price.output_nano_usd_per_1k_tokens);
    let tokens = i64::try_from((thousandfold + 999) / 1000).unwrap_or(i64::MAX);
    tokens.max(price.request_nano_usd.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(prompt_tokens: u32, completion_tokens: u32, cached_tokens: u32) -> TokenUsage {
        TokenUsage { prompt_tokens, completion_tokens, cached_tokens, ..TokenUsage::default() }
    }

    // $0.15 and $0.60 per 1M tokens, cached at $0.075.
    const SMALL: Price = Price {
        input_nano_usd_per_1k_tokens: 150_000,
        output_nano_usd_per_1k_tokens: 600_000,
        cached_input_nano_usd_per_1k_tokens: Some(75_000),
        request_nano_usd: None,
    };

    #[test]
    fn costs_are_exact_to_the_nano_dollar() {
        assert_eq!(cost(&SMALL, &usage(1_000_000, 0, 0)), 150_000_000);
        assert_eq!(cost(&SMALL, &usage(12, 40, 0)), 1_800 + 24_000);
        assert_eq!(cost(&SMALL, &usage(1000, 1, 400)), 90_000 + 30_000 + 600);
    }

    #[test]
    fn a_price_of_requests_overrides_that_of_tokens() {
        let price = Price { request_nano_usd: Some(7_000_000), ..SMALL };
        for took in [usage(1, 0, 0), usage(0, 1, 0), usage(1_000_000, 1_000_000, 5)] {
            assert_eq!(cost(&price, &took), 7_000_000);
        }
        assert_eq!(cost(&price, &usage(0, 0, 0)), 0, "it never began");
        assert_eq!(cost(&Price { request_nano_usd: Some(0), ..SMALL }, &usage(1000, 1, 0)), 0, "free");
    }

    #[test]
    fn what_is_held_covers_targets_that_are_paid_by_tokens_and_by_requests() {
        let by_request = |nano| Price { request_nano_usd: Some(nano), ..Price::default() };
        // Its prices of tokens are never paid.
        let unused = Price { input_nano_usd_per_1k_tokens: i64::MAX, ..by_request(3) };
        let merged = dearest([&SMALL, &by_request(90_000), &unused].into_iter());
        assert_eq!(
            merged,
            Price { cached_input_nano_usd_per_1k_tokens: None, request_nano_usd: Some(90_000), ..SMALL }
        );
        assert_eq!(worst_case(&merged, 100, 10), 90_000, "a request is dearer than 21,000 of tokens");
        assert_eq!(worst_case(&merged, 1000, 100), 210_000, "tokens are");
        assert_eq!(worst_case(&dearest([&unused].into_iter()), 1000, 100), 3);
        assert_eq!(worst_case(&dearest([].into_iter()), 1000, 100), 0);
    }

    #[test]
    fn half_a_nano_dollar_rounds_up_once() {
        let price =
            Price { input_nano_usd_per_1k_tokens: 1, output_nano_usd_per_1k_tokens: 1, ..Price::default() };
        assert_eq!(cost(&price, &usage(499, 0, 0)), 0);
        assert_eq!(cost(&price, &usage(250, 250, 0)), 1);
    }

    #[test]
    fn more_cached_tokens_than_prompt_tokens_cost_no_less_than_nothing() {
        assert_eq!(cost(&SMALL, &usage(10, 0, 99)), 750);
    }

    #[test]
    fn nothing_costs_more_than_its_worst_case() {
        for (prompt, completion, cached) in [(0, 0, 0), (1, 1, 1), (333, 7, 100), (u32::MAX, u32::MAX, 0)] {
            let worst = worst_case(&SMALL, prompt.into(), completion.into());
            assert!(cost(&SMALL, &usage(prompt, completion, cached)) <= worst);
        }
    }
}
