//! Which keys were used, told to auth every few seconds: no request writes or waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use headgate_kit::conn::Conn;
use headgate_kit::tasks::Tasks;
use headgate_kit::warn_seldom;
use headgate_proto::auth::v1::authentication_service_client::AuthenticationServiceClient;
use headgate_proto::auth::v1::{KeyUse, ReportKeyUsesRequest};

const TELL_EVERY: Duration = Duration::from_secs(5);
const CALL_DEADLINE: Duration = Duration::from_secs(2);
/// How many keys one call tells of.
const AT_ONCE: usize = 1_000;

/// Keys that were used since auth was told, and when they last were. Bounded by the keys there are.
#[derive(Default)]
pub(crate) struct Uses(DashMap<String, AtomicI64, RandomState>);

impl Uses {
    /// A request with this key was let in.
    pub(crate) fn note(&self, key_id: &str, now_unix_ms: i64) {
        if let Some(at) = self.0.get(key_id) {
            at.fetch_max(now_unix_ms, Ordering::Relaxed);
            return;
        }
        self.0.entry(key_id.to_owned()).or_default().fetch_max(now_unix_ms, Ordering::Relaxed);
    }

    /// Tells auth until the tasks are stopped, and once more then.
    pub(crate) fn tell(self: Arc<Self>, tasks: &Tasks, auth: Conn) {
        let stopping = tasks.stopping();
        tasks.spawn(async move {
            while stopping.run_until_cancelled(tokio::time::sleep(TELL_EVERY)).await.is_some() {
                self.tell_once(&auth).await;
            }
            self.tell_once(&auth).await;
        });
    }

    /// What cannot be told now is told next time.
    pub(crate) async fn tell_once(&self, auth: &Conn) {
        let untold: Vec<KeyUse> = self.0.iter().map(|used| told(used.key(), used.value())).collect();
        for uses in untold.chunks(AT_ONCE) {
            let mut request = tonic::Request::new(ReportKeyUsesRequest { uses: uses.to_vec() });
            request.set_timeout(CALL_DEADLINE);
            let mut auth = AuthenticationServiceClient::new(auth.clone());
            if let Err(status) = auth.report_key_uses(request).await {
                warn_seldom!(cause = status.message(), "auth was not told which keys were used");
                return;
            }
            for used in uses {
                let is_told =
                    |_: &String, at: &AtomicI64| at.load(Ordering::Relaxed) <= used.last_used_at_unix_ms;
                self.0.remove_if(&used.key_id, is_told);
            }
        }
    }
}

fn told(key_id: &str, at: &AtomicI64) -> KeyUse {
    KeyUse { key_id: key_id.to_owned(), last_used_at_unix_ms: at.load(Ordering::Relaxed) }
}
