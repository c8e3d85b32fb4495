use headgate_proto::auth::v1::{
    DeleteTenantRequest, FindTenantRequest, GetTenantRequest, ListTenantsRequest, LookupTenantsRequest,
    Tenant, UpdateTenantRequest,
};
use tonic::Request;

use super::*;

on_both_engines!(
    only_operators_and_peers_manage_tenants_and_keys,
    names_and_ids_are_taken_once,
    an_assigned_id_is_read_back_with_its_time,
    tenants_are_listed_in_pages_by_id,
    an_archived_tenant_stays_archived,
    a_tenant_is_renamed_and_keeps_the_rest,
    of_two_renames_of_what_was_read_one_succeeds,
    a_deleted_tenant_is_archived_and_stays_to_be_read,
    tenants_are_found_by_a_part_of_their_name,
    peers_learn_which_tenants_there_are,
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

impl Fixture {
    async fn read_tenant(&self, id: &str) -> Tenant {
        let request = GetTenantRequest { id: id.into() };
        self.tenants().get_tenant(request).await.unwrap().into_inner().tenant.unwrap()
    }

    async fn rename(&self, id: &str, name: &str, etag: &str) -> Result<Tenant, Status> {
        let request = UpdateTenantRequest { id: id.into(), name: Some(name.into()), etag: etag.into() };
        Ok(self.tenants().update_tenant(request).await?.into_inner().tenant.unwrap())
    }
}

async fn a_tenant_is_renamed_and_keeps_the_rest(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    fixture.tenant("b").await;
    let before = fixture.read_tenant("a").await;
    let renamed = fixture.rename("a", "Acme", "").await.unwrap();
    assert_ne!(renamed.etag, before.etag);
    assert_eq!(renamed, Tenant { name: "Acme".into(), etag: renamed.etag.clone(), ..before });
    assert_eq!(fixture.rename("a", "Acme", "").await.unwrap(), renamed, "what changes nothing is no change");
    let taken = fixture.rename("a", "b", "").await.unwrap_err();
    assert_eq!(field(taken), (ErrorReason::AlreadyExists, "name".into()));
    let empty = fixture.rename("a", " ", "").await.unwrap_err();
    assert_eq!(field(empty), (ErrorReason::InvalidRequest, "name".into()));
    for padded in ["b ", " b", "b\u{2003}"] {
        let refusal = fixture.rename("a", padded, "").await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "name".into()));
        let request = CreateTenantRequest { name: padded.into(), id: String::new() };
        let refusal = fixture.tenants().create_tenant(request).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "name".into()));
    }
    let missing = fixture.rename("none", "c", "").await.unwrap_err();
    assert_eq!(failure(missing).reason, ErrorReason::NotFound);
    fixture.rename("b", "a", "").await.unwrap();
    drop(fixture);
    assert_eq!(Fixture::start(&db).await.read_tenant("a").await, renamed, "over a restart");
}

async fn of_two_renames_of_what_was_read_one_succeeds(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let etag = fixture.read_tenant("a").await.etag;
    let (one, other) = tokio::join!(fixture.rename("a", "one", &etag), fixture.rename("a", "other", &etag));
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    let (won, refusal) = (won.unwrap(), failure(lost.unwrap_err()));
    assert_eq!((refusal.reason, &refusal.metadata["etag"]), (ErrorReason::Conflict, &won.etag));
    assert_eq!(fixture.read_tenant("a").await, won);
    let request = SetTenantStatusRequest { id: "a".into(), status: TenantStatus::Suspended.into(), etag };
    let refusal = fixture.tenants().set_tenant_status(request).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::Conflict);
}

async fn a_deleted_tenant_is_archived_and_stays_to_be_read(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let (_, key) = fixture.key("a").await;
    let delete = async |etag: &str| {
        let request = DeleteTenantRequest { id: "a".into(), etag: etag.into() };
        fixture.tenants().delete_tenant(request).await.map(|gone| gone.into_inner().tenant.unwrap())
    };
    assert_eq!(failure(delete("0").await.unwrap_err()).reason, ErrorReason::Conflict);
    let deleted = delete(&fixture.read_tenant("a").await.etag).await.unwrap();
    assert_eq!(deleted.status(), TenantStatus::Archived);
    assert_eq!(delete("").await.unwrap(), deleted);
    assert_eq!(fixture.read_tenant("a").await, deleted);
    assert_eq!(fixture.verify(&key).await, Err(ErrorReason::TenantDisabled));
}

async fn tenants_are_found_by_a_part_of_their_name(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    for id in ["search", "research", "ads"] {
        fixture.tenant(id).await;
    }
    let find = async |query: &str, page_size| {
        let request = LookupTenantsRequest { query: query.into(), page_size };
        let found = fixture.tenants().lookup_tenants(request).await?.into_inner().tenants;
        Ok::<_, Status>(found.into_iter().map(|tenant| tenant.id).collect::<Vec<_>>())
    };
    assert_eq!(find("SEARCH", 0).await.unwrap(), ["research", "search"]);
    assert_eq!(find("", 1).await.unwrap(), ["ads"]);
    assert_eq!(field(find("", 101).await.unwrap_err()), (ErrorReason::InvalidRequest, "page_size".into()));
}

async fn peers_learn_which_tenants_there_are(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("a").await;
    let find = async |id: &str| {
        let found = fixture.peers().find_tenant(FindTenantRequest { id: id.into() }).await;
        found.map(drop).map_err(|status| failure(status).reason)
    };
    for none in ["b", ""] {
        assert_eq!(find(none).await, Err(ErrorReason::NotFound));
    }
    for status in [TenantStatus::Active, TenantStatus::Suspended, TenantStatus::Archived] {
        fixture.set_status("a", status).await.unwrap();
        assert_eq!(find("a").await, Ok(()), "{status:?}");
    }
    let mut outsider = AuthenticationServiceClient::new(fixture.auth.authentication_service());
    let refusal = outsider.find_tenant(FindTenantRequest { id: "a".into() }).await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::Unauthenticated);
}
