//! The process's one connection.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions, Event};
use prometheus::Registry;
use secrecy::ExposeSecret as _;
use tokio::sync::{Mutex, OnceCell, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::config::{Config, Login, Servers};
use super::forward::{Forwarder, Forwarding};
use super::metrics::Metrics;
use super::pull::Pull;
use super::stream;
use crate::records::RecordSource;
use crate::spool::{Spool, SpoolError};
use crate::tasks::Tasks;
use crate::vitals::Vitals;

/// How long the broker may take to answer anything.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// The same for what is made before the first use, which is several calls.
const PREPARE_DEADLINE: Duration = Duration::from_secs(15);
/// How long pauses between tries to connect become.
const MAX_RECONNECT_PAUSE: Duration = Duration::from_secs(2);
/// How often a silent connection is tried.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Why something cannot be had of the broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error("nats.{0}: {1}")]
    Config(&'static str, String),
    /// The credentials file cannot be read.
    #[error("nats credentials: {0}")]
    Credentials(std::io::Error),
    /// There is no connection now. One is being made all the time.
    #[error("no connection to nats")]
    Away,
    /// The connection was lost and is there again, so that nothing is known of what was under way.
    #[error("the connection to nats is a new one")]
    Reconnected,
    /// It did not answer in time.
    #[error("nats did not answer in time")]
    Late,
    /// There is a stream of our name that is none of ours.
    #[error("the stream HEADGATE_RECORDS cannot be used: {0}")]
    Foreign(&'static str),
    /// The broker refused or failed.
    #[error("nats: {0}")]
    Other(Box<dyn std::error::Error + Send + Sync>),
    /// The spool failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl Error {
    pub(super) fn other(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Other(Box::new(cause))
    }

    /// What is wrong, in words that quote neither the broker nor the configuration.
    fn kind(&self) -> &'static str {
        match self {
            Self::Away => "no connection",
            Self::Late => "no answer in time",
            Self::Reconnected => "the connection is a new one",
            Self::Config(..) | Self::Credentials(_) => "the configuration cannot be used",
            Self::Foreign(_) => "the stream of records is none of ours",
            Self::Other(_) => "refused or failed",
            Self::Spool(_) => "the spool failed",
        }
    }
}

/// A connection to NATS. Clones share it. It is made at the first use and again whenever it is lost.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    config: Config,
    name: String,
    client: OnceCell<Client>,
    /// How often a connection was made.
    connections: watch::Sender<u64>,
    /// What was last wrong with it: said once, and not at each of many tries.
    fault: parking_lot::Mutex<String>,
    /// On which of them the stream was last found or made.
    prepared: Mutex<Option<u64>>,
    metrics: Metrics,
}

impl Broker {
    /// The broker of a configuration, not connected yet; none when no URL is set. `name` is what the server shows of
    /// the connection.
    ///
    /// # Errors
    /// [`Error::Config`] for the first bad value.
    pub fn new(config: &Config, name: &str, registry: &Registry) -> Result<Option<Self>, Error> {
        if let Some((field, problem)) = config.problems().into_iter().next() {
            return Err(Error::Config(field, problem));
        }
        if config.url.is_none() {
            return Ok(None);
        }
        Ok(Some(Self(Arc::new(Inner {
            config: config.clone(),
            name: name.to_owned(),
            client: OnceCell::new(),
            connections: watch::Sender::new(0),
            fault: parking_lot::Mutex::default(),
            prepared: Mutex::new(None),
            metrics: Metrics::new(registry),
        }))))
    }

    /// Forwards a spool of this process, whose options must name the consumer [`Forwarder::CONSUMER`] and no other.
    /// `name` tells the spools of a process apart, in subjects and metrics; `fresh` names the spool when it has no name
    /// yet.
    ///
    /// # Errors
    /// When the spool has no such consumer or cannot be read.
    pub fn forwarder(&self, name: &'static str, spool: &Spool, fresh: Uuid) -> Result<Forwarder, SpoolError> {
        Forwarder::new(self.clone(), name, spool, fresh)
    }

