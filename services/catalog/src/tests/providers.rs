use headgate_proto::adapter::v1::Deadlines;
use headgate_proto::catalog::v1::{
    DeleteProviderRequest, GetProviderRequest, ListProvidersRequest, UpdateProviderRequest,
};
use secrecy::ExposeSecret as _;
use tonic::Request;

use super::*;

on_both_engines!(
    only_operators_and_peers_manage_the_catalog,
    a_credential_is_sealed_at_rest_and_kept_over_a_restart,
    an_update_changes_what_is_set_and_nothing_else,
    a_stored_credential_goes_nowhere_but_where_it_was_given_for,
    bad_providers_are_refused_by_field_without_showing_the_secret,
    a_provider_in_use_cannot_be_deleted,
    providers_are_listed_in_pages_by_id,
);

const SECRET: &str = "sk-planted-provider-secret";

/// The credential a peer is sent for a provider, opened.
fn opened(fixture: &Fixture, id: &str) -> Option<String> {
    let records = fixture.everything().providers;
    let record = records.into_iter().find(|r| r.provider.as_ref().unwrap().id == id).unwrap();
    let opened = fixture.master_key.open(id, &record.credential?).unwrap();
    opened.map(|secret| secret.expose_secret().to_owned())
}

async fn only_operators_and_peers_manage_the_catalog(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    // Not over a connection of the deployment: nobody vouches for the caller.
    let mut outsider = ProviderServiceClient::new(fixture.catalog.provider_service());
    let refusal = outsider.create_provider(openai("p", SECRET)).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::MissingCredential);
    let mut request = Request::new(ListProvidersRequest::default());
    request.metadata_mut().insert("authorization", "Bearer operator-token".parse().unwrap());
    assert!(outsider.list_providers(request).await.unwrap().into_inner().providers.is_empty());

    let mut outsider = ModelServiceClient::new(fixture.catalog.model_service());
    let mut request = Request::new(CreateModelRequest::default());
    request.metadata_mut().insert("authorization", "Bearer guess".parse().unwrap());
    let refusal = outsider.create_model(request).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::InvalidCredential);
}

async fn a_credential_is_sealed_at_rest_and_kept_over_a_restart(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let made = fixture.provider("provider-a", SECRET).await;
    assert!(made.has_credential && made.is_active);
    assert_eq!(made.base_url, "https://api.example.com/v1");
    let bytes = db.bytes("catalog").await;
    assert!(contains(&bytes, b"provider-a"), "the search finds what is there");
    assert!(!contains(&bytes, SECRET.as_bytes()));
    assert!(!contains(&bytes, MASTER_KEY.as_bytes()));
    drop(fixture);

    let fixture = Fixture::start(&db).await;
    assert_eq!(opened(&fixture, "provider-a").as_deref(), Some(SECRET));
    let read = fixture.providers().get_provider(GetProviderRequest { id: made.id.clone() }).await.unwrap();
    assert_eq!(read.into_inner().provider, Some(made));
}

async fn an_update_changes_what_is_set_and_nothing_else(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let made = fixture.provider("p", SECRET).await;
    let update = async |request: UpdateProviderRequest| {
        let request = UpdateProviderRequest { id: "p".into(), ..request };
        fixture.providers().update_provider(request).await.map(|r| r.into_inner().provider.unwrap())
    };
    let before = fixture.everything();
    assert_eq!(update(UpdateProviderRequest::default()).await.unwrap(), made);
    let api_key = Some(SECRET.into());
    assert_eq!(update(UpdateProviderRequest { api_key, ..Default::default() }).await.unwrap(), made);
    assert_eq!(fixture.everything(), before, "what is the same is no change");

    let deadlines = Some(Deadlines { total_ms: 9, ..Default::default() });
    fixture.clock.advance(std::time::Duration::from_secs(60));
    let request = UpdateProviderRequest {
        is_active: Some(false),
        deadlines,
        models: vec!["b".into(), "a".into(), "b".into()],
        ..Default::default()
    };
    let updated = update(request).await.unwrap();
    assert_ne!(updated.etag, made.etag);
    assert_eq!(updated.updated_at.unwrap().seconds, made.updated_at.unwrap().seconds + 60);
    let Provider { etag, updated_at, .. } = updated.clone();
    let models = vec!["a".to_owned(), "b".to_owned()];
    let wanted = Provider { is_active: false, deadlines, models, etag, updated_at, ..made.clone() };
    assert_eq!(updated, wanted);
    assert_eq!(opened(&fixture, "p").as_deref(), Some(SECRET));
    let api_key = Some(String::new());
    let request = UpdateProviderRequest { api_key, clear_models: true, ..Default::default() };
    let removed = update(request).await.unwrap();
    assert!(removed.models.is_empty() && removed.etag != updated.etag);
    assert!(!removed.has_credential && opened(&fixture, "p").is_none());
    let base_url = Some("nonsense".into());
    let refusal = update(UpdateProviderRequest { base_url, ..Default::default() }).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "base_url".into()));
}

