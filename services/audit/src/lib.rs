//! What the audit log is told, and how it gets there.
//!
//! The log itself is auth's. Other services write what they have to tell into a table of their own, the outbox, in the
//! transaction of the change that it is about, and one task of theirs delivers it. Promises:
//!
//! - An entry stands if and only if its change does, and reaches the log once, however often auth or the service is away
//!   meanwhile.
//! - No entry holds a secret: fields that the contract marks as such are shown as `[redacted]`.
//! - Denied actions reach the log without the call waiting for it. They wait in memory, 1024 at most; what does not fit
//!   is counted in `headgate_audit_dropped_denials_total`.
//!
//! # How a service takes part
//!
//! 1. A migration makes the table `audit_outbox`; catalog and budget have one.
//! 2. A handler keeps the [`Caller`](headgate_access::Caller) that the gate gave it and hands it on to where changes are
//!    carried out, which takes `impl Into<Author>`: `registry.change(&caller, plan)`. What a service does by itself has
//!    [`Author::own`](headgate_access::Author::own)`("bootstrap")`.
//! 3. Where the rows are written, before the commit:
//!    `outbox::write(&mut tx, &entries).await?`, with an entry for each thing that became another:
//!    `Entry::of_change(&author, now_ms, Thing::of(tenant_id, "model", id), before, after)`, where `before` and `after`
//!    are `Option<Shown>`: `Shown::of(&row.to_proto())`. It is `None` where nothing changed.
//! 4. The process delivers it with [`outbox::deliver`], begun once where the services are put together; that of catalog
//!    and budget is.

mod delivery;
mod denials;
mod entry;
mod json;
pub mod outbox;
mod shown;
#[cfg(test)]
mod tests;

pub use delivery::AT_ONCE;
pub use denials::tell_denials;
pub use entry::{Entry, Thing, id_floor};
pub use json::{from_json, to_json};
pub use shown::Shown;
