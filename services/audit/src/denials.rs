//! What callers were kept from doing: told to auth from memory, so that no call waits for it.

use headgate_access::Gate;
use headgate_kit::clock::Clock;
use headgate_kit::conn::Conn;
use headgate_kit::metrics::register;
use headgate_kit::tasks::Tasks;
use headgate_kit::warn_seldom;
use prometheus::{IntCounter, Registry};
use tokio::sync::mpsc::{Receiver, channel};
use tokio_util::sync::CancellationToken;

use crate::delivery::{self, AT_ONCE, Pauses};
use crate::entry::Entry;

/// How many wait at most.
const WAITING: usize = 1024;

/// Has the audit log told what the gate keeps callers from, until the tasks are stopped, and once more then.
pub fn tell_denials(gate: &Gate, auth: Conn, clock: Clock, tasks: &Tasks, registry: &Registry) {
    let (waiting, queue) = channel(WAITING);
    let dropped = dropped(registry);
    gate.tell_denials(move |denial| {
        let entry = Entry::of_denial(denial, clock.unix_millis());
        if waiting.try_send(entry).is_err() {
            warn_seldom!("the audit log is not told of what was denied: too much of it waits already");
            if let Some(dropped) = &dropped {
                dropped.inc();
            }
        }
    });
    let stop = tasks.stopping();
    tasks.spawn(run(queue, auth, stop));
}

fn dropped(registry: &Registry) -> Option<IntCounter> {
    let (name, help) =
        ("headgate_audit_dropped_denials_total", "Denied actions that the audit log was not told of.");
    // The name is a constant, so this fails in no build that has passed a test.
    IntCounter::new(name, help).ok().map(|counter| register(registry, counter))
}

async fn run(mut queue: Receiver<Entry>, auth: Conn, stop: CancellationToken) {
    let mut batch = Vec::with_capacity(AT_ONCE);
    while stop.run_until_cancelled(queue.recv_many(&mut batch, AT_ONCE)).await.is_some_and(|some| some > 0) {
        deliver(&auth, &mut batch, &stop).await;
    }
    // What came last is tried once more.
    while queue.try_recv().map(|entry| batch.push(entry)).is_ok() && batch.len() < AT_ONCE {}
    if !batch.is_empty() {
        tell(&auth, &batch).await;
    }
}

/// Tries until it is told, or somebody asked to stop.
async fn deliver(auth: &Conn, batch: &mut Vec<Entry>, stop: &CancellationToken) {
    let mut pauses = Pauses::default();
    while !tell(auth, batch).await {
        if !pauses.wait(stop).await {
            return;
        }
    }
    batch.clear();
}

async fn tell(auth: &Conn, batch: &[Entry]) -> bool {
    let events = batch.iter().map(|entry| entry.event().clone()).collect();
    match delivery::tell(auth, events).await {
        Ok(()) => true,
        Err(status) => {
            warn_seldom!(cause = status.message(), "the audit log is not told at present what was denied");
            false
        }
    }
}
