//! `ModelPriceService`.

use std::sync::Arc;

use headgate_access::Gate;
use headgate_kit::Failure;
use headgate_kit::page::Page;
use headgate_proto::catalog::v1::model_price_service_server::ModelPriceService;
use headgate_proto::catalog::v1::{ListModelPricesRequest, ListModelPricesResponse};
use tonic::{Request, Response, Status};

use crate::plan::no_such;
use crate::price_list;
use crate::registry::Registry;

/// Tells super admins what models cost, and when.
#[derive(Clone)]
pub struct PriceApi {
    registry: Arc<Registry>,
    gate: Gate,
}

impl PriceApi {
    pub(crate) fn new(registry: Arc<Registry>, gate: Gate) -> Self {
        Self { registry, gate }
    }
}

#[tonic::async_trait]
impl ModelPriceService for PriceApi {
    async fn list_model_prices(
        &self,
        request: Request<ListModelPricesRequest>,
    ) -> Result<Response<ListModelPricesResponse>, Status> {
        self.gate.check(&request)?;
        let ListModelPricesRequest { model, page_size, page_token } = request.into_inner();
        let page = Page::parse(page_size, &page_token)?;
        let before = revision(&page.after)?;
        let present = self.registry.read().model_known_as(&model).cloned();
        let id = present.as_ref().map_or(&model, |model| &model.id);
        let mut rows = self.registry.prices(id, before, page.rows()).await?;
        if present.is_none() && rows.is_empty() && before.is_none() {
            return Err(no_such("model").into());
        }
        // Only the newest can hold, and it may already be older than the model that was looked up.
        if let (None, Some(newest), Some(model)) = (before, rows.first_mut(), &present) {
            newest.is_current = price_list::is_of(newest, model);
        }
        let rows = rows.into_iter().map(|row| (row.revision.to_string(), row));
        let (rows, next_page_token) = page.cut(rows, |(revision, _)| revision);
        let prices = rows.into_iter().map(|(_, row)| row).collect();
        Ok(Response::new(ListModelPricesResponse { prices, next_page_token }))
    }
}

/// The revision that a page ends at.
fn revision(token: &str) -> Result<Option<u64>, Failure> {
    if token.is_empty() {
        return Ok(None);
    }
    let bad_token = |_| Failure::invalid("page_token", "page_token is not one that this list returned");
    token.parse().map(Some).map_err(bad_token)
}
