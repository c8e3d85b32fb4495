use headgate_proto::auth::v1::{GetTenantRequest, ListTenantsRequest};
use tonic::Request;

use super::*;

on_both_engines!(
    only_operators_and_peers_manage_tenants_and_keys,
    names_and_ids_are_taken_once,
    an_assigned_id_is_read_back_with_its_time,
    tenants_are_listed_in_pages_by_id,
    an_archived_tenant_stays_archived,
);

async fn only_operators_and_peers_manage_tenants_and_keys(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    // Not over a connection of the deployment: nobody vouches for the caller.
    let mut outsider = TenantServiceClient::new(fixture.auth.tenant_service());
    let refusal = outsider.create_tenant(CreateTenantRequest::default()).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::MissingCredential);
    let with_token = |token: &str| {
        let mut request = Request::new(ListTenantsRequest::default());
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        request
    };
    let refusal = outsider.list_tenants(with_token("Bearer guess")).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::InvalidCredential);
    assert!(outsider.list_tenants(with_token("Bearer operator-token")).await.is_ok());

    let mut outsider = ApiKeyServiceClient::new(fixture.auth.api_key_service());
    let refusal = outsider.create_api_key(CreateApiKeyRequest::default()).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::MissingCredential);
}

async fn names_and_ids_are_taken_once(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    for (name, id, wanted) in [("a", "b", "name"), ("b", "a", "id")] {
        let request = CreateTenantRequest { name: name.into(), id: id.into() };
        let refusal = fixture.tenants().create_tenant(request).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::AlreadyExists, wanted.into()));
    }
    let request = CreateTenantRequest { name: String::new(), id: String::new() };
    let refusal = fixture.tenants().create_tenant(request).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "name".into()));
}

async fn an_assigned_id_is_read_back_with_its_time(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let request = CreateTenantRequest { name: "Acme".into(), id: String::new() };
    let made = fixture.tenants().create_tenant(request).await.unwrap().into_inner().tenant.unwrap();
    assert!(made.id.starts_with("tenant_"));
    assert_eq!(made.create_time.unwrap().seconds, NOW_MICROS / 1_000_000);
    let read = fixture.tenants().get_tenant(GetTenantRequest { id: made.id.clone() }).await.unwrap();
    assert_eq!(read.into_inner().tenant.unwrap(), made);
    let refusal = fixture.tenants().get_tenant(GetTenantRequest { id: "none".into() }).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::NotFound);
}

async fn tenants_are_listed_in_pages_by_id(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    for id in ["c", "a", "b"] {
        fixture.tenant(id).await;
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTenantsRequest { page_size: 2, page_token };
        let page = fixture.tenants().list_tenants(request).await.unwrap().into_inner();
        seen.push(page.tenants.iter().map(|t| t.id.clone()).collect::<Vec<_>>());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [vec!["a", "b"], vec!["c"]]);
    for (request, wanted) in [
        (ListTenantsRequest { page_size: 1001, page_token: String::new() }, "page_size"),
        (ListTenantsRequest { page_size: 1, page_token: "?".into() }, "page_token"),
    ] {
        let refusal = fixture.tenants().list_tenants(request).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, wanted.into()));
    }
}

async fn an_archived_tenant_stays_archived(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    fixture.set_status("a", TenantStatus::Suspended).await.unwrap();
    fixture.set_status("a", TenantStatus::Archived).await.unwrap();
    fixture.set_status("a", TenantStatus::Archived).await.unwrap();
    let refusal = fixture.set_status("a", TenantStatus::Active).await.unwrap_err();
    assert_eq!(refusal.reason, ErrorReason::Conflict);
    let refusal = fixture.set_status("a", TenantStatus::Unspecified).await.unwrap_err();
    assert_eq!(refusal.metadata["field"], "status");
    let refusal = fixture.set_status("none", TenantStatus::Active).await.unwrap_err();
    assert_eq!(refusal.reason, ErrorReason::NotFound);
}
