//! How a process is, and what it stands on: its parts, its engines (databases, Redis, NATS) and its peers.
//!
//! An engine is asked when somebody wants to know, once a second at most however many do, and has a second to answer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::conn::Conn;
use crate::server::Readiness;
use crate::tasks::Tasks;

/// How long an answer is good for.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// How long an engine may take to answer.
const DEADLINE: Duration = Duration::from_secs(1);

/// A question to an engine, and what is wrong with it: a few words without addresses, names or secrets.
pub type Ping = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Tells how the process is. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Vitals(Arc<Inner>);

struct Inner {
    ready: Readiness,
    engines: Mutex<Vec<Engine>>,
    peers: Mutex<Vec<(&'static str, Conn)>>,
    /// Whether the engines are being asked.
    asking: AtomicBool,
    seen: watch::Sender<Seen>,
    tasks: Tasks,
    /// Where engines are asked: their connections are driven there.
    runtime: Handle,
}

struct Engine {
    name: &'static str,
    kind: &'static str,
    ping: Box<dyn Fn() -> Ping + Send + Sync>,
}

/// What the engines said last, and when.
#[derive(Clone, Default)]
struct Seen(Option<(Instant, Arc<[EngineReport]>)>);

/// How the whole process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything is there.
    Ok,
    /// It serves, and something is away.
    Degraded,
    /// It cannot serve, or is about to end.
    Unavailable,
}

/// How a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It answers.
    Up,
    /// Some of its replicas answer.
    Partial,
    /// It does not answer.
    Down,
}

/// All that is known, for operators.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The worst of the rest.
    pub status: Status,
    /// Parts that hold the process back from serving.
    pub missing: Vec<&'static str>,
    /// What it stands on.
    pub engines: Vec<EngineReport>,
    /// Services elsewhere that it calls.
    pub peers: Vec<PeerReport>,
}

/// How an engine is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EngineReport {
    /// Whose it is, as readiness calls it.
    pub name: &'static str,
    /// What it is, e.g. `postgresql`.
    pub engine: &'static str,
    /// Whether it answers.
    pub status: State,
    /// How long its answer took. `None` when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// What is wrong, in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a service elsewhere is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerReport {
    /// The service.
    pub name: &'static str,
    /// Whether it answers.
    pub status: State,
    /// How many replicas its address leads to.
    pub replicas: usize,
    /// How many of them are well.
    pub well: usize,
    /// How long the slowest of those took to say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}

/// A part's state without what strangers need not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PartState {
    /// The part.
    pub name: &'static str,
    /// Whether it answers.
    pub status: State,
}

impl Vitals {
    /// Of a process that is as ready as `ready` says, with no engines and no peers yet. Engines are asked by `tasks` on
    /// the present runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(ready: Readiness, tasks: Tasks) -> Self {
        Self(Arc::new(Inner {
            ready,
            engines: Mutex::default(),
            peers: Mutex::default(),
            asking: AtomicBool::new(false),
            seen: watch::Sender::default(),
            tasks,
            runtime: Handle::current(),
        }))
    }

    /// What the process waits for.
    #[must_use]
    pub fn ready(&self) -> &Readiness {
        &self.0.ready
    }

    /// Adds an engine. `name` says whose it is, `kind` what it is.
    pub fn engine(
        &self,
        name: &'static str,
        kind: &'static str,
        ping: impl Fn() -> Ping + Send + Sync + 'static,
    ) {
        self.0.engines.lock().push(Engine { name, kind, ping: Box::new(ping) });
    }

    /// Adds a service, unless it is in this process.
    pub fn peer(&self, name: &'static str, conn: &Conn) {
        if conn.is_remote() {
            self.0.peers.lock().push((name, conn.clone()));
        }
    }

    /// All that is known, no older than a second but for engines that take longer to answer.
    pub async fn report(&self) -> Report {
        let engines = self.engines().await.to_vec();
        let peers: Vec<_> = self.0.peers.lock().iter().filter_map(|(name, conn)| peer(name, conn)).collect();
        let missing = self.0.ready.missing();
        let mut states = engines.iter().map(|e| e.status).chain(peers.iter().map(|p| p.status));
        let status = match states.all(|state| state == State::Up) {
            _ if !missing.is_empty() => Status::Unavailable,
            true => Status::Ok,
            false => Status::Degraded,
        };
        Report { status, missing, engines, peers }
    }

    async fn engines(&self) -> Arc<[EngineReport]> {
        let mut seen = self.0.seen.subscribe();
        if let Some(fresh) = seen.borrow_and_update().fresh() {
            return fresh;
        }
        if !self.0.asking.swap(true, Ordering::AcqRel) {
            // By a task of its own: whoever wants to know may leave, and a question half asked costs a connection.
            let asking = Asking(self.clone());
            self.0.tasks.spawn_on(asking.run(), &self.0.runtime);
        }
        // Longer than asking takes: only a question that panicked, or a process that ends, is not answered.
        let told = tokio::time::timeout(DEADLINE * 2, seen.changed()).await;
        let engines = told.ok().and_then(|_| seen.borrow().fresh());
        engines.unwrap_or_else(|| self.0.engines.lock().iter().map(|e| e.down("not asked")).collect())
    }
}

/// Asks every engine once.
struct Asking(Vitals);

impl Asking {
    async fn run(self) {
        let inner = &self.0.0;
        let asked: Vec<_> = inner.engines.lock().iter().map(Engine::asked).collect();
        let engines = futures_util::future::join_all(asked).await;
        inner.seen.send_replace(Seen(Some((Instant::now(), engines.into()))));
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.0.asking.store(false, Ordering::Release);
    }
}

