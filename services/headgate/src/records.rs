//! The records of this process: the spools they are written to (the router's, and budget's for leases whose holder never
//! came back), and the way to budget and usage from there.

use std::path::Path;

use headgate_kit::ids;
use headgate_kit::nats::{Broker, Forwarder};
use headgate_kit::records::RecordSource;
use headgate_kit::spool::{OpenEntry, Options, Spool, SpoolError};

use crate::compose::{ComposeError, Context};
use crate::settings::Settings;
use crate::topology::Service;

/// Who reads every record in place.
const IN_PLACE: [&str; 2] = ["budget", "usage"];
/// Who does where a broker takes them on.
const FORWARDED: [&str; 1] = [Forwarder::CONSUMER];

/// What is written here.
pub(crate) struct Records {
    /// `None` without a router.
    pub(crate) router: Option<Spool>,
    /// What an earlier router left open.
    pub(crate) unfinished: Vec<OpenEntry>,
    /// `None` without budget.
    pub(crate) outbox: Option<Spool>,
    /// What an earlier budget left open there.
    pub(crate) unfinished_leases: Vec<OpenEntry>,
    /// Where they go; `None` when budget and usage of this process read the spools.
    broker: Option<Broker>,
}

impl Records {
    pub(crate) fn open(
        settings: &Settings,
        data_dir: &Path,
        context: &Context,
    ) -> Result<Self, ComposeError> {
        let broker = Broker::new(&settings.nats, &context.here.names().join(","), &context.registry)?;
        // Elsewhere nobody connects to it.
        let in_use = context.here.runs_any(&[Service::Router, Service::Budget, Service::Usage]);
        if let Some(broker) = broker.as_ref().filter(|_| in_use) {
            broker.watched(&context.vitals);
        }
        let consumers: &[&str] = if broker.is_some() { &FORWARDED } else { &IN_PLACE };
        let open = |name: &str, owner: Service| {
            let options = Options {
                dir: data_dir.join("spool").join(name),
                segment_bytes: settings.router.spool_segment_bytes,
                cap_bytes: settings.router.spool_cap_bytes,
                consumers: consumers.iter().map(|name| (*name).to_owned()).collect(),
            };
            context.here.runs(owner).then(|| Spool::open(options)).transpose()
        };
        let (router, unfinished) = open("router", Service::Router)?.unzip();
        let (outbox, unfinished_leases) = open("budget", Service::Budget)?.unzip();
        let (unfinished, unfinished_leases) =
            (unfinished.unwrap_or_default(), unfinished_leases.unwrap_or_default());
        let records = Self { router, unfinished, outbox, unfinished_leases, broker };
        for (_, spool) in records.spools() {
            context.storage.spawn(spool.clone().run(context.storage.stopping()));
        }
        Ok(records)
    }

    /// Each of them, and what it is called.
    fn spools(&self) -> impl Iterator<Item = (&'static str, &Spool)> {
        let router = self.router.iter().map(|spool| ("router", spool));
        router.chain(self.outbox.iter().map(|spool| ("budget", spool)))
    }

    /// Lets budget and usage, where they run in this process, read what the spools of this process hold or, over a
    /// broker, what all spools do.
    pub(crate) fn consume(
        &self,
        budget: Option<&headgate_budget::Budget>,
        usage: Option<&headgate_usage::Usage>,
        context: &Context,
    ) -> Result<(), SpoolError> {
        let Some(broker) = &self.broker else {
            for (_, spool) in self.spools() {
                if let Some(budget) = budget {
                    budget.consume(RecordSource::spool(spool.reader("budget")?));
                }
                if let Some(usage) = usage {
                    usage.consume(RecordSource::spool(spool.reader("usage")?));
                }
            }
            return Ok(());
        };
        let mut forwarded = Vec::new();
        for (name, spool) in self.spools() {
            let forwarder = broker.forwarder(name, spool, ids::uuid(&context.clock))?;
            forwarded.push(forwarder.progress());
            context.back.spawn(forwarder.run(context.back.stopping()));
        }
        if let Some(budget) = budget {
            budget.consume(broker.source("budget", forwarded.clone(), &context.back));
        }
        if let Some(usage) = usage {
            usage.consume(broker.source("usage", forwarded, &context.back));
        }
        Ok(())
    }
}
