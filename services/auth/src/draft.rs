//! A change under way that writes what is not kept in memory.

use std::sync::Arc;

use headgate_kit::Failure;
use headgate_kit::db::Tx;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::directory::{Batch, Directory};
use crate::model::Tenant;
use crate::store::Change;

/// One change: all of it lasts and is told to whoever follows, or nothing. Nobody else makes one meanwhile.
pub(crate) struct Draft {
    /// What followers learn of.
    pub batch: Batch,
    pub now_ms: i64,
    change: Change,
    directory: Arc<RwLock<Directory>>,
    written: bool,
}

impl Draft {
    pub(crate) fn new(change: Change, directory: Arc<RwLock<Directory>>, now_ms: i64) -> Self {
        Self { batch: Batch::default(), now_ms, change, directory, written: false }
    }

    /// The revision that it makes.
    pub(crate) fn revision(&self) -> i64 {
        self.change.revision()
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

    /// Writes a tenant before what refers to it.
    pub(crate) async fn put_tenant(&mut self, tenant: &Tenant) -> Result<(), Failure> {
        self.batch.tenants.push(tenant.clone());
        self.change.put_tenant(tenant).await
    }

    /// To look tenants up. Not to be held across an await.
    pub(crate) fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read()
    }

    /// What to carry out. `None` when nothing changes.
    pub(crate) fn finish(self) -> Option<(Change, Batch)> {
        (self.written || !self.batch.is_empty()).then_some((self.change, self.batch))
    }
}