impl Seen {
    fn fresh(&self) -> Option<Arc<[EngineReport]>> {
        let (at, engines) = self.0.as_ref()?;
        (at.elapsed() < FRESH_FOR).then(|| engines.clone())
    }
}

impl Engine {
    fn asked(&self) -> impl Future<Output = EngineReport> + use<> {
        let (name, kind, ping) = (self.name, self.kind, (self.ping)());
        async move {
            let began = Instant::now();
            let answer = tokio::time::timeout(DEADLINE, ping).await;
            match answer {
                Ok(Ok(())) => EngineReport::up(name, kind, began.elapsed()),
                Ok(Err(error)) => EngineReport::down(name, kind, error),
                Err(_elapsed) => EngineReport::down(name, kind, "no answer in time".to_owned()),
            }
        }
    }

    fn down(&self, error: &str) -> EngineReport {
        EngineReport::down(self.name, self.kind, error.to_owned())
    }
}

impl EngineReport {
    fn up(name: &'static str, engine: &'static str, took: Duration) -> Self {
        Self { name, engine, status: State::Up, latency_ms: Some(millis(took)), error: None }
    }

    fn down(name: &'static str, engine: &'static str, error: String) -> Self {
        Self { name, engine, status: State::Down, latency_ms: None, error: Some(error) }
    }
}

impl Report {
    /// Its engines and peers with their states alone, for those who are told no more.
    pub fn parts(&self) -> impl Iterator<Item = PartState> {
        let engines = self.engines.iter().map(|e| PartState { name: e.name, status: e.status });
        engines.chain(self.peers.iter().map(|p| PartState { name: p.name, status: p.status }))
    }
}

fn peer(name: &'static str, conn: &Conn) -> Option<PeerReport> {
    let reach = conn.reach()?;
    let status = match reach.well {
        0 => State::Down,
        well if well < reach.replicas => State::Partial,
        _ => State::Up,
    };
    let latency_ms = reach.latency.map(millis);
    Some(PeerReport { name, status, replicas: reach.replicas, well: reach.well, latency_ms })
}

/// With three decimals.
fn millis(duration: Duration) -> f64 {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1000.0
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vitals").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn vitals() -> Vitals {
        Vitals::new(Readiness::default(), Tasks::new())
    }

    /// Adds an engine that answers after `delay`, and counts how often it is asked.
    fn add(vitals: &Vitals, delay: Duration, answer: Result<(), &'static str>) -> Arc<AtomicUsize> {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        vitals.engine("usage: database", "postgresql", move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                tokio::time::sleep(delay).await;
                answer.map_err(str::to_owned)
            })
        });
        asked
    }

    #[tokio::test(start_paused = true)]
    async fn the_status_is_the_worst_there_is_and_a_process_that_cannot_serve_says_so() {
        let vitals = vitals();
        add(&vitals, Duration::from_millis(7), Ok(()));
        let report = vitals.report().await;
        assert_eq!((report.status, report.engines[0].status), (Status::Ok, State::Up));
        let took = report.engines[0].latency_ms.unwrap();
        assert!((7.0..20.0).contains(&took), "{took}");

        add(&vitals, Duration::ZERO, Err("connection refused"));
        tokio::time::advance(FRESH_FOR).await;
        let report = vitals.report().await;
        assert_eq!(report.status, Status::Degraded);
        let away = serde_json::to_value(&report.engines[1]).unwrap();
        let expected = serde_json::json!({
            "name": "usage: database", "engine": "postgresql", "status": "down", "error": "connection refused",
        });
        assert_eq!(away, expected);
        let part = |status| PartState { name: "usage: database", status };
        assert_eq!(report.parts().collect::<Vec<_>>(), [part(State::Up), part(State::Down)]);

        vitals.ready().latch("router");
        let report = vitals.report().await;
        assert_eq!((report.status, report.missing), (Status::Unavailable, vec!["router"]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_is_down_after_a_second() {
        let vitals = vitals();
        add(&vitals, Duration::from_secs(3600), Ok(()));
        let began = Instant::now();
        let report = vitals.report().await;
        assert!(began.elapsed() < Duration::from_millis(1100));
        assert_eq!(report.engines[0].error.as_deref(), Some("no answer in time"));
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_want_to_know_an_engine_is_asked_once_a_second() {
        let vitals = vitals();
        let asked = add(&vitals, Duration::from_millis(100), Ok(()));
        let many = || futures_util::future::join_all((0..1000).map(|_| vitals.report()));
        assert!(many().await.iter().all(|report| report.status == Status::Ok));
        many().await;
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(FRESH_FOR).await;
        many().await;
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_whose_asker_leaves_is_answered_all_the_same() {
        let vitals = vitals();
        let asked = add(&vitals, Duration::from_millis(100), Ok(()));
        for _ in 0..10 {
            let left = tokio::time::timeout(Duration::from_millis(5), vitals.report()).await;
            assert!(left.is_err(), "it has left");
        }
        assert_eq!((vitals.report().await.status, asked.load(Ordering::SeqCst)), (Status::Ok, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_panics_is_asked_again() {
        let vitals = vitals();
        let fails = Arc::new(AtomicBool::new(true));
        let failing = fails.clone();
        vitals.engine("nats", "nats", move || {
            let fails = failing.load(Ordering::SeqCst);
            Box::pin(async move { if fails { panic!("on purpose") } else { Ok(()) } })
        });
        let report = vitals.report().await;
        assert_eq!(
            (report.status, report.engines[0].error.as_deref()),
            (Status::Degraded, Some("not asked"))
        );
        fails.store(false, Ordering::SeqCst);
        assert_eq!(vitals.report().await.engines[0].status, State::Up);
    }
}
