//! What was set by call wins over what the bootstrap said before, until the bootstrap says something else.

use headgate_proto::auth::v1::{
    ApiKey, DeleteMembershipRequest, GetTenantRequest, StringList, UpdateApiKeyRequest,
    UpdateMembershipRequest, UpdateTenantRequest, UpdateUserRequest,
};

use super::*;

on_both_engines!(
    what_was_changed_by_call_stands_until_its_entry_says_something_else,
    a_membership_that_was_ended_by_call_stays_ended_until_its_entry_says_something_else,
    what_is_said_of_one_is_not_applied_with_what_is_said_of_another,
);

fn said() -> Bootstrap {
    serde_json::from_str(
        r#"{
            "tenants": [{ "id": "a", "name": "A" }, { "id": "b", "name": "B" }],
            "api_keys": [
                { "id": "k", "tenant_id": "a", "name": "first", "key": "sk-one.planted-secret" },
                { "id": "l", "tenant_id": "b", "name": "second", "key": "sk-two.planted-secret" }
            ],
            "admin_users": [{ "email": "root", "password": "planted root password" }, { "email": "other" }],
            "memberships": [
                { "tenant_id": "a", "email": "Ada", "role": "viewer", "password": "planted ada password" },
                { "tenant_id": "b", "email": "ada", "role": "owner" }
            ]
        }"#,
    )
    .unwrap()
}

impl Fixture {
    async fn seeded(db: &TestDb, said: &Bootstrap) -> Self {
        let fixture = Self::start(db).await;
        fixture.auth.bootstrap(said).await.unwrap();
        fixture
    }

    /// What a tenant and its only key are called, and what the key may do.
    async fn named(&self, tenant: &str, key: &str) -> [String; 3] {
        let request = GetTenantRequest { id: tenant.into() };
        let tenant = self.tenants().get_tenant(request).await.unwrap().into_inner().tenant.unwrap();
        let ApiKey { name, scopes, .. } = self.read_key(key).await;
        [tenant.name, name, scopes.join(",")]
    }

    /// Whom a password lets in, and what they are where.
    async fn roles(&self, email: &str, password: &str) -> (String, Vec<(String, Role)>) {
        let tokens = self.login(email, password).await.unwrap();
        let me = self.me(&tokens.access_token).await.unwrap();
        let roles = me.memberships.iter().map(|member| (member.tenant_id.clone(), member.role()));
        (me.user.unwrap().id, roles.collect())
    }

    async fn ada(&self) -> (String, Vec<(String, Role)>) {
        self.roles("ada", "planted ada password").await
    }

    async fn rename_all_of_a(&self) {
        let tenant =
            UpdateTenantRequest { id: "a".into(), name: Some("By call".into()), ..Default::default() };
        self.tenants().update_tenant(tenant).await.unwrap();
        let key = UpdateApiKeyRequest {
            id: "k".into(),
            name: Some("by call".into()),
            scopes: Some(StringList { values: vec!["chat".into()] }),
            ..Default::default()
        };
        self.keys().update_api_key(key).await.unwrap();
    }
}

async fn what_was_changed_by_call_stands_until_its_entry_says_something_else(db: TestDb) {
    let fixture = Fixture::seeded(&db, &said()).await;
    fixture.rename_all_of_a().await;
    let (ada, roles) = fixture.ada().await;
    assert_eq!(roles, [("a".into(), Role::Viewer), ("b".into(), Role::Owner)]);
    let promote = UpdateMembershipRequest {
        tenant_id: "a".into(),
        user_id: ada,
        role: Role::Admin.into(),
        ..Default::default()
    };
    fixture.members("operator-token").update_membership(promote).await.unwrap();
    let (root, _) = fixture.roles("root", "planted root password").await;
    let demote = UpdateUserRequest { id: root, super_admin: Some(false), ..Default::default() };
    fixture.users().update_user(demote).await.unwrap();
    drop(fixture);

    let fixture = Fixture::seeded(&db, &said()).await;
    let by_call = ["By call", "by call", "chat"];
    assert_eq!(fixture.named("a", "k").await, by_call, "the same file undoes nothing");
    let admin = [("a".to_owned(), Role::Admin), ("b".to_owned(), Role::Owner)];
    assert_eq!(fixture.ada().await.1, admin);
    let tokens = fixture.login("root", "planted root password").await.unwrap();
    let root = fixture.me(&tokens.access_token).await.unwrap().user.unwrap();
    assert!(root.super_admin, "super admins are made so at each start");
    let revision = fixture.auth.registry.read().revision();
    fixture.auth.bootstrap(&said()).await.unwrap();
    assert_eq!(fixture.auth.registry.read().revision(), revision);

    // The secret of a key is a part of what is said of it.
    let mut other = said();
    other.api_keys[0].key = "sk-one.planted-anew-secret".into();
    fixture.auth.bootstrap(&other).await.unwrap();
    assert_eq!(fixture.named("a", "k").await, ["By call", "first", ""]);
    assert_eq!(fixture.verify("sk-one.planted-anew-secret").await, Ok("k".into()));
    other.tenants[0].name = "Another".into();
    other.memberships[0].role = "member".into();
    fixture.auth.bootstrap(&other).await.unwrap();
    assert_eq!(fixture.named("a", "k").await, ["Another", "first", ""]);
    assert_eq!(fixture.ada().await.1, [("a".into(), Role::Member), ("b".into(), Role::Owner)]);
    assert!(!contains(&db.bytes("auth").await, b"planted"));
}

async fn a_membership_that_was_ended_by_call_stays_ended_until_its_entry_says_something_else(db: TestDb) {
    let fixture = Fixture::seeded(&db, &said()).await;
    let (ada, _) = fixture.ada().await;
    let end = DeleteMembershipRequest { tenant_id: "a".into(), user_id: ada, ..Default::default() };
    fixture.members("operator-token").delete_membership(end).await.unwrap();
    let mut other = said();
    for name in ["second", "another"] {
        other.api_keys[1].name = name.into();
        fixture.auth.bootstrap(&other).await.unwrap();
        assert_eq!(fixture.ada().await.1, [("b".into(), Role::Owner)]);
    }
    other.memberships[0].role = "owner".into();
    fixture.auth.bootstrap(&other).await.unwrap();
    assert_eq!(fixture.ada().await.1, [("a".into(), Role::Owner), ("b".into(), Role::Owner)]);
}

async fn what_is_said_of_one_is_not_applied_with_what_is_said_of_another(db: TestDb) {
    let fixture = Fixture::seeded(&db, &said()).await;
    fixture.rename_all_of_a().await;
    let mut other = said();
    other.tenants[1].name = "Another".into();
    other.api_keys[1].name = "another".into();
    other.memberships[1].role = "member".into();
    fixture.auth.bootstrap(&other).await.unwrap();
    assert_eq!(fixture.named("a", "k").await, ["By call", "by call", "chat"]);
    assert_eq!(fixture.named("b", "l").await, ["Another", "another", ""]);
    assert_eq!(fixture.ada().await.1, [("a".into(), Role::Viewer), ("b".into(), Role::Member)]);

    // A key that is taken out and put in again is new.
    other.api_keys.remove(0);
    fixture.auth.bootstrap(&other).await.unwrap();
    assert_eq!(fixture.named("a", "k").await, ["By call", "by call", "chat"]);
    other.api_keys.insert(0, said().api_keys.remove(0));
    fixture.auth.bootstrap(&other).await.unwrap();
    assert_eq!(fixture.named("a", "k").await, ["By call", "first", ""]);
}
