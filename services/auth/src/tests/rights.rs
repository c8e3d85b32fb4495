//! Who may read and change which tenant and key.

use headgate_access::testing::{Issuer, bearing};
use headgate_access::{Claims, Role};
use headgate_proto::auth::v1::{
    GetApiKeyRequest, GetTenantRequest, ListApiKeysRequest, ListTenantsRequest, RevokeApiKeyRequest,
};

use super::*;

on_both_engines!(
    people_read_what_is_of_their_tenants_and_nothing_else,
    admins_make_and_revoke_the_keys_of_their_tenant,
    tenants_are_made_and_changed_by_super_admins,
);

/// What someone who presents `token` may call.
struct Person {
    token: String,
    tenants: TenantServiceClient<Conn>,
    keys: ApiKeyServiceClient<Conn>,
}

impl Fixture {
    async fn with_tenants(db: &TestDb) -> Self {
        let fixture = Self::start(db).await;
        for tenant in ["acme", "globex", "initech"] {
            fixture.tenant(tenant).await;
        }
        fixture
    }

    /// Someone with these roles; a super admin when there are none.
    fn person(&self, tenants: &[(&str, Role)]) -> Person {
        let issuer = Issuer::new("one", self.clock.clone());
        self.auth.gate.apply(issuer.snapshot(Vec::new()));
        let claims = Claims { super_admin: tenants.is_empty(), ..issuer.claims("ada", tenants) };
        Person {
            token: issuer.sign(&claims),
            tenants: TenantServiceClient::new(local(self.auth.tenant_service())),
            keys: ApiKeyServiceClient::new(local(self.auth.api_key_service())),
        }
    }
}

impl Person {
    async fn get_tenant(&mut self, id: &str) -> Result<String, Failure> {
        let request = bearing(GetTenantRequest { id: id.into() }, &self.token);
        let answer = self.tenants.get_tenant(request).await.map_err(failure)?;
        Ok(answer.into_inner().tenant.unwrap().id)
    }

    /// All pages.
    async fn list_tenants(&mut self, page_size: u32) -> Vec<String> {
        let (mut ids, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = bearing(ListTenantsRequest { page_size, page_token }, &self.token);
            let page = self.tenants.list_tenants(request).await.unwrap().into_inner();
            ids.extend(page.tenants.into_iter().map(|tenant| tenant.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return ids;
            }
        }
    }

    async fn set_status(&mut self, id: &str) -> Result<(), Failure> {
        let request = SetTenantStatusRequest {
            id: id.into(),
            status: TenantStatus::Suspended.into(),
            ..Default::default()
        };
        self.tenants.set_tenant_status(bearing(request, &self.token)).await.map(drop).map_err(failure)
    }

    async fn make_tenant(&mut self, id: &str) -> Result<(), Failure> {
        let request = CreateTenantRequest { name: id.into(), id: id.into() };
        self.tenants.create_tenant(bearing(request, &self.token)).await.map(drop).map_err(failure)
    }

    async fn list_keys(&mut self, tenant_id: &str) -> Result<usize, Failure> {
        let request = ListApiKeysRequest { tenant_id: tenant_id.into(), ..Default::default() };
        let answer = self.keys.list_api_keys(bearing(request, &self.token)).await;
        answer.map(|page| page.into_inner().api_keys.len()).map_err(failure)
    }

    async fn get_key(&mut self, id: &str) -> Result<(), Failure> {
        let request = bearing(GetApiKeyRequest { id: id.into() }, &self.token);
        self.keys.get_api_key(request).await.map(drop).map_err(failure)
    }

    async fn make_key(&mut self, tenant_id: &str) -> Result<String, Failure> {
        let request = CreateApiKeyRequest { tenant_id: tenant_id.into(), ..Default::default() };
        let answer = self.keys.create_api_key(bearing(request, &self.token)).await.map_err(failure)?;
        Ok(answer.into_inner().api_key.unwrap().id)
    }

    async fn revoke(&mut self, id: &str) -> Result<(), Failure> {
        let request = bearing(RevokeApiKeyRequest { id: id.into(), ..Default::default() }, &self.token);
        self.keys.revoke_api_key(request).await.map(drop).map_err(failure)
    }
}

async fn people_read_what_is_of_their_tenants_and_nothing_else(db: TestDb) {
    let fixture = Fixture::with_tenants(&db).await;
    let (own, _) = fixture.key("acme").await;
    let (other, _) = fixture.key("globex").await;
    let mut viewer = fixture.person(&[("acme", Role::Viewer), ("initech", Role::Owner)]);
    assert_eq!(viewer.get_tenant("acme").await, Ok("acme".to_owned()));
    assert_eq!(viewer.list_tenants(1).await, ["acme", "initech"]);
    assert_eq!(viewer.list_keys("acme").await, Ok(1));
    assert_eq!(viewer.get_key(&own).await, Ok(()));
    // What is of others is answered like what does not exist.
    let hidden = viewer.get_tenant("globex").await.unwrap_err();
    assert_eq!(
        (hidden.reason, &hidden),
        (ErrorReason::NotFound, &viewer.get_tenant("none").await.unwrap_err())
    );
    assert_eq!(viewer.list_keys("globex").await, Err(hidden.clone()));
    assert_eq!(viewer.list_keys("none").await, Err(hidden.clone()));
    let hidden = viewer.get_key(&other).await.unwrap_err();
    assert_eq!((hidden.reason, &hidden), (ErrorReason::NotFound, &viewer.get_key("none").await.unwrap_err()));
}

async fn admins_make_and_revoke_the_keys_of_their_tenant(db: TestDb) {
    let fixture = Fixture::with_tenants(&db).await;
    let (other, other_key) = fixture.key("globex").await;
    let mut admin = fixture.person(&[("acme", Role::Admin)]);
    let made = admin.make_key("acme").await.unwrap();
    assert_eq!(admin.revoke(&made).await, Ok(()));
    let hidden = admin.make_key("globex").await.unwrap_err();
    assert_eq!((hidden.reason, &hidden), (ErrorReason::NotFound, &admin.make_key("none").await.unwrap_err()));
    let hidden = admin.revoke(&other).await.unwrap_err();
    assert_eq!((hidden.reason, &hidden), (ErrorReason::NotFound, &admin.revoke("none").await.unwrap_err()));
    assert_eq!(fixture.verify(&other_key).await, Ok(other), "still good");
    let mut member = fixture.person(&[("acme", Role::Member)]);
    let (kept, kept_key) = fixture.key("acme").await;
    for denied in [member.make_key("acme").await.map(drop), member.revoke(&kept).await] {
        assert_eq!(denied.unwrap_err().reason, ErrorReason::PermissionDenied);
    }
    assert_eq!(fixture.verify(&kept_key).await, Ok(kept), "still good");
}

async fn tenants_are_made_and_changed_by_super_admins(db: TestDb) {
    let fixture = Fixture::with_tenants(&db).await;
    let mut owner = fixture.person(&[("acme", Role::Owner)]);
    for id in ["acme", "globex", "none"] {
        assert_eq!(owner.set_status(id).await.unwrap_err().reason, ErrorReason::PermissionDenied);
    }
    assert_eq!(owner.make_tenant("new").await.unwrap_err().reason, ErrorReason::PermissionDenied);
    let mut root = fixture.person(&[]);
    assert_eq!(root.make_tenant("new").await, Ok(()));
    assert_eq!(root.set_status("globex").await, Ok(()));
    assert_eq!(root.list_tenants(0).await, ["acme", "globex", "initech", "new"]);
}
