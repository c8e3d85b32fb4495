//! Which models a tenant may use.

use headgate_proto::catalog::v1::{
    DeleteTenantModelsRequest, GetTenantModelsRequest, GetTenantModelsResponse, SetTenantModelsResponse,
};

use super::etags::present;
use super::*;

on_both_engines!(
    a_restriction_lists_names_until_it_is_lifted,
    what_cannot_be_meant_is_refused_and_changes_nothing,
    of_two_first_restrictions_one_succeeds,
    an_etag_of_an_allowlist_never_comes_back,
    what_an_earlier_version_restricted_has_an_etag,
);

impl Fixture {
    async fn set(&self, request: SetTenantModelsRequest) -> Result<SetTenantModelsResponse, Status> {
        self.models().set_tenant_models(request).await.map(tonic::Response::into_inner)
    }

    async fn get(&self) -> GetTenantModelsResponse {
        let request = GetTenantModelsRequest { tenant_id: "t".into() };
        self.models().get_tenant_models(request).await.unwrap().into_inner()
    }

    async fn lift(&self, etag: &str) -> Result<(), Status> {
        let request = DeleteTenantModelsRequest { tenant_id: "t".into(), etag: etag.into() };
        self.models().delete_tenant_models(request).await.map(drop)
    }

    async fn list(&self) -> (bool, Vec<String>) {
        let list = self.get().await;
        (list.restricted, list.models)
    }
}

fn unrestricted() -> SetTenantModelsRequest {
    SetTenantModelsRequest { tenant_id: "t".into(), restricted: Some(false), ..Default::default() }
}

fn read_with(etag: &str, request: SetTenantModelsRequest) -> SetTenantModelsRequest {
    SetTenantModelsRequest { etag: etag.into(), ..request }
}

async fn a_restriction_lists_names_until_it_is_lifted(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.list().await, (false, vec![]));
    let answer = fixture.set(restrict("t", &["b", "a", "b"])).await.unwrap();
    assert_eq!((answer.restricted, &answer.models), (true, &vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(fixture.list().await, (true, answer.models));
    fixture.set(restrict("t", &[])).await.unwrap();
    assert_eq!(fixture.list().await, (true, vec![]));
    fixture.set(unrestricted()).await.unwrap();
    assert_eq!(fixture.list().await, (false, vec![]));

    fixture.set(restrict("t", &["a"])).await.unwrap();
    fixture.lift("").await.unwrap();
    assert_eq!(fixture.list().await, (false, vec![]));
    assert_eq!(failure(fixture.lift("").await.unwrap_err()).reason, ErrorReason::NotFound);
    assert!(fixture.everything().tenant_models.is_empty());
}

async fn what_cannot_be_meant_is_refused_and_changes_nothing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.set(restrict("t", &["a"])).await.unwrap();
    let before = fixture.everything();
    let names: Vec<String> = (0..=1000).map(|n| format!("m{n}")).collect();
    let refused = [
        (SetTenantModelsRequest { restricted: None, ..unrestricted() }, "restricted"),
        (SetTenantModelsRequest { models: vec!["a".into()], ..unrestricted() }, "models"),
        (restrict("t", &["a b"]), "models[0]"),
        (SetTenantModelsRequest { models: names.clone(), ..restrict("t", &[]) }, "models"),
        (restrict("a b", &[]), "tenant_id"),
    ];
    for (request, wanted) in refused {
        let refusal = fixture.set(request).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, wanted.into()));
    }
    assert_eq!(fixture.everything(), before);
    let most = names[..1000].to_vec();
    fixture.set(SetTenantModelsRequest { models: most, ..restrict("t", &[]) }).await.unwrap();
}

async fn of_two_first_restrictions_one_succeeds(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let read = fixture.get().await;
    let both = tokio::join!(
        fixture.set(read_with(&read.etag, restrict("t", &["a"]))),
        fixture.set(read_with(&read.etag, restrict("t", &["b"])))
    );
    let (set, refusal) = match both {
        (Ok(set), Err(refusal)) | (Err(refusal), Ok(set)) => (set, refusal),
        both => panic!("{both:?}"),
    };
    assert_eq!(present(refusal), set.etag);
    assert_eq!((fixture.list().await, fixture.get().await.etag), ((true, set.models), set.etag));
}

async fn an_etag_of_an_allowlist_never_comes_back(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let never = fixture.get().await;
    let set = fixture.set(restrict("t", &["a"])).await.unwrap();
    assert_eq!(present(fixture.lift(&never.etag).await.unwrap_err()), set.etag);
    let again = fixture.set(read_with(&set.etag, restrict("t", &["a"]))).await.unwrap();
    assert_eq!(again, set, "what is the same is no change");
    fixture.lift(&set.etag).await.unwrap();

    // It is as it was at first, but for what happened since.
    let lifted = fixture.get().await;
    assert_eq!((lifted.restricted, lifted.models.len()), (false, 0));
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.get().await, lifted);
    for stale in [&never.etag, &set.etag] {
        let refusal = fixture.set(read_with(stale, restrict("t", &["b"]))).await.unwrap_err();
        assert_eq!(present(refusal), lifted.etag);
        assert_eq!(present(fixture.lift(stale).await.unwrap_err()), lifted.etag);
    }
    fixture.set(read_with(&lifted.etag, restrict("t", &["b"]))).await.unwrap();
    assert_eq!(fixture.list().await, (true, vec!["b".into()]));
}

async fn what_an_earlier_version_restricted_has_an_etag(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.set(restrict("t", &["b", "a"])).await.unwrap();
    // As it writes it.
    db.run("catalog", "DELETE FROM tenant_models_revisions").await;
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    assert_eq!(fixture.list().await, (true, vec!["a".into(), "b".into()]));
    let read = fixture.get().await.etag;
    assert!(!read.is_empty());
    let set = fixture.set(read_with(&read, restrict("t", &["c"]))).await.unwrap();
    assert_eq!(present(fixture.lift(&read).await.unwrap_err()), set.etag);
}
