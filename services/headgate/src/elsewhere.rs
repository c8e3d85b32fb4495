//! Connections to services of other processes.

use std::collections::BTreeMap;
use std::sync::Arc;

use headgate_kit::conn::{self, Conn};
use parking_lot::Mutex;

use crate::compose::Context;
use crate::topology::{Peers, Service};

/// One connection to each service that is elsewhere, however many services of this process call it. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Elsewhere(Arc<Mutex<BTreeMap<Service, Conn>>>);

impl Elsewhere {
    /// To a service elsewhere; `None` where its address is not set.
    pub(crate) fn conn(&self, service: Service, peers: &Peers, context: &Context) -> Option<Conn> {
        let mut known = self.0.lock();
        if let Some(conn) = known.get(&service) {
            return Some(conn.clone());
        }
        let address = peers.address(service)?.ok()?;
        let conn = conn::remote(address, &context.identity, &context.front);
        context.vitals.peer(service.name(), &conn);
        known.insert(service, conn.clone());
        Some(conn)
    }
}
