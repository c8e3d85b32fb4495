//! Threads that each drive connections of their own.
//!
//! What begins on such a thread stays there: sockets, timers and tasks wake nobody but the thread they belong to. On
//! a runtime whose threads share their tasks, every few events wake another thread to help, which costs a paced
//! stream more than the event itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Some threads with a runtime each. Clones share them.
#[derive(Clone, Debug)]
pub struct Workers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    workers: Vec<Worker>,
    stop: CancellationToken,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    load: Arc<AtomicUsize>,
}

/// A place on a worker, taken as long as it lives.
#[derive(Debug)]
pub struct Place {
    runtime: Handle,
    load: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts `count` threads, at least one, named after `name`.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(name: &str, count: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.push(Worker { runtime: runtime.handle().clone(), load: Arc::default() });
            let stop = stop.clone();
            let thread = std::thread::Builder::new().name(format!("{name}-{number}"));
            threads.push(thread.spawn(move || runtime.block_on(stop.cancelled()))?);
        }
        Ok(Self(Arc::new(Shared { workers, stop, threads: Mutex::new(threads) })))
    }

    /// No threads: everything runs on the runtime that this is called on.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn here() -> Self {
        let workers = vec![Worker { runtime: Handle::current(), load: Arc::default() }];
        let (stop, threads) = (CancellationToken::new(), Mutex::default());
        Self(Arc::new(Shared { workers, stop, threads }))
    }

    /// A place on the worker that has the fewest taken.
    #[must_use]
    pub fn place(&self) -> Place {
        let least = self.0.workers.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed));
        let (runtime, load) = match least {
            Some(worker) => (worker.runtime.clone(), worker.load.clone()),
            // There is always one.
            None => (Handle::current(), Arc::default()),
        };
        load.fetch_add(1, Ordering::Relaxed);
        Place { runtime, load }
    }

    /// Ends the threads, and drops what still runs on them. Not to be called from one of them.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        let threads = std::mem::take(&mut *self.0.threads.lock());
        let ended =
            tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok()));
        if !ended.await.unwrap_or(false) {
            tracing::error!("a worker thread panicked");
        }
    }
}

impl Place {
    /// The runtime of the place.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_spread_and_their_work_stays_on_one_thread() {
        let workers = Workers::start("test", 2).unwrap();
        let places = [workers.place(), workers.place(), workers.place()];
        let mut threads = Vec::new();
        for place in &places {
            let name = place.runtime().spawn(async {
                let before = std::thread::current().id();
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                assert_eq!(std::thread::current().id(), before);
                std::thread::current().name().unwrap().to_owned()
            });
            threads.push(name.await.unwrap());
        }
        assert_eq!(threads, ["test-0", "test-1", "test-0"]);
        let [first, _second, third] = places;
        drop((first, third));
        assert_eq!(workers.place().runtime().id(), workers.0.workers[0].runtime.id());
        workers.stop().await;
    }

    #[tokio::test]
    async fn work_that_still_runs_is_dropped_when_the_threads_end() {
        let workers = Workers::start("test", 1).unwrap();
        let never = workers.place().runtime().spawn(std::future::pending::<()>());
        workers.stop().await;
        assert!(never.await.unwrap_err().is_cancelled());
    }
}
