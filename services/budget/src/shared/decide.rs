//! The decision, and what holds when Redis cannot make it.

use headgate_kit::Failure;

use super::answer::{self, Raw, Told};
use super::{Fault, SCRIPTS, Shared, unavailable};
use crate::engine::admit::{Answer, Ask, Decision};
use crate::engine::lease::prompt_cost;
use crate::policy::{Covering, Limits, Policy};
use crate::window::Window;

/// How often one request may be told to come again, e.g. as the month is over, before it is given up.
const TURNS: usize = 4;

impl Shared {
    /// Decides a request, and holds what it may take.
    pub(crate) async fn admit(&self, ask: Ask) -> Result<Answer, Failure> {
        let covering = self.covering(&ask.intent.key_id, &ask.intent.tenant_id);
        match self.decide(&ask, &covering).await {
            Ok(answer) => Ok(answer),
            Err(fault) => self.without_counters(&ask, &covering, fault),
        }
    }

    async fn decide(&self, ask: &Ask, covering: &Covering) -> Result<Answer, Fault> {
        self.enter(&ask.intent.key_id, &ask.intent.tenant_id).await?;
        let mut window = self.window_at(self.now_ms());
        for _ in 0..TURNS {
            match self.ask_once(ask, covering, window).await? {
                Told::Decided(answer) => return Ok(answer),
                Told::OtherWindow(now_ms) => window = self.window_at(now_ms),
                Told::Unknown => self.know(&ask.intent.tenant_id, window).await?,
                Told::Closed(opens_at_ms) => return Err(Fault::Closed { opens_at_ms }),
            }
        }
        Err(Fault::Garbled("come again, too often"))
    }

    async fn ask_once(&self, ask: &Ask, covering: &Covering, window: Window) -> Result<Told, Fault> {
        use prost::Message as _;

        let intent = &ask.intent;
        let (names, key_id) = (self.names.tenant(&intent.tenant_id), intent.key_id.as_str());
        let mut call = SCRIPTS.admit.prepare_invoke();
        call.key(names.counters(None)).key(names.counters(Some(key_id)));
        call.key(names.account(window, None)).key(names.account(window, Some(key_id)));
        call.key(names.lease(ask.lease)).key(names.open());
        if let Some(idempotency) = &ask.idempotency {
            call.key(names.idempotency(&idempotency.key));
        }
        call.arg(self.time()).arg(window.start).arg(window.end).arg(self.ttl_ms);
        call.arg(ask.lease.to_string()).arg(key_id).arg(intent.hold_nano_usd).arg(ask.limit_tokens);
        call.arg(prompt_cost(intent)).arg(intent.encode_to_vec());
        match &ask.cap_terms {
            Some(terms) => call.arg(terms.prompt_nano_usd).arg(terms.output_nano_usd_per_1k_tokens),
            None => call.arg("").arg(""),
        };
        let sha256 = ask.idempotency.as_ref().map(|idempotency| &idempotency.request_sha256[..]);
        call.arg(sha256.unwrap_or_default()).arg(u8::from(intent.streamed)).arg(Self::kept_until(window));
        for policy in [&covering.key, &covering.tenant] {
            for word in words(policy) {
                call.arg(word);
            }
        }
        let raw: Raw = self.link.call(&call).await?;
        answer::read(raw, ask, covering, window)
    }

    /// What holds when the counters cannot be asked: a request that no budget covers goes on without limits, unless it
    /// wants to run once only, which nobody could promise. Any other has to wait.
    fn without_counters(&self, ask: &Ask, covering: &Covering, fault: Fault) -> Result<Answer, Failure> {
        if covering.has_budget() || ask.idempotency.is_some() {
            if fault.is_doubtful() {
                self.release_soon(ask.lease, &ask.intent.tenant_id);
            }
            return Err(unavailable(fault));
        }
        self.metrics.ungoverned_requests.inc();
        tracing::debug!(cause = %fault, "request admitted without limits");
        let expires_at = self.now_ms().saturating_add(self.ttl_ms);
        Ok(Answer { decision: Decision::Admitted { expires_at, cap: None, is_new: true }, budget: None })
    }
}

/// Budget and limits as the script takes them; what is unset is empty.
fn words(policy: &Policy) -> [String; 9] {
    let Limits {
        requests_per_second,
        requests_per_minute,
        tokens_per_minute,
        parallel_requests,
        request_burst,
        parallel_streams,
        sliding_window,
    } = policy.limits;
    let rate = |limit: Option<u32>| limit.map(|n| n.max(1).to_string()).unwrap_or_default();
    let count = |limit: Option<u32>| limit.map(|n| n.to_string()).unwrap_or_default();
    [
        policy.budget.map(|budget| budget.limit.to_string()).unwrap_or_default(),
        rate(requests_per_second),
        rate(requests_per_second.and(request_burst)),
        rate(requests_per_minute),
        rate(tokens_per_minute),
        count(parallel_requests),
        count(parallel_streams),
        sliding_window.map(|window| window.requests.to_string()).unwrap_or_default(),
        sliding_window.map(|window| window.micros().to_string()).unwrap_or_default(),
    ]
}
