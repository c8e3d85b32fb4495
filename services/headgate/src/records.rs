//! The spools of this process: the router's records, and budget's for leases whose holder never came back.

use std::path::Path;

use headgate_kit::spool::{OpenEntry, Options, Spool, SpoolError};

use crate::compose::Context;
use crate::settings::Settings;
use crate::topology::Service;

/// Who reads every record.
const CONSUMERS: [&str; 2] = ["budget", "usage"];

/// What is written here.
pub(crate) struct Records {
    /// `None` without a router.
    pub(crate) router: Option<Spool>,
    /// What an earlier router left open.
    pub(crate) unfinished: Vec<OpenEntry>,
    /// `None` without budget.
    pub(crate) outbox: Option<Spool>,
}

impl Records {
    pub(crate) fn open(settings: &Settings, data_dir: &Path, context: &Context) -> Result<Self, SpoolError> {
        let open = |name: &str, owner: Service| {
            let options = Options {
                dir: data_dir.join("spool").join(name),
                segment_bytes: settings.router.spool_segment_bytes,
                cap_bytes: settings.router.spool_cap_bytes,
                consumers: CONSUMERS.map(str::to_owned).to_vec(),
            };
            context.here.runs(owner).then(|| Spool::open(options)).transpose()
        };
        let (router, unfinished) = open("router", Service::Router)?.unzip();
        // Budget writes ends only, so nothing there can be unfinished.
        let (outbox, _) = open("budget", Service::Budget)?.unzip();
        let records = Self { router, unfinished: unfinished.unwrap_or_default(), outbox };
        for spool in records.spools() {
            context.storage.spawn(spool.clone().run(context.storage.stopping()));
        }
        Ok(records)
    }

    /// Each of them.
    pub(crate) fn spools(&self) -> impl Iterator<Item = &Spool> {
        self.router.iter().chain(&self.outbox)
    }
}
