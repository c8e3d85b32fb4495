//! What happened. Pure but for the randomness of ids.

use headgate_access::{Actor, Author, Denial};
use headgate_kit::error::ErrorReason;
use headgate_kit::ids;
use headgate_proto::auth::v1::{AuditActor, AuditActorKind, AuditEvent, AuditOrigin, AuditOutcome};
use headgate_proto::timestamp;

use crate::shown::Shown;

/// What something was done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    kind: &'static str,
    id: String,
    tenant_id: String,
}

impl Thing {
    /// Something of a tenant.
    pub fn of(tenant_id: impl Into<String>, kind: &'static str, id: impl Into<String>) -> Self {
        Self { kind, id: id.into(), tenant_id: tenant_id.into() }
    }

    /// Something that belongs to no tenant.
    pub fn common(kind: &'static str, id: impl Into<String>) -> Self {
        Self::of("", kind, id)
    }
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry(AuditEvent);

impl Entry {
    /// That a thing became another. `None` for before: it was made; for after: it is gone. There is no entry where
    /// nothing changed.
    #[must_use]
    pub fn of_change(
        by: &Author,
        now_ms: i64,
        thing: Thing,
        before: Option<Shown>,
        after: Option<Shown>,
    ) -> Option<Self> {
        let mut entry = Self::of_deed(by, now_ms, thing);
        (entry.0.before, entry.0.after) = (before.map(|shown| shown.0), after.map(|shown| shown.0));
        (entry.0.before != entry.0.after).then_some(entry)
    }

    /// That something was done with a thing which does not show in it: a login, a new password.
    #[must_use]
    pub fn of_deed(by: &Author, now_ms: i64, thing: Thing) -> Self {
        let (kind, user_id) = match &by.actor {
            Actor::User(id) => (AuditActorKind::User, id.clone()),
            Actor::Operator => (AuditActorKind::Operator, String::new()),
            Actor::Service => (AuditActorKind::Service, String::new()),
            Actor::Anonymous => (AuditActorKind::Anonymous, String::new()),
        };
        let address = by.origin.address.map(|address| address.to_string()).unwrap_or_default();
        Self(AuditEvent {
            id: format!("{PREFIX}{}", ids::uuid_at(now_ms).simple()),
            time: Some(timestamp(now_ms)),
            actor: Some(AuditActor { kind: kind.into(), user_id, email: String::new() }),
            origin: Some(AuditOrigin {
                address,
                user_agent: by.origin.user_agent.clone(),
                request_id: by.origin.request_id.clone(),
            }),
            action: by.action.clone(),
            resource_kind: thing.kind.to_owned(),
            resource_id: thing.id,
            tenant_id: thing.tenant_id,
            outcome: AuditOutcome::Succeeded.into(),
            reason: ErrorReason::Unspecified.into(),
            before: None,
            after: None,
        })
    }

    /// That something was tried with what is not good.
    #[must_use]
    pub fn of_failure(by: &Author, now_ms: i64, thing: Thing, reason: ErrorReason) -> Self {
        let mut entry = Self::of_deed(by, now_ms, thing);
        (entry.0.outcome, entry.0.reason) = (AuditOutcome::Failed.into(), reason.into());
        entry
    }

    /// That somebody was kept from something. At a tenant that is not theirs it is not the tenant's to see, whose
    /// people would learn of strangers.
    #[must_use]
    pub fn of_denial(denial: Denial, now_ms: i64) -> Self {
        let thing = match (denial.tenant_id, denial.belongs) {
            (Some(id), true) => Thing::of(id, "", ""),
            (Some(id), false) => Thing::common("tenant", id),
            (None, _) => Thing::common("", ""),
        };
        let mut entry = Self::of_deed(&denial.author, now_ms, thing);
        (entry.0.outcome, entry.0.reason) = (AuditOutcome::Denied.into(), denial.reason.into());
        entry
    }

    /// As the contract has it.
    #[must_use]
    pub const fn event(&self) -> &AuditEvent {
        &self.0
    }
}

const PREFIX: &str = "audit_";

/// What ids of entries from this moment on are not smaller than, in milliseconds since 1970-01-01 UTC.
#[must_use]
pub fn id_floor(unix_ms: i64) -> String {
    // A UUID begins with 48 bits of time.
    format!("{PREFIX}{:012x}", unix_ms.clamp(0, 0xffff_ffff_ffff))
}