    /// The records of one of [`stream::CONSUMERS`], from every process that forwards. Replicas that name the same
    /// consumer share its records. What the `spools` of this process hold counts for it too: it has caught up when they
    /// have and it has read what was there by then, and it lags behind by what they still hold.
    #[must_use]
    pub fn source(&self, consumer: &'static str, spools: Vec<Forwarding>, tasks: &Tasks) -> RecordSource {
        RecordSource::broker(Pull::start(self.clone(), consumer, spools, tasks))
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Changes whenever a connection was made.
    pub(super) fn connections(&self) -> watch::Receiver<u64> {
        self.0.connections.subscribe()
    }

    /// The broker, connected, with the stream and all consumers in place.
    pub(super) async fn jetstream(&self) -> Result<jetstream::Context, Error> {
        let client = self.0.client.get_or_try_init(|| self.connect()).await?;
        if client.connection_state() != State::Connected {
            return Err(Error::Away);
        }
        let jetstream = ContextBuilder::new().timeout(DEADLINE).ack_timeout(DEADLINE).build(client.clone());
        let connection = *self.0.connections.borrow();
        let mut prepared = self.0.prepared.lock().await;
        if *prepared != Some(connection) {
            let prepare = stream::prepare(&jetstream, self.0.config.replicas);
            tokio::time::timeout(PREPARE_DEADLINE, prepare).await.map_err(|_| Error::Late)??;
            *prepared = Some(connection);
        }
        Ok(jetstream)
    }

    /// Looks for the stream anew before the next use.
    pub(super) async fn doubt(&self) {
        *self.0.prepared.lock().await = None;
    }

    /// Has `vitals` tell how the broker is: whether it answers, and has the stream of records.
    pub fn watched(&self, vitals: &Vitals) {
        let broker = self.clone();
        vitals.engine("nats", "nats", move || {
            let broker = broker.clone();
            Box::pin(async move { broker.ping().await.map_err(|cause| cause.kind().to_owned()) })
        });
    }

    async fn ping(&self) -> Result<(), Error> {
        self.jetstream().await?.get_stream(stream::STREAM).await.map(drop).map_err(Error::other)
    }

    /// Whether there is a connection now.
    pub(super) fn is_connected(&self) -> bool {
        self.0.client.get().is_some_and(|client| client.connection_state() == State::Connected)
    }

    /// Whether there is none, and a try to make one has failed.
    pub(super) fn is_away(&self) -> bool {
        !self.is_connected() && !self.0.fault.lock().is_empty()
    }

    /// Waits until what was sent is on its way, a moment at most.
    pub(super) async fn flush(&self) {
        if let Some(client) = self.0.client.get().filter(|_| self.is_connected())
            && !matches!(tokio::time::timeout(Duration::from_secs(1), client.flush()).await, Ok(Ok(())))
        {
            tracing::debug!("what was sent to nats may not have arrived");
        }
    }

    /// Returns at once: the connection is made beside, however long it takes.
    async fn connect(&self) -> Result<Client, Error> {
        let Inner { config, name, .. } = &*self.0;
        let url = config.url.as_ref().map_or("", |url| url.expose_secret());
        let Servers { addresses, login } =
            Servers::parse(url).map_err(|problem| Error::Config("url", problem.to_owned()))?;
        let mut options = ConnectOptions::new()
            .name(name)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .connection_timeout(DEADLINE)
            .request_timeout(Some(DEADLINE))
            .ping_interval(PING_EVERY)
            .reconnect_delay_callback(pause_before);
        options = match login {
            Some(Login::Password(user, password)) => {
                options.user_and_password(user, password.expose_secret().to_owned())
            }
            Some(Login::Token(token)) => options.token(token.expose_secret().to_owned()),
            None => options,
        };
        if let Some(file) = &config.credentials_file {
            options = options.credentials_file(file).await.map_err(Error::Credentials)?;
        }
        if let Some(file) = &config.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        // Weak: the client lives in what the callback refers to.
        let broker = Arc::downgrade(&self.0);
        let options = options.event_callback(move |event| {
            if let Some(broker) = broker.upgrade() {
                broker.note(&event);
            }
            std::future::ready(())
        });
        options.connect(addresses).await.map_err(Error::other)
    }
}

impl Inner {
    fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.metrics.connected.set(1);
                self.connections.send_modify(|count| *count += 1);
                self.fault.lock().clear();
                tracing::info!("connected to nats");
            }
            Event::Disconnected | Event::Closed => {
                self.metrics.connected.set(0);
                tracing::warn!("connection to nats lost, records wait");
            }
            other => {
                let other = other.to_string();
                let mut fault = self.fault.lock();
                if *fault != other {
                    tracing::warn!(event = other, "told by the nats client");
                    *fault = other;
                }
            }
        }
    }
}

/// Doubling from 20 ms; none before the first try.
fn pause_before(attempt: usize) -> Duration {
    let doubled = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(10);
    if doubled == 0 { Duration::ZERO } else { MAX_RECONNECT_PAUSE.min(Duration::from_millis(10 << doubled)) }
}

/// Pauses after failures: doubling up to a longest, from the start again after a success.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(5);

    pub(super) fn new() -> Self {
        Self(Self::FIRST)
    }

    /// Waits until the pause is over, a new connection was made or `stop` is cancelled.
    pub(super) async fn pause(&mut self, connections: &mut watch::Receiver<u64>, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(self.0) => {}
            _ = connections.changed() => {}
        }
        self.0 = Self::LONGEST.min(self.0 * 2);
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("name", &self.0.name).finish_non_exhaustive()
    }
}
