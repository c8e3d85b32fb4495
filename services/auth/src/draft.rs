//! A change under way that writes what is not kept in memory.

use std::sync::Arc;

use headgate_access::{Actor, Author};
use headgate_audit::{Entry, Shown, Thing};
use headgate_kit::Failure;
use headgate_kit::db::Tx;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::audit::{self, Notes};
use crate::directory::{Batch, Directory};
use crate::model::Tenant;
use crate::store::Change;

/// One change: all of it lasts and is told to whoever follows, or nothing. Nobody else makes one meanwhile.
pub(crate) struct Draft {
    /// What followers learn of.
    pub batch: Batch,
    pub now_ms: i64,
    by: Author,
    notes: Notes,
    change: Change,
    directory: Arc<RwLock<Directory>>,
    written: bool,
}

impl Draft {
    pub(crate) fn new(by: Author, change: Change, directory: Arc<RwLock<Directory>>, now_ms: i64) -> Self {
        let (batch, notes) = (Batch::default(), Notes::default());
        Self { batch, now_ms, by, notes, change, directory, written: false }
    }

    /// The revision that it makes.
    pub(crate) fn revision(&self) -> i64 {
        self.change.revision()
    }

    /// Whose change it is.
    pub(crate) fn by(&self) -> &Author {
        &self.by
    }

    /// That it is this user's, as turned out in its course.
    pub(crate) fn turned_out(&mut self, user_id: &str) {
        self.by.actor = Actor::User(user_id.to_owned());
    }

    /// Has the audit log tell what a thing was before and is after.
    pub(crate) fn became(&mut self, thing: Thing, before: Option<Shown>, after: Option<Shown>) {
        self.notes.became(thing, before, after);
    }

    /// Has it tell that something was done with a thing, which need not show in it.
    pub(crate) fn did(&mut self, thing: Thing) {
        self.notes.did(thing);
    }

    /// To look things up in the database.
    pub(crate) fn reading(&mut self) -> &mut Tx {
        self.change.tx()
    }

    /// To write into the database.
    pub(crate) fn writing(&mut self) -> &mut Tx {
        self.written = true;
        self.change.tx()
    }

    /// To write into the database what has an author.
    pub(crate) fn writing_by(&mut self) -> (&mut Tx, &Author) {
        self.written = true;
        (self.change.tx(), &self.by)
    }

    /// Writes a tenant before what refers to it.
    pub(crate) async fn put_tenant(&mut self, tenant: &Tenant) -> Result<(), Failure> {
        self.batch.tenants.push(tenant.clone());
        self.change.put_tenant(tenant).await
    }

    /// To look tenants up. Not to be held across an await.
    pub(crate) fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read()
    }

    /// What to carry out, and what the audit log tells of it. `None` when nothing changes.
    pub(crate) fn finish(self) -> Result<Option<(Change, Batch, Vec<Entry>)>, Failure> {
        if !self.written && self.batch.is_empty() {
            return Ok(None);
        }
        let mut entries = audit::of_batch(&self.by, self.now_ms, &self.batch, &self.directory.read())?;
        entries.extend(self.notes.entries(&self.by, self.now_ms));
        Ok(Some((self.change, self.batch, entries)))
    }
}
