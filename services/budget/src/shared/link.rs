//! The connection: one server or a cluster, made when first needed and made again when lost.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClientBuilder, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::{Client, Cmd, FromRedisValue, ScriptInvocation};
use secrecy::{ExposeSecret as _, SecretString};

use super::config::RedisConfig;
use super::fault::Fault;

/// How much longer than an answer a call may take with everything in it: connecting, being sent elsewhere, loading a
/// script.
const AROUND: Duration = Duration::from_millis(500);
/// How long nobody asks after a failure, so that not every request waits for a server that is away.
const REST: Duration = Duration::from_millis(200);

/// A connection. Cheap to clone; clones share it.
#[derive(Clone)]
pub(crate) struct Link {
    wire: Wire,
    call_timeout: Duration,
    rests_until: Arc<Mutex<Option<Instant>>>,
}

#[derive(Clone)]
enum Wire {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Link {
    /// To where `url` says. Does not wait: nobody is asked before the first call.
    ///
    /// # Errors
    /// When the address cannot be one.
    pub(crate) fn open(config: &RedisConfig, url: &SecretString) -> Result<Self, Fault> {
        let nodes = config.nodes(url.expose_secret()).unwrap_or_default();
        let authorities = config.authorities().map_err(|_| Fault::Garbled("no authorities"))?;
        let timeout = Duration::from_millis(config.response_timeout_ms);
        let wire = if config.cluster {
            let mut client = ClusterClientBuilder::new(nodes).retries(3).max_retry_wait(200);
            if let Some(authorities) = authorities {
                client = client.certs(authorities);
            }
            let client = client.build()?;
            let config = ClusterConfig::new().set_connection_timeout(timeout).set_response_timeout(timeout);
            Wire::Cluster(client.get_pending_async_connection_with_config(config))
        } else {
            let node = nodes.into_iter().next().ok_or(Fault::Garbled("no address"))?;
            let config = ConnectionManagerConfig::new()
                .set_number_of_retries(1)
                .set_max_delay(Duration::from_millis(100))
                .set_connection_timeout(Some(timeout))
                .set_response_timeout(Some(timeout));
            let client = match authorities {
                Some(authorities) => Client::build_with_tls(node, authorities)?,
                None => Client::open(node)?,
            };
            Wire::One(ConnectionManager::new_lazy_with_config(client, config)?)
        };
        Ok(Self { wire, call_timeout: timeout + AROUND, rests_until: Arc::default() })
    }

    /// Runs a script.
    pub(super) async fn call<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Fault> {
        self.guarded(async {
            match self.wire.clone() {
                Wire::One(mut wire) => call.invoke_async(&mut wire).await,
                Wire::Cluster(mut wire) => call.invoke_async(&mut wire).await,
            }
        })
        .await
    }

    /// Runs a command.
    pub(super) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Fault> {
        self.guarded(async {
            match self.wire.clone() {
                Wire::One(mut wire) => command.query_async(&mut wire).await,
                Wire::Cluster(mut wire) => command.query_async(&mut wire).await,
            }
        })
        .await
    }

    /// Asks every server the least there is to ask, whether one failed a moment ago or not. Tells what is wrong in words
    /// that quote neither a server nor the configuration.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        let ping = redis::cmd("PING");
        let answer = match self.wire.clone() {
            Wire::One(mut wire) => ping.query_async(&mut wire).await,
            Wire::Cluster(mut wire) => ping.query_async(&mut wire).await,
        };
        answer.map_err(|cause: redis::RedisError| match cause.category() {
            "" => "refused".to_owned(),
            category => category.to_lowercase(),
        })
    }

    async fn guarded<T>(&self, call: impl Future<Output = redis::RedisResult<T>>) -> Result<T, Fault> {
        if self.rests_until.lock().is_some_and(|until| Instant::now() < until) {
            return Err(Fault::Resting);
        }
        let fault = match tokio::time::timeout(self.call_timeout, call).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(cause)) => Fault::Redis(cause),
            Err(_) => Fault::TimedOut,
        };
        *self.rests_until.lock() = Some(Instant::now() + REST);
        Err(fault)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.wire {
            Wire::One(_) => "one server",
            Wire::Cluster(_) => "cluster",
        };
        f.debug_tuple("Link").field(&kind).finish()
    }
}
