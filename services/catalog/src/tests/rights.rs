//! Who may read and change what.

use headgate_access::Role;
use headgate_access::testing::{Issuer, bearing};
use headgate_proto::catalog::v1::{
    GetTenantModelsRequest, ListModelsRequest, ListProvidersRequest, SetTenantModelsRequest,
};

use super::*;

on_both_engines!(a_tenants_people_see_and_change_its_allowlist_alone, the_catalog_itself_takes_a_super_admin);

/// Keys that are known, and who signs with them.
fn issuer(fixture: &Fixture) -> Issuer {
    let issuer = Issuer::new("one", fixture.clock.clone());
    fixture.catalog.gate.apply(issuer.snapshot(Vec::new()));
    issuer
}

async fn a_tenants_people_see_and_change_its_allowlist_alone(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let issuer = issuer(&fixture);
    let models = ModelServiceClient::new(local(fixture.catalog.model_service()));
    let get = async |tenant: &str, token: &str| {
        let request = bearing(GetTenantModelsRequest { tenant_id: tenant.into() }, token);
        models
            .clone()
            .get_tenant_models(request)
            .await
            .map(|list| list.into_inner().restricted)
            .map_err(failure)
    };
    let restrict = async |tenant: &str, token: &str| {
        let request =
            SetTenantModelsRequest { tenant_id: tenant.into(), restricted: Some(true), ..Default::default() };
        models.clone().set_tenant_models(bearing(request, token)).await.map(drop).map_err(failure)
    };
    let viewer = issuer.token("ada", &[("acme", Role::Viewer)]);
    let admin = issuer.token("bob", &[("acme", Role::Admin)]);
    assert_eq!(restrict("acme", &viewer).await.unwrap_err().reason, ErrorReason::PermissionDenied);
    assert_eq!(get("acme", &viewer).await, Ok(false));
    assert_eq!(restrict("acme", &admin).await, Ok(()));
    assert_eq!(get("acme", &viewer).await, Ok(true));
    // Catalog knows no tenants, so that it cannot give away which ones there are.
    assert_eq!(restrict("globex", &admin).await.unwrap_err().reason, ErrorReason::NotFound);
    assert_eq!(get("globex", &admin).await.unwrap_err().reason, ErrorReason::NotFound);
    assert_eq!(get("globex", "operator-token").await, Ok(false), "nothing was changed");
}

async fn the_catalog_itself_takes_a_super_admin(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let issuer = issuer(&fixture);
    let owner = issuer.token("ada", &[("acme", Role::Owner)]);
    let root = issuer.sign(&headgate_access::Claims { super_admin: true, ..issuer.claims("root", &[]) });
    let mut models = ModelServiceClient::new(local(fixture.catalog.model_service()));
    let mut providers = ProviderServiceClient::new(local(fixture.catalog.provider_service()));
    for (token, expected) in [(&owner, Err(ErrorReason::PermissionDenied)), (&root, Ok(()))] {
        let listed = [
            models.list_models(bearing(ListModelsRequest::default(), token)).await.map(drop),
            providers.list_providers(bearing(ListProvidersRequest::default(), token)).await.map(drop),
        ];
        assert_eq!(listed.map(|answer| answer.map_err(|status| failure(status).reason)), [expected; 2]);
    }
}
