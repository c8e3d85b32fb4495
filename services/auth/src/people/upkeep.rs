//! What time alone brings about: keys that take turns, and what has expired.

use std::time::Duration;

use headgate_access::Author;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::watch::HEARTBEAT;

use super::{People, store};
use crate::draft::Draft;

/// How often is looked for what has expired, and whether it is time for another key.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How long a start waits for a database that went away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

impl People {
    /// Does what a start needs: there is a key. Waits for a database that is away.
    pub(crate) async fn begin(&self) -> Result<(), Failure> {
        loop {
            match self.keep_up().await {
                Err(failure) if failure.reason == ErrorReason::Unavailable => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                done => return done,
            }
        }
    }

    /// Makes a key to sign access tokens with where it is time for one, and forgets what has expired.
    pub(crate) async fn keep_up(&self) -> Result<(), Failure> {
        let this = self.clone();
        let work = async move |draft: &mut Draft| {
            // Another replica may just have made it.
            if let Some(signs_from_ms) = this.registry.access.key_due(this.config.signing_key_rotation_ms) {
                let key = this.registry.access.make_key(signs_from_ms).map_err(Failure::internal)?;
                draft.batch.signing_keys.push(key);
            }
            let now_ms = draft.now_ms;
            if store::any_expired(draft.reading(), now_ms).await? {
                store::delete_expired(draft.writing(), now_ms).await?;
            }
            Ok(())
        };
        let by = Author::own("upkeep");
        self.registry.draft(by, move |draft| Box::pin(async move { work(draft).await })).await?;
        self.registry.tell_time().await.map_err(Failure::internal)
    }

    /// Does so from time to time, until the process stops.
    pub(crate) fn keep_up_from_now_on(&self) {
        let (this, stop) = (self.clone(), self.registry.tasks.stopping());
        self.registry.tasks.spawn(async move {
            while stop.run_until_cancelled(this.rest()).await.is_some() {
                if let Err(failure) = this.keep_up().await {
                    tracing::warn!(%failure, "sessions and signing keys are not kept up at present");
                }
            }
        });
    }

    /// Between two sweeps: says that what is known is what there is.
    async fn rest(&self) {
        let beats = SWEEP_EVERY.as_millis() / HEARTBEAT.as_millis();
        for _ in 0..beats {
            tokio::time::sleep(HEARTBEAT).await;
            self.registry.beat();
        }
    }
}