async fn a_stored_credential_goes_nowhere_but_where_it_was_given_for(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", SECRET).await;
    let moved = async |base_url: &str, api_key: Option<&str>| {
        let (base_url, api_key) = (Some(base_url.to_owned()), api_key.map(ToOwned::to_owned));
        let request = UpdateProviderRequest { id: "p".into(), base_url, api_key, ..Default::default() };
        fixture.providers().update_provider(request).await.map(|_| opened(&fixture, "p"))
    };
    let before = fixture.everything();
    for elsewhere in [
        "https://evil.example.com/v1",
        "http://api.example.com/v1",
        "https://api.example.com:8443/v1",
        "https://api.example.com.evil.example/v1",
    ] {
        let refusal = failure(moved(elsewhere, None).await.unwrap_err());
        assert_eq!(
            (refusal.reason, refusal.metadata["field"].as_str()),
            (ErrorReason::InvalidRequest, "api_key")
        );
        assert!(refusal.message.contains("https://api.example.com"), "{}", refusal.message);
    }
    assert_eq!(fixture.everything(), before);

    let kept = Some(SECRET.to_owned());
    assert_eq!(moved("https://API.example.com:443/v2", None).await.unwrap(), kept, "the same place");
    assert_eq!(
        moved("https://other.example.com", Some("sk-other")).await.unwrap().as_deref(),
        Some("sk-other")
    );
    assert_eq!(moved("https://third.example.com", Some("")).await.unwrap(), None);
    assert_eq!(moved("http://fourth.example.com", None).await.unwrap(), None, "there is none to be learnt");
}

async fn bad_providers_are_refused_by_field_without_showing_the_secret(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let good = || openai("p", SECRET);
    let faults = [
        (CreateProviderRequest { name: String::new(), ..good() }, "name"),
        (CreateProviderRequest { kind: 99, ..good() }, "kind"),
        (CreateProviderRequest { base_url: String::new(), ..good() }, "base_url"),
        (CreateProviderRequest { id: "a/b".into(), ..good() }, "id"),
        (CreateProviderRequest { models: vec!["m".into(), String::new()], ..good() }, "models[1]"),
        (CreateProviderRequest { api_key: "two words".into(), ..good() }, "api_key"),
        (CreateProviderRequest { api_key: "[redacted]".into(), ..good() }, "api_key"),
    ];
    for (request, wanted) in faults {
        let refusal = fixture.providers().create_provider(request).await.unwrap_err();
        assert!(!refusal.message().contains("two words"));
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, wanted.into()));
    }
    assert!(fixture.everything().providers.is_empty());
    let request = CreateProviderRequest { kind: 0, is_active: Some(false), ..openai("p", "") };
    let made = fixture.providers().create_provider(request).await.unwrap().into_inner().provider.unwrap();
    assert_eq!(
        (made.kind(), made.is_active),
        (ProviderKind::Openai, false),
        "what is not given has a default"
    );
    for (name, id, wanted) in [("p", "q", "name"), ("q", "p", "id")] {
        let request = CreateProviderRequest { name: name.into(), id: id.into(), ..good() };
        let refusal = fixture.providers().create_provider(request).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::AlreadyExists, wanted.into()));
    }
}

async fn a_provider_in_use_cannot_be_deleted(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    fixture.model(chat_model("m", &[("p", "up")])).await.unwrap();
    let delete = || DeleteProviderRequest { id: "p".into(), etag: String::new() };
    let refusal = fixture.providers().delete_provider(delete()).await.unwrap_err();
    assert_eq!((refusal.code(), failure(refusal).reason), (tonic::Code::Aborted, ErrorReason::Conflict));
    let request = headgate_proto::catalog::v1::DeleteModelRequest { name: "m".into(), etag: String::new() };
    fixture.models().delete_model(request).await.unwrap();
    fixture.providers().delete_provider(delete()).await.unwrap();
    let refusal = fixture.providers().delete_provider(delete()).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::NotFound);
}

async fn providers_are_listed_in_pages_by_id(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    for id in ["b", "c", "a"] {
        fixture.provider(id, "").await;
    }
    let page = async |page_token: String| {
        let request = ListProvidersRequest { page_size: 2, page_token };
        let page = fixture.providers().list_providers(request).await.unwrap().into_inner();
        (page.providers.into_iter().map(|p| p.id).collect::<Vec<_>>(), page.next_page_token)
    };
    let (first, token) = page(String::new()).await;
    assert_eq!(first, ["a", "b"]);
    assert_eq!(page(token).await, (vec!["c".to_owned()], String::new()));
}
