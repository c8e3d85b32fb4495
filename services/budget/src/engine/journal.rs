//! Leases whose holders live in other processes and may outlive this one, written down so that what they hold is known
//! again after a restart, however it came about.
//!
//! They lie in the outbox as entries that are open: a lease that expires ends its entry by the record that says so, and
//! one that needs no record of ours cancels it. Extensions are not written: whatever runs on has a whole lease's time to
//! be extended in after a restart.

use headgate_kit::spool::{OpenEntry, Spool, SpoolError};
use headgate_proto::record::v1::IntentRecord;
use prost::Message;
use uuid::Uuid;

use crate::engine::lease::{Charged, Idempotency, Lease, State};
use crate::replays::IdempotencyKey;

/// The journal.
#[derive(Debug)]
pub(crate) struct Journal(Spool);

/// A lease as it is written. The numbers are a format.
#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(message, required, tag = "1")]
    intent: IntentRecord,
    #[prost(int64, tag = "2")]
    hold: i64,
    #[prost(uint32, optional, tag = "3")]
    cap: Option<u32>,
    #[prost(int64, tag = "4")]
    window_start: i64,
    #[prost(uint32, optional, tag = "5")]
    charged_key: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    charged_tenant: Option<u32>,
    #[prost(string, optional, tag = "7")]
    idempotency_key: Option<String>,
    #[prost(bytes = "vec", tag = "8")]
    request_sha256: Vec<u8>,
}

/// What is noted of a lease that was settled.
#[derive(Clone, Copy, PartialEq, Message)]
struct Settled {
    #[prost(int64, tag = "1")]
    cost: i64,
}

impl Journal {
    pub(crate) fn new(outbox: Spool) -> Self {
        Self(outbox)
    }

    /// Writes a lease down. When this returns it survives the process.
    pub(super) fn begin(&self, lease: &Lease) -> Result<(), SpoolError> {
        self.0.begin(lease.id, &Written::of(lease).encode_to_vec())
    }

    /// The lease costs that much until its record comes.
    pub(super) fn settled(&self, id: Uuid, cost: i64) {
        if let Err(cause) = self.0.note(id, &Settled { cost }.encode_to_vec()) {
            // Should it be read again, the whole hold counts until then.
            tracing::warn!(%cause, lease_id = %id, "settlement not written down");
        }
    }

    /// Nothing of the lease is needed any more.
    pub(crate) fn end(&self, id: Uuid) {
        if let Err(cause) = self.0.cancel(id) {
            tracing::warn!(%cause, lease_id = %id, "a lease that ended stays written down");
        }
    }
}

/// A lease that an earlier process left open, with a whole lease's time to be extended or settled in. `None` for an entry
/// that is none.
pub(super) fn read(entry: &OpenEntry, now_ms: i64, ttl_ms: i64) -> Option<Lease> {
    let unreadable =
        |cause: &_| tracing::error!(%cause, lease_id = %entry.key, "a lease cannot be read again");
    let written = Written::decode(entry.begun.clone()).inspect_err(unreadable).ok()?;
    let settled = entry.note.clone().and_then(|note| Settled::decode(note).ok());
    let key_id = &written.intent.key_id;
    let idempotency = written.idempotency_key.filter(|_| settled.is_none()).and_then(|key| {
        let request_sha256 = written.request_sha256.try_into().ok()?;
        Some(Idempotency { key: IdempotencyKey { key_id: key_id.clone(), key }, request_sha256 })
    });
    Some(Lease {
        id: entry.key,
        hold: written.hold,
        cap: written.cap,
        expires_at: now_ms.saturating_add(ttl_ms),
        window_start: written.window_start,
        charged: Charged { key: written.charged_key, tenant: written.charged_tenant },
        idempotency,
        state: settled.map_or(State::Open, |Settled { cost }| State::Settled { cost, at: now_ms }),
        intent: Box::new(written.intent),
    })
}

impl Written {
    fn of(lease: &Lease) -> Self {
        let idempotency = lease.idempotency.as_ref();
        Self {
            intent: (*lease.intent).clone(),
            hold: lease.hold,
            cap: lease.cap,
            window_start: lease.window_start,
            charged_key: lease.charged.key,
            charged_tenant: lease.charged.tenant,
            idempotency_key: idempotency.map(|idempotency| idempotency.key.key.clone()),
            request_sha256: idempotency.map(|i| i.request_sha256.to_vec()).unwrap_or_default(),
        }
    }
}
