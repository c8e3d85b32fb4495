//! Asks providers whether they are there, through the adapter, which alone speaks to them.

use std::time::Duration;

use headgate_kit::Failure;
use headgate_kit::conn::Conn;
use headgate_proto::adapter::v1::adapter_service_client::AdapterServiceClient;
use headgate_proto::adapter::v1::{Deadlines, ProbeRequest, ProbeResponse, Target};
use tonic::Request;

use crate::change::Provider;

/// What the way to the adapter and back may take beside the probe itself.
const WAY: Duration = Duration::from_secs(2);

/// Asks one provider at a time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Prober {
    adapter: AdapterServiceClient<Conn>,
    timeout_ms: u32,
}

impl Prober {
    pub(crate) fn new(adapter: Conn, timeout_ms: u32) -> Self {
        Self { adapter: AdapterServiceClient::new(adapter), timeout_ms }
    }

    /// What is found of a provider.
    ///
    /// # Errors
    /// When that cannot be told, as the adapter is away.
    pub(crate) async fn ask(&self, provider: &Provider) -> Result<ProbeResponse, Failure> {
        let shown = &provider.shown;
        let target = Target {
            provider_id: shown.id.clone(),
            kind: shown.kind,
            base_url: shown.base_url.clone(),
            credential: provider.credential.clone(),
            deadlines: Some(Deadlines {
                connect_ms: self.timeout_ms,
                first_byte_ms: self.timeout_ms,
                inter_chunk_ms: 0,
                total_ms: self.timeout_ms,
            }),
            ..Target::default()
        };
        let mut request = Request::new(ProbeRequest { target: Some(target) });
        request.set_timeout(Duration::from_millis(self.timeout_ms.into()) + WAY);
        let found = self.adapter.clone().probe(request).await;
        found.map(tonic::Response::into_inner).map_err(|status| Failure::from_status(&status))
    }
}
