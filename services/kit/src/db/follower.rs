//! Following what other processes change in tables that are shared with them.
//!
//! A process keeps in memory what its tables hold. Where others may change them, it looks every [`LOOK_EVERY`] whether
//! somebody did. What it then tells its peers is true as of the last look that succeeded: while the database is away it
//! must not pretend to know.

use std::fmt::Display;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::Db;
use crate::watch::HEARTBEAT;

/// How often changes are looked for. With the time a look takes, one is known well within a heartbeat.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// The shortest time between looks, however many ask for one.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// How long a look may take before the database counts as away.
const LOOK_DEADLINE: Duration = Duration::from_secs(2);
/// How long [`Follower::catch_up`] waits.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(1);

/// Tells how current a process's memory of its tables is.
#[derive(Debug)]
pub struct Follower {
    shared: bool,
    wanted: Notify,
    /// When the last look that succeeded began.
    current: watch::Sender<Instant>,
}

/// That nobody knows at present what others changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database was not reached in time")]
pub struct Behind;

impl Follower {
    /// Of tables that were just read.
    #[must_use]
    pub fn new(db: &Db) -> Self {
        Self { shared: db.is_shared(), wanted: Notify::new(), current: watch::Sender::new(Instant::now()) }
    }

    /// Looks for changes until told to stop; returns at once where nobody else makes any. `look` takes in whatever
    /// was committed before it began.
    pub async fn run<E: Display, F>(&self, look: impl Fn() -> F, stop: CancellationToken)
    where
        F: Future<Output = Result<(), E>>,
    {
        if !self.shared {
            return;
        }
        let mut away = false;
        loop {
            let pause = async {
                tokio::time::sleep(LOOK_PAUSE).await;
                let rest =
                    tokio::time::timeout(LOOK_EVERY.saturating_sub(LOOK_PAUSE), self.wanted.notified());
                // Either nobody asked, or it is time.
                let _asked = rest.await;
            };
            let began = tokio::select! {
                () = stop.cancelled() => return,
                () = pause => Instant::now(),
            };
            let failed = match tokio::time::timeout(LOOK_DEADLINE, look()).await {
                Ok(Ok(())) => {
                    self.current.send_replace(began);
                    None
                }
                Ok(Err(cause)) => Some(cause.to_string()),
                Err(_elapsed) => Some(Behind.to_string()),
            };
            // Once for each outage.
            if let Some(cause) = failed.as_ref().filter(|_| !away) {
                tracing::warn!(cause, "what others change is not known at present");
            }
            away = failed.is_some();
        }
    }

    /// Whether memory holds whatever was committed a heartbeat ago.
    #[must_use]
    pub fn is_current(&self) -> bool {
        !self.shared || self.current.borrow().elapsed() <= HEARTBEAT
    }

    /// Waits until memory holds whatever was committed before the call.
    ///
    /// # Errors
    /// When the database does not tell in time.
    pub async fn catch_up(&self) -> Result<(), Behind> {
        if !self.shared {
            return Ok(());
        }
        let (asked, mut current) = (Instant::now(), self.current.subscribe());
        self.wanted.notify_one();
        let caught_up = current.wait_for(|began| *began >= asked);
        match tokio::time::timeout(CATCH_UP_DEADLINE, caught_up).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Behind),
        }
    }
}
