//! Keeps leases alive: one task extends those of long requests before they expire, off the request's path.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use headgate_kit::clock::Clock;
use headgate_kit::conn::Conn;
use headgate_kit::scope::{self, RequestContext, within};
use headgate_kit::tasks::Tasks;
use headgate_kit::warn_seldom;
use headgate_proto::auth::v1::KeyRecord;
use headgate_proto::budget::v1::{AdmissionServiceStub, ExtendRequest};
use uuid::Uuid;

const TICK: Duration = Duration::from_secs(1);
const CALL_DEADLINE: Duration = Duration::from_secs(2);

/// The leases this process holds. Bounded by the requests in flight.
#[derive(Default)]
pub(crate) struct Keeper(DashMap<Uuid, Held, RandomState>);

struct Held {
    /// Who asked.
    key: Arc<KeyRecord>,
    request: Option<RequestContext>,
    since_unix_ms: i64,
    until_unix_ms: i64,
}

impl Keeper {
    /// Holds a lease of the request that is worked for now.
    pub(crate) fn hold(&self, lease: Uuid, key: Arc<KeyRecord>, now_unix_ms: i64, until_unix_ms: i64) {
        let request = scope::current();
        self.0.insert(lease, Held { key, request, since_unix_ms: now_unix_ms, until_unix_ms });
    }

    pub(crate) fn release(&self, lease: Uuid) {
        self.0.remove(&lease);
    }

    /// Leases half of whose time is over.
    fn due(&self, now_unix_ms: i64) -> Vec<(Uuid, Arc<KeyRecord>, Option<RequestContext>)> {
        let half_over = |h: &Held| now_unix_ms - h.since_unix_ms >= (h.until_unix_ms - h.since_unix_ms) / 2;
        self.0
            .iter()
            .filter(|held| half_over(held.value()))
            .map(|held| (*held.key(), held.value().key.clone(), held.request.clone()))
            .collect()
    }

    /// Extends leases until the tasks are stopped and every request has ended.
    pub(crate) fn run(self: Arc<Self>, tasks: &Tasks, admission: AdmissionServiceStub<Conn>, clock: Clock) {
        let stopping = tasks.stopping();
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(TICK) => {}
                }
                for (lease, key, request) in self.due(clock.unix_millis()) {
                    within(request, self.extend(&admission, lease, &key.tenant_id, &clock)).await;
                }
            }
        });
    }

    async fn extend(
        &self,
        admission: &AdmissionServiceStub<Conn>,
        lease: Uuid,
        tenant_id: &str,
        clock: &Clock,
    ) {
        let message = ExtendRequest { lease_id: lease.to_string(), tenant_id: tenant_id.to_owned() };
        let mut request = tonic::Request::new(message);
        request.set_timeout(CALL_DEADLINE);
        match admission.extend(request).await {
            Ok(response) => {
                // Only if it is still held: the request may have ended meanwhile.
                if let Some(mut held) = self.0.get_mut(&lease) {
                    held.since_unix_ms = clock.unix_millis();
                    held.until_unix_ms = response.into_inner().expires_at_unix_ms;
                }
            }
            Err(status) => warn_seldom!(lease_id = %lease, cause = status.message(), "lease not extended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use headgate_kit::scope::InRequest;
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_lease_is_due_when_half_of_its_time_is_over() {
        let (keeper, lease) = (Keeper::default(), Uuid::from_u128(7));
        let request = RequestContext::of(&HeaderMap::new(), &Clock::manual(0));
        let key = Arc::new(KeyRecord::default());
        let hold = || keeper.hold(lease, key.clone(), 1_000, 3_000);
        InRequest::new(request.clone(), hold).with(|hold| hold()).unwrap();
        assert!(keeper.due(1_999).is_empty());
        assert_eq!(keeper.due(2_000), [(lease, key.clone(), Some(request))]);
        keeper.release(lease);
        assert!(keeper.due(9_000).is_empty());
    }
}
