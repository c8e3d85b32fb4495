//! What a deployment of several processes stands on.

use serde_json::json;

use crate::servers::nats::Nats;
use crate::servers::postgres::Postgres;
use crate::servers::redis::Redis;
use crate::setup::Setup;
use crate::topology::Topology;

/// The servers of one deployment.
pub struct Engines {
    /// Carries its records.
    pub nats: Nats,
    /// Keeps its tables, where they are not in files.
    pub postgres: Option<Tables>,
    /// Keeps its counters, where they are not in memory.
    pub redis: Option<Redis>,
}

/// A database of the deployment's own.
pub struct Tables {
    /// The server.
    pub server: Postgres,
    url: String,
}

impl Tables {
    /// Everything that is in them, as statements.
    #[must_use]
    pub fn dump(&self) -> String {
        self.server.dump(&self.url)
    }
}

impl Engines {
    /// Those of a topology; none for one process.
    pub(crate) async fn of(topology: Topology) -> Option<Self> {
        match topology {
            Topology::AllInOne => None,
            Topology::Planes => Some(Self { nats: Nats::start().await, postgres: None, redis: None }),
            Topology::Split => {
                let server = Postgres::start().await;
                let postgres = Some(Tables { url: server.database(), server });
                Some(Self { nats: Nats::start().await, postgres, redis: Some(Redis::start().await) })
            }
        }
    }

    /// Adds where they are.
    pub(crate) fn configure(&self, mut setup: Setup) -> Setup {
        if let Some(tables) = &self.postgres {
            setup = setup.section("database", &json!({"url": tables.url}));
        }
        if let Some(redis) = &self.redis {
            setup = setup.section("redis", &json!({"url": redis.url(), "response_timeout_ms": 4000}));
        }
        setup.section("nats", &json!({"url": self.nats.url()}))
    }
}
