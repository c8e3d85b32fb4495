//! Load on all connections at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::exchange;
use crate::tally::Tally;
use crate::target::Target;

/// The timer rounds up to a millisecond: so much lateness is its own, not the gateway's.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// When requests are due; all tasks draw from it.
struct Schedule {
    begin: Instant,
    end: Instant,
    rps: Option<f64>,
    drawn: AtomicU64,
}

impl Schedule {
    /// When the next request is due, or `None` when there is none left.
    fn next(&self) -> Option<Instant> {
        let due = match self.rps {
            None => Instant::now(),
            Some(rps) => self.begin + Duration::from_secs_f64(self.drawn.fetch_add(1, Relaxed) as f64 / rps),
        };
        (due < self.end).then_some(due)
    }
}

/// Runs the load for so many seconds, and waits for what is in flight then. Also says how long it all took.
pub(crate) async fn run(target: Arc<Target>, seconds: f64) -> (Tally, f64) {
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds);
    let schedule = Arc::new(Schedule { begin, end, rps: target.args.rps, drawn: AtomicU64::new(0) });
    let tasks: Vec<_> = (0..target.args.connections)
        .map(|_| tokio::spawn(connection(target.clone(), schedule.clone())))
        .collect();
    let limit = tokio::time::Instant::from_std(end) + Duration::from_secs_f64(target.args.drain);
    let mut total = Tally::default();
    for task in tasks {
        let abort = task.abort_handle();
        match tokio::time::timeout_at(limit, task).await {
            Ok(Ok(tally)) => total.merge(tally),
            _ => {
                abort.abort();
                total.io_errors += 1;
                total.remember("a request did not end in time".into());
            }
        }
    }
    (total, begin.elapsed().as_secs_f64())
}

async fn connection(target: Arc<Target>, schedule: Arc<Schedule>) -> Tally {
    let (mut tally, mut connection) = (Tally::default(), None);
    while let Some(due) = schedule.next() {
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        let from = if due.elapsed() < TIMER_SLACK { Instant::now() } else { due };
        exchange::once(&target, &mut connection, from, &mut tally).await;
    }
    tally
}
