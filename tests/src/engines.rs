//! What a deployment of several processes stands on.

use serde_json::json;

use crate::servers::nats::Nats;
use crate::servers::postgres::Postgres;
use crate::setup::Setup;
use crate::topology::Topology;

/// The servers of one deployment.
pub struct Engines {
    /// Carries its records.
    pub nats: Nats,
    /// Keeps its tables, where they are not in files.
    pub postgres: Option<Tables>,
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
            Topology::Planes => Some(Self { nats: Nats::start().await, postgres: None }),
            Topology::Split => {
                let server = Postgres::start().await;
                let postgres = Some(Tables { url: server.database(), server });
                Some(Self { nats: Nats::start().await, postgres })
            }
        }
    }

    /// Adds where they are.
    pub(crate) fn configure(&self, mut setup: Setup) -> Setup {
        if let Some(tables) = &self.postgres {
            setup = setup.section("database", &json!({"url": tables.url}));
        }
        setup.section("nats", &json!({"url": self.nats.url()}))
    }
}
