//! A mock upstream: OpenAI's documented chat, completions and embeddings endpoints, scripted per model, with a journal.

mod absent;
mod answers;
mod behaviour;
mod embeddings;
mod journal;
mod server;
mod streaming;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use absent::{Unreachable, refusing_url};
pub use behaviour::{Answer, Behaviour, End, UsageReport};
pub use journal::Entry;
use journal::Journal;

/// A mock upstream in this process, on a free port. Stops when dropped.
pub struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

/// What every connection shares.
#[derive(Default)]
struct State {
    fallback: Mutex<Behaviour>,
    scripts: Mutex<HashMap<String, Behaviour>>,
    journal: Journal,
}

impl State {
    fn behaviour(&self, model: &str) -> Behaviour {
        let script = self.scripts.lock().unwrap().get(model).cloned();
        script.unwrap_or_else(|| self.fallback.lock().unwrap().clone())
    }
}

impl Upstream {
    /// Starts one that answers every request as [`Behaviour::default`] says.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(server::accept(listener, state.clone()));
        Self { address, state, accepting }
    }

    /// The URL below which the API's paths stand, as a provider's `base_url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what requests for `model` (its upstream name) get from now on.
    pub fn script(&self, model: &str, behaviour: impl Into<Behaviour>) {
        self.state.scripts.lock().unwrap().insert(model.to_owned(), behaviour.into());
    }

    /// Sets what requests get whose model has no script.
    pub fn script_default(&self, behaviour: impl Into<Behaviour>) {
        *self.state.fallback.lock().unwrap() = behaviour.into();
    }

    /// What has happened so far, in the order of arrival.
    #[must_use]
    pub fn journal(&self) -> Vec<Entry> {
        self.state.journal.entries()
    }

    /// The only request so far.
    ///
    /// # Panics
    /// When there was none, or more than one.
    #[must_use]
    pub fn only_request(&self) -> Entry {
        let mut entries = self.journal();
        assert_eq!(entries.len(), 1, "the upstream was asked {} times", entries.len());
        entries.remove(0)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
