//! What the gRPC listener offers.

use headgate_proto::FILE_DESCRIPTOR_SET;
use tonic::service::Routes;
use tonic_reflection::server::Builder;

use crate::compose::{ComposeError, Services};
use crate::health::Health;

impl Services {
    /// Consumers' and operators' services of this process, health and reflection. Internal services are there too,
    /// and answer peers only.
    pub(crate) fn routes(&self, health: &Health) -> Result<Routes, ComposeError> {
        let routes = Routes::new(health.service())
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
        Ok(self.offered(routes))
    }

    /// The services of this process, beside what is there already.
    pub(crate) fn offered(&self, mut routes: Routes) -> Routes {
        if let Some(router) = &self.router {
            routes = routes
                .add_service(router.inference_service())
                .add_service(router.directory_service())
                .add_service(router.routing_service());
        }
        if let Some(auth) = &self.auth {
            routes = routes
                .add_service(auth.tenant_service())
                .add_service(auth.api_key_service())
                .add_service(auth.personal_key_service())
                .add_service(auth.authentication_service())
                .add_service(auth.access_watch_service())
                .add_service(auth.session_service())
                .add_service(auth.oidc_service())
                .add_service(auth.account_service())
                .add_service(auth.user_service())
                .add_service(auth.membership_service())
                .add_service(auth.audit_service())
                .add_service(auth.audit_ingest_service());
        }
        if let Some(catalog) = &self.catalog {
            routes = routes
                .add_service(catalog.provider_service())
                .add_service(catalog.health_service())
                .add_service(catalog.backup_service())
                .add_service(catalog.model_service())
                .add_service(catalog.default_model_service())
                .add_service(catalog.price_service())
                .add_service(catalog.master_key_service())
                .add_service(catalog.registration_service())
                .add_service(catalog.watch_service());
        }
        if let Some(budget) = &self.budget {
            routes = routes
                .add_service(budget.budget_service())
                .add_service(budget.admission_service())
                .add_service(budget.policy_watch_service())
                .add_service(budget.key_quota_service())
                .add_service(budget.tenant_standing_service());
        }
        if let Some(usage) = &self.usage {
            routes = routes.add_service(usage.usage_service());
        }
        if let Some(runtime) = &self.runtime {
            routes = routes.add_service(runtime.local_model_service());
        }
        if let Some(adapter) = &self.adapter {
            routes = routes.add_service(adapter.adapter_service());
        }
        routes
    }
}

fn reflection() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
