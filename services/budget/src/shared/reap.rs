//! Leases whose end nobody reported.

use std::time::Duration;

use headgate_proto::record::v1::IntentRecord;
use prost::Message as _;
use uuid::Uuid;

use super::home::STRUCK_AFTER_MS;
use super::names::SHARDS;
use super::{Fault, SCRIPTS, Shared};
use crate::engine::Overdue;
use crate::engine::lease::abandoned;

/// Leases of a tenant ended by one call, at most.
const AT_ONCE: usize = 200;

/// What reap.lua returns: the time in microseconds, how many leases run, how many wait for something, and per lease
/// that is due its id, intent, hold, cost, and whether it was ended just now.
type Raw = (i64, i64, i64, Vec<(String, Vec<u8>, i64, i64, bool)>);

impl Shared {
    /// Whether this process is the one to reap for that long.
    pub(crate) async fn is_turn(&self, every: Duration) -> Result<bool, Fault> {
        let mut take = redis::cmd("SET");
        let millis = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        take.arg(self.names.reaper()).arg("").arg("NX").arg("PX").arg((millis * 9 / 10).max(1));
        Ok(self.link.command::<Option<String>>(&take).await?.is_some())
    }

    /// Ends what is past its deadline. What is returned must be written, and comes again until `written` is called.
    pub(crate) async fn overdue(&self) -> Result<Vec<Overdue>, Fault> {
        let (mut overdue, mut open) = (Vec::new(), 0);
        for shard in 0..SHARDS {
            let mut read = redis::cmd("ZRANGE");
            read.arg(self.names.list(shard)).arg(0).arg(-1).arg("WITHSCORES");
            for (tenant_id, entered) in self.link.command::<Vec<(String, i64)>>(&read).await? {
                let (running, waiting, due) = self.reap(&tenant_id).await?;
                open += running;
                overdue.extend(due);
                if waiting == 0 && self.now_ms() - entered > STRUCK_AFTER_MS {
                    self.forget(shard, &tenant_id, entered).await?;
                }
            }
        }
        self.metrics.open_leases.set(open);
        Ok(overdue)
    }

    /// How many leases of a tenant run, how many wait for something, and those whose record must be written.
    async fn reap(&self, tenant_id: &str) -> Result<(i64, i64, Vec<Overdue>), Fault> {
        let names = self.names.tenant(tenant_id);
        let mut call = SCRIPTS.reap.prepare_invoke();
        call.key(names.open()).arg(self.time()).arg(names.prefix()).arg(AT_ONCE);
        let (micros, running, waiting, due): Raw = self.link.call(&call).await?;
        let mut overdue = Vec::with_capacity(due.len());
        for (id, intent, hold, cost, closed) in due {
            let id = Uuid::try_parse(&id).map_err(|_| Fault::Garbled("a lease without an id"))?;
            let intent =
                IntentRecord::decode(&intent[..]).map_err(|_| Fault::Garbled("a lease without an intent"))?;
            if closed {
                self.metrics.expired_leases.inc();
            }
            overdue.push(Overdue { id, record: Box::new(abandoned(id, &intent, hold, cost, micros / 1000)) });
        }
        Ok((running, waiting, overdue))
    }

    async fn forget(&self, shard: u8, tenant_id: &str, entered: i64) -> Result<(), Fault> {
        let mut call = SCRIPTS.forget.prepare_invoke();
        call.key(self.names.list(shard)).arg(tenant_id).arg(entered);
        self.link.call(&call).await
    }

    /// An overdue lease's record is safely written.
    pub(crate) async fn written(&self, overdue: &Overdue) -> Result<(), Fault> {
        let names = self.names.tenant(&overdue.record.tenant_id);
        let mut call = SCRIPTS.written.prepare_invoke();
        call.key(names.open()).arg(names.prefix()).arg(overdue.id.to_string());
        self.link.call(&call).await
    }
}
