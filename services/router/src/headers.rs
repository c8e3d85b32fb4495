//! Response metadata that tells of the request id, the budget and what was spliced.

use bytes::Bytes;
use headgate_kit::error::Failure;
use headgate_kit::money::Usd;
use headgate_kit::request_id::X_REQUEST_ID;
use headgate_proto::budget::v1::BudgetStatus;
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;
use tonic::metadata::MetadataMap;

const BUDGET_LIMIT: HeaderName = HeaderName::from_static("x-budget-limit");
const BUDGET_TOTAL: HeaderName = HeaderName::from_static("x-budget-total");
const BUDGET_REMAINING: HeaderName = HeaderName::from_static("x-budget-remaining");
const BUDGET_WARNING: HeaderName = HeaderName::from_static("x-budget-warning");
const BUDGET_EXCEEDED: HeaderName = HeaderName::from_static("x-budget-exceeded");
const OUTPUT_CAP: HeaderName = HeaderName::from_static("x-headgate-output-cap");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const FALSE: HeaderValue = HeaderValue::from_static("false");

/// The request id, five of the budget, and one more.
const ROOM: usize = 7;
const DEFAULT_WARNING_PERCENT: i128 = 80;

/// What every answer of one call carries, whether it succeeds or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(HeaderMap);

impl Headers {
    pub(crate) fn new(request_id: HeaderValue) -> Self {
        let mut headers = HeaderMap::with_capacity(ROOM);
        headers.insert(X_REQUEST_ID, request_id);
        Self(headers)
    }

    /// The `x-budget-*` headers (S1-8), amounts in USD.
    pub(crate) fn budget(&mut self, status: &BudgetStatus) {
        let Some(budget) = &status.budget else { return };
        let total = status.spent_nano_usd.saturating_add(status.held_nano_usd);
        let remaining = budget.limit_nano_usd.saturating_sub(total).max(0);
        let percent = match budget.warning_percent {
            0 => DEFAULT_WARNING_PERCENT,
            percent => percent.into(),
        };
        let warning = i128::from(total) * 100 >= i128::from(budget.limit_nano_usd) * percent;
        let names = [BUDGET_LIMIT, BUDGET_TOTAL, BUDGET_REMAINING];
        for (name, value) in names.into_iter().zip(amounts([budget.limit_nano_usd, total, remaining])) {
            self.0.insert(name, value);
        }
        self.0.insert(BUDGET_WARNING, flag(warning));
        // What is held may come back, so only what is spent can exceed.
        self.0.insert(BUDGET_EXCEEDED, flag(status.spent_nano_usd >= budget.limit_nano_usd));
    }

    /// Says that the budget has no room for this request.
    pub(crate) fn budget_exceeded(&mut self) {
        self.0.insert(BUDGET_EXCEEDED, TRUE);
    }

    /// Says how many tokens the budget has room for.
    pub(crate) fn output_cap(&mut self, tokens: u32) {
        self.0.insert(OUTPUT_CAP, tokens.into());
    }

    /// Says that the answer is one that was given before.
    pub(crate) fn replayed(&mut self) {
        self.0.insert(REPLAYED, TRUE);
    }

    /// An answer with these headers.
    pub(crate) fn response<T>(self, message: T) -> tonic::Response<T> {
        let metadata = MetadataMap::from_headers(self.0);
        tonic::Response::from_parts(metadata, message, tonic::Extensions::default())
    }

    /// A refusal with these headers.
    pub(crate) fn refuse(self, failure: Failure) -> Status {
        let mut status = Status::from(failure);
        let mut headers = std::mem::take(status.metadata_mut()).into_headers();
        headers.extend(self.0);
        *status.metadata_mut() = MetadataMap::from_headers(headers);
        status
    }
}

fn flag(is: bool) -> HeaderValue {
    if is { TRUE } else { FALSE }
}

/// Amounts in nano-USD as USD. One piece of memory for all of them: they go the same way.
fn amounts<const N: usize>(nanos: [i64; N]) -> [HeaderValue; N] {
    let mut text = Vec::with_capacity(N * Usd::MAX_LEN);
    let ends = nanos.map(|nano| {
        text.extend_from_slice(Usd::from_nano(nano).encode(&mut [0; Usd::MAX_LEN]).as_bytes());
        text.len()
    });
    let mut text = Bytes::from(text);
    let mut begin = 0;
    ends.map(|end| {
        let amount = text.split_to(end - begin);
        begin = end;
        // Digits, a point and a sign: never refused.
        HeaderValue::from_maybe_shared(amount).unwrap_or(HeaderValue::from_static(""))
    })
}

#[cfg(test)]
mod tests {
    use headgate_kit::error::ErrorReason;
    use headgate_proto::budget::v1::Budget;

    use super::*;

    const NANO: i64 = 1_000_000_000;

    fn headers(spent_nano_usd: i64) -> Headers {
        let budget = Some(Budget { limit_nano_usd: NANO, ..Budget::default() });
        let mut headers = Headers::new(HeaderValue::from_static("r"));
        headers.budget(&BudgetStatus { budget, spent_nano_usd, ..BudgetStatus::default() });
        headers
    }

    #[test]
    fn a_budget_warns_before_it_is_exceeded() {
        let show = |spent_nano_usd| {
            let headers = headers(spent_nano_usd);
            let get = |name: &str| headers.0.get(name).unwrap().to_str().unwrap().to_owned();
            (get("x-budget-remaining"), get("x-budget-warning"), get("x-budget-exceeded"))
        };
        assert_eq!(show(790_000_000), ("0.21".into(), "false".into(), "false".into()));
        assert_eq!(show(800_000_000), ("0.20".into(), "true".into(), "false".into()));
        assert_eq!(show(2 * NANO), ("0.00".into(), "true".into(), "true".into()));
    }

    #[test]
    fn what_is_held_exceeds_nothing() {
        let budget = Some(Budget { limit_nano_usd: NANO, ..Budget::default() });
        let mut headers = Headers::new(HeaderValue::from_static("r"));
        headers.budget(&BudgetStatus { budget, held_nano_usd: NANO, ..BudgetStatus::default() });
        assert_eq!(
            (&headers.0[BUDGET_REMAINING], &headers.0[BUDGET_EXCEEDED]),
            (&"0.00".parse().unwrap(), &FALSE)
        );
        headers.budget_exceeded();
        assert_eq!(headers.0[BUDGET_EXCEEDED], TRUE);
    }

    #[test]
    fn answers_and_refusals_carry_every_header_once() {
        let mut expected = vec![
            ("x-request-id", "r"),
            ("x-budget-limit", "1.00"),
            ("x-budget-total", "0.000000001"),
            ("x-budget-remaining", "0.999999999"),
            ("x-budget-warning", "false"),
            ("x-budget-exceeded", "false"),
            ("x-headgate-output-cap", "12"),
            ("idempotent-replayed", "true"),
        ];
        expected.sort_unstable();
        let mut headers = headers(1);
        headers.output_cap(12);
        headers.replayed();
        let told = |metadata: &MetadataMap| {
            let told = metadata.as_ref().iter();
            let mut told: Vec<_> =
                told.map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect();
            told.sort_unstable();
            told
        };
        let expected: Vec<_> = expected.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        assert_eq!(told(headers.clone().response(()).metadata()), expected);
        let failure = Failure::new(ErrorReason::BudgetExceeded, "no");
        assert_eq!(told(headers.refuse(failure).metadata()), expected);
    }
}
