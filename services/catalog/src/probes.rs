//! Probing: every active provider at an interval, and one when somebody asks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use headgate_access::Author;
use headgate_kit::Failure;
use headgate_proto::adapter::v1::ProbeResponse;
use headgate_proto::catalog::v1::Provider as ShownProvider;
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use crate::change::{Change, Provider, Stamp};
use crate::health::{Health, word};
use crate::plan::no_such;
use crate::prober::Prober;
use crate::registry::Registry;
use crate::state::State;

/// What the audit log calls it, which is told of no probe.
const PROBE: &str = "probe";
/// Providers that are asked at a time.
const AT_ONCE: usize = 16;

/// Asks providers, and keeps what it finds.
#[derive(Clone)]
pub(crate) struct Probes {
    pub registry: Arc<Registry>,
    pub prober: Prober,
    /// So many failures in a row make a provider unhealthy.
    pub unhealthy_after: u32,
}

impl Probes {
    /// Probes all active providers every `interval` or somewhat more or less, until told to stop. Of several replicas
    /// one does it.
    pub(crate) async fn keep(self, interval: Duration, mut rng: StdRng, stop: CancellationToken) {
        // Soon after a start, but not that of all replicas at once.
        let mut pause = interval.mul_f64(rng.random_range(0.0..0.1));
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let round = async {
                match self.registry.is_turn_to_probe(interval).await {
                    Ok(true) => self.round().await,
                    Ok(false) => Ok(()),
                    Err(failure) => Err(failure),
                }
            };
            if let Some(Err(failure)) = stop.run_until_cancelled(round).await {
                tracing::debug!(%failure, "what probes found cannot be kept");
            }
            pause = interval.mul_f64(rng.random_range(0.9..1.1));
        }
    }

    /// Probes all active providers, and keeps what was found as one change.
    pub(crate) async fn round(&self) -> Result<(), Failure> {
        let active: Vec<Provider> = {
            let state = self.registry.read();
            state.providers_after("").filter(|provider| provider.shown.is_active).cloned().collect()
        };
        let asked = stream::iter(active).map(|provider| async move { (self.ask(&provider).await, provider) });
        let found: Vec<_> = asked
            .buffer_unordered(AT_ONCE)
            .filter_map(|(found, provider)| async move { Some((provider.shown, found.ok()?)) })
            .collect()
            .await;
        let unhealthy_after = self.unhealthy_after;
        let keep = move |state: &State, stamp: &Stamp| Ok((probed(state, found, unhealthy_after, stamp), ()));
        self.registry.change(Author::own(PROBE), keep).await
    }

    /// Probes one provider, and keeps what was found.
    pub(crate) async fn test(&self, id: &str) -> Result<ProbeResponse, Failure> {
        let provider = self.registry.read().provider(id).cloned().ok_or_else(|| no_such("provider"))?;
        let found = self.ask(&provider).await?;
        let (kept, unhealthy_after) = (vec![(provider.shown, found.clone())], self.unhealthy_after);
        let keep = move |state: &State, stamp: &Stamp| Ok((probed(state, kept, unhealthy_after, stamp), ()));
        self.registry.change(Author::own(PROBE), keep).await?;
        Ok(found)
    }

    async fn ask(&self, provider: &Provider) -> Result<ProbeResponse, Failure> {
        let found = self.prober.ask(provider).await;
        match &found {
            Ok(found) => self.registry.metrics.probed(word(found.status())),
            Err(failure) => headgate_kit::warn_seldom!(%failure, "providers cannot be probed at present"),
        }
        found
    }
}

/// What was found of providers, but for those that were changed meanwhile: it is not they who were asked.
pub(crate) fn probed(
    state: &State,
    found: Vec<(ShownProvider, ProbeResponse)>,
    unhealthy_after: u32,
    stamp: &Stamp,
) -> Change {
    let health = found.into_iter().filter_map(|(asked, found)| {
        let present = &state.provider(&asked.id)?.shown;
        let health = Health::of(present).probed(&found, unhealthy_after, stamp.time());
        (present.etag == asked.etag).then_some((asked.id, health))
    });
    Change { health: health.collect(), ..Change::default() }
}
