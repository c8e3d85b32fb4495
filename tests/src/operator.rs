//! What an operator does over gRPC: an authorised connection, and the ledger.

use std::net::SocketAddr;
use std::time::Duration;

use headgate_proto::record::v1::UsageRecord;
use headgate_proto::usage::v1::usage_service_client::UsageServiceClient;
use headgate_proto::usage::v1::{
    GetUsageSummaryRequest, GetUsageSummaryResponse, ListUsageRecordsRequest, UsageFilter,
};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::cluster::Headgate;
use crate::wait::eventually;

/// How long a row may take to appear on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A connection whose calls carry a credential.
pub type Authorized = InterceptedService<Channel, Bearer>;

/// Adds `authorization: Bearer ...`.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A connection to a gRPC listener that presents `credential`.
///
/// # Panics
/// When nobody listens.
pub async fn authorized(address: SocketAddr, credential: &str) -> Authorized {
    let channel =
        Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.expect("gRPC is served");
    bearing(channel, credential)
}

/// The same over a connection that is there.
///
/// # Panics
/// When the credential is not ASCII.
#[must_use]
pub fn bearing(channel: Channel, credential: &str) -> Authorized {
    let bearer = format!("Bearer {credential}").parse().expect("a credential of ASCII");
    InterceptedService::new(channel, Bearer(bearer))
}

impl Headgate {
    /// The ledger's newest rows, 1000 at most.
    ///
    /// # Panics
    /// When usage refuses.
    pub async fn ledger(&self, filter: UsageFilter) -> Vec<UsageRecord> {
        let request =
            ListUsageRecordsRequest { filter: Some(filter), page_size: 1000, page_token: String::new() };
        let mut usage = UsageServiceClient::new(self.operator("usage").await);
        usage.list_usage_records(request).await.expect("usage answers").into_inner().records
    }

    /// All rows of the ledger, newest first.
    ///
    /// # Panics
    /// When usage refuses.
    pub async fn whole_ledger(&self, filter: UsageFilter) -> Vec<UsageRecord> {
        let mut usage = UsageServiceClient::new(self.operator("usage").await);
        let (mut rows, mut page_token) = (Vec::new(), String::new());
        loop {
            let request =
                ListUsageRecordsRequest { filter: Some(filter.clone()), page_size: 1000, page_token };
            let page = usage.list_usage_records(request).await.expect("usage answers").into_inner();
            rows.extend(page.records);
            if page.next_page_token.is_empty() {
                return rows;
            }
            page_token = page.next_page_token;
        }
    }

    /// The sums over all rows.
    ///
    /// # Panics
    /// When usage refuses.
    pub async fn usage_summary(&self) -> GetUsageSummaryResponse {
        let mut usage = UsageServiceClient::new(self.operator("usage").await);
        let request = GetUsageSummaryRequest { filter: None };
        usage.get_usage_summary(request).await.expect("usage answers").into_inner()
    }

    /// All rows, newest first, once there are `expected` of them and none is on its way.
    ///
    /// # Panics
    /// When there are not so many in time, or more.
    pub async fn rows(&self, expected: usize) -> Vec<UsageRecord> {
        let expected_rows = u64::try_from(expected).unwrap();
        eventually(SOON, &format!("{expected} ledger rows"), || async {
            let summary = self.usage_summary().await;
            (summary.requests >= expected_rows && summary.pending_records == 0).then_some(())
        })
        .await;
        let rows = self.ledger(UsageFilter::default()).await;
        assert_eq!(rows.len(), expected, "rows: {rows:#?}");
        rows
    }

    /// The only row.
    ///
    /// # Panics
    /// When there is none in time, or more than one.
    pub async fn only_row(&self) -> UsageRecord {
        self.rows(1).await.remove(0)
    }
}
