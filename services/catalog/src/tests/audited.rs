//! What the audit log is told.

use std::time::Duration;

use headgate_audit::to_json;
use headgate_proto::adapter::v1::SealedSecret;
use headgate_proto::auth::v1::audit_ingest_service_server::{AuditIngestService, AuditIngestServiceServer};
use headgate_proto::auth::v1::{
    AuditActorKind, AuditEvent, RecordAuditEventsRequest, RecordAuditEventsResponse,
};
use headgate_proto::catalog::v1::backup_service_client::BackupServiceClient;
use headgate_proto::catalog::v1::{
    DeleteDefaultModelRequest, DeleteModelRequest, DeleteProviderRequest, DeleteTenantModelsRequest,
    ExportBackupRequest, PatchModelRequest, RestoreBackupRequest, SetDefaultModelRequest,
    SetProviderHealthRequest, SetTenantModelsRequest, TestProviderRequest, UpdateProviderRequest,
};
use headgate_proto::inference::v1::RequestDefaults;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tonic::{Request, Response};

use super::*;

on_both_engines!(
    a_change_is_told_once_with_what_was_before_and_after,
    a_credential_is_told_of_and_never_shown,
    what_the_catalog_does_by_itself_is_told_as_its_own,
    what_changes_nothing_is_not_told,
);

const SECRET: &str = "sk-planted-secret";

/// Auth's end: it keeps what it is told.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<AuditEvent>>>);

#[tonic::async_trait]
impl AuditIngestService for Log {
    async fn record_audit_events(
        &self,
        request: Request<RecordAuditEventsRequest>,
    ) -> Result<Response<RecordAuditEventsResponse>, Status> {
        self.0.lock().extend(request.into_inner().events);
        Ok(Response::new(RecordAuditEventsResponse {}))
    }
}

/// What an event says: the call's name, the kind and id of the thing, what it was, and what it became.
type Line = (String, String, Value, Value);

impl Log {
    fn of(fixture: &Fixture) -> Self {
        let log = Self::default();
        fixture.catalog.tell_audit_log(local(AuditIngestServiceServer::new(log.clone())));
        log
    }

    /// So many events, as soon as they are there.
    async fn events(&self, count: usize) -> Vec<AuditEvent> {
        let waiting = async {
            while self.0.lock().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the log is told");
        let mut events = std::mem::take(&mut *self.0.lock());
        assert_eq!(events.len(), count, "{events:?}");
        // Of one moment, in no order.
        events.sort_by_key(|event| (event.resource_kind.clone(), event.resource_id.clone()));
        events
    }

    async fn lines(&self, count: usize) -> Vec<Line> {
        self.events(count).await.iter().map(line).collect()
    }

    async fn line(&self) -> Line {
        self.lines(1).await.remove(0)
    }
}

fn line(event: &AuditEvent) -> Line {
    let shown = |shown: &Option<prost_types::Struct>| {
        shown.as_ref().map_or(Value::Null, |shown| serde_json::from_str(&to_json(shown)).unwrap())
    };
    let call = event.action.rsplit('.').next().unwrap_or_default().to_owned();
    let thing = format!("{}/{}", event.resource_kind, event.resource_id);
    (call, thing, shown(&event.before), shown(&event.after))
}

fn what((call, thing, before, after): &Line) -> (&str, &str, bool, bool) {
    (call, thing, !before.is_null(), !after.is_null())
}

async fn a_change_is_told_once_with_what_was_before_and_after(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let log = Log::of(&fixture);
    fixture.provider("p", "").await;
    let made = log.events(1).await.remove(0);
    assert_eq!(made.actor.as_ref().unwrap().kind(), AuditActorKind::Operator);
    assert_eq!(made.action, "catalog.v1.ProviderService.CreateProvider");
    let (_, thing, before, after) = line(&made);
    assert_eq!(
        (thing.as_str(), before, &after["base_url"]),
        ("provider/p", Value::Null, &json!("https://api.example.com/v1"))
    );

    let model = fixture.model(chat_model("m", &[("p", "a")])).await.unwrap();
    let thing = format!("model/{}", model.id);
    assert_eq!(what(&log.line().await), ("CreateModel", thing.as_str(), false, true));
    let price = Some(Price { input_nano_usd_per_1k_tokens: 7, ..Default::default() });
    let request_defaults = Some(RequestDefaults { temperature: Some(0.5), ..Default::default() });
    let patch = PatchModelRequest { name: "m".into(), price, request_defaults, ..Default::default() };
    fixture.models().patch_model(patch).await.unwrap();
    let (call, _, before, after) = log.line().await;
    let costs = |model: &Value| model["price"]["input_nano_usd_per_1k_tokens"].clone();
    assert_eq!((call.as_str(), costs(&before), costs(&after)), ("PatchModel", json!("150000"), json!("7")));
    let heat = |model: &Value| model["request_defaults"]["temperature"].clone();
    assert_eq!((heat(&before), heat(&after)), (Value::Null, json!(0.5)));

    let list = |restricted: bool, models: &[&str]| {
        let models = models.iter().map(|&name| name.to_owned()).collect();
        SetTenantModelsRequest {
            tenant_id: "t".into(),
            restricted: Some(restricted),
            models,
            ..Default::default()
        }
    };
    fixture.models().set_tenant_models(list(true, &["m"])).await.unwrap();
    let event = log.events(1).await.remove(0);
    assert_eq!(event.tenant_id, "t", "its admins may see it");
    assert_eq!(what(&line(&event)), ("SetTenantModels", "tenant_models/t", false, true));
    fixture.models().set_tenant_models(list(false, &[])).await.unwrap();
    let (_, _, before, after) = log.line().await;
    assert_eq!((&before["models"], after), (&json!(["m"]), Value::Null));
    fixture.models().set_tenant_models(list(true, &[])).await.unwrap();
    log.events(1).await;
    let delete = DeleteTenantModelsRequest { tenant_id: "t".into(), ..Default::default() };
    fixture.models().delete_tenant_models(delete).await.unwrap();
    let event = log.events(1).await.remove(0);
    assert_eq!(event.tenant_id, "t");
    assert_eq!(what(&line(&event)), ("DeleteTenantModels", "tenant_models/t", true, false));

    let default = SetDefaultModelRequest { model: "m".into(), etag: String::new() };
    fixture.default_models().set_default_model(default).await.unwrap();
    assert_eq!(what(&log.line().await), ("SetDefaultModel", "default_model/default", false, true));
    fixture.default_models().delete_default_model(DeleteDefaultModelRequest::default()).await.unwrap();
    assert_eq!(what(&log.line().await), ("DeleteDefaultModel", "default_model/default", true, false));

    let health = SetProviderHealthRequest { id: "p".into(), is_healthy: Some(false) };
    fixture.health().set_provider_health(health).await.unwrap();
    let (call, thing, before, after) = log.line().await;
    assert_eq!((call.as_str(), thing.as_str()), ("SetProviderHealth", "provider/p"));
    assert_eq!((&before["is_healthy"], &after["is_healthy"]), (&json!(true), &json!(false)));

    fixture
        .models()
        .delete_model(DeleteModelRequest { name: "m".into(), ..Default::default() })
        .await
        .unwrap();
    assert_eq!(what(&log.line().await), ("DeleteModel", thing_of(&model).as_str(), true, false));
    let delete = DeleteProviderRequest { id: "p".into(), ..Default::default() };
    fixture.providers().delete_provider(delete).await.unwrap();
    assert_eq!(what(&log.line().await), ("DeleteProvider", "provider/p", true, false));
}

fn thing_of(model: &Model) -> String {
    format!("model/{}", model.id)
}

async fn a_credential_is_told_of_and_never_shown(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let log = Log::of(&fixture);
    let sealed = || -> SealedSecret {
        let record = fixture.everything().providers.remove(0);
        record.credential.unwrap()
    };
    let mut ciphertexts = Vec::new();
    let mut events = Vec::new();
    fixture.provider("p", SECRET).await;
    events.extend(log.events(2).await);
    ciphertexts.push(sealed().ciphertext);
    let key = |api_key: &str| UpdateProviderRequest {
        id: "p".into(),
        api_key: Some(api_key.into()),
        ..Default::default()
    };
    fixture.providers().update_provider(key("sk-planted-other")).await.unwrap();
    let replaced = log.events(1).await;
    assert_eq!(what(&line(&replaced[0])), ("UpdateProvider", "provider_credential/p", false, false));
    events.extend(replaced);
    ciphertexts.push(sealed().ciphertext);
    fixture.providers().update_provider(key("")).await.unwrap();
    let removed = log.events(2).await;
    let (_, _, before, after) = line(&removed[1]);
    assert_eq!((before, after), (json!({"master_key_id": fixture.master_key.id()}), Value::Null));
    let (_, _, before, after) = line(&removed[0]);
    assert_eq!((&before["has_credential"], &after["has_credential"]), (&json!(true), &json!(false)));
    events.extend(removed);

    let text = events.iter().map(|event| format!("{event:?}{:?}", line(event))).collect::<String>();
    assert!(!text.contains("planted") && !text.contains("ciphertext"), "{text}");
    assert!(!contains(&db.bytes("catalog").await, b"planted"));
}

async fn what_the_catalog_does_by_itself_is_told_as_its_own(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let log = Log::of(&fixture);
    let bootstrap: Bootstrap = serde_json::from_value(json!({
        "providers": [{"id": "p", "name": "p", "kind": "openai", "base_url": "http://h/v1", "api_key": SECRET}],
        "models": [{"name": "m", "operations": ["chat"], "max_output_tokens": 1,
                    "targets": [{"provider": "p", "upstream_model": "u"}]}],
        "tenant_models": {"t": ["m"]},
        "default_model": "m",
    }))
    .unwrap();
    fixture.catalog.bootstrap(&bootstrap).await.unwrap();
    let events = log.events(5).await;
    for event in &events {
        assert_eq!(event.actor.as_ref().unwrap().kind(), AuditActorKind::Service);
        assert_eq!(event.action, "bootstrap");
    }
    let kinds: Vec<_> = events.iter().map(|event| event.resource_kind.as_str()).collect();
    assert_eq!(kinds, ["default_model", "model", "provider", "provider_credential", "tenant_models"]);
    // A probe is no change of anybody's, whoever asked for it.
    fixture.health().test_provider(TestProviderRequest { id: "p".into() }).await.unwrap();
    fixture.catalog.bootstrap(&bootstrap).await.unwrap();
    drop(fixture);

    let old = MasterKey::parse(MASTER_KEY).unwrap();
    let new = MasterKey::parse(&"c3".repeat(32)).unwrap().with_previous(vec![old.clone()]);
    let quiet = Config { probe_interval_ms: 0, ..Config::default() };
    let fixture = Fixture::sealing(&db, quiet, new.clone()).await;
    let log = Log::of(&fixture);
    let (call, thing, before, after) = log.line().await;
    assert_eq!((call.as_str(), thing.as_str()), ("upkeep", "provider_credential/p"));
    assert_eq!((before, after), (json!({"master_key_id": old.id()}), json!({"master_key_id": new.id()})));
}

async fn what_changes_nothing_is_not_told(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let log = Log::of(&fixture);
    fixture.provider("p", "").await;
    fixture.model(chat_model("m", &[("p", "a")])).await.unwrap();
    log.events(2).await;
    let mut backups =
        BackupServiceClient::new(as_operator(local(fixture.catalog.backup_service()), "operator-token"));
    let backup = backups.export_backup(ExportBackupRequest {}).await.unwrap().into_inner().backup;
    let restore = RestoreBackupRequest { backup };
    backups.restore_backup(restore.clone()).await.unwrap();
    let stale =
        PatchModelRequest { name: "m".into(), etag: "0".into(), enabled: Some(false), ..Default::default() };
    fixture.models().patch_model(stale).await.unwrap_err();
    fixture.provider_is_taken("p").await;
    let disable = PatchModelRequest { name: "m".into(), enabled: Some(false), ..Default::default() };
    fixture.models().patch_model(disable).await.unwrap();
    let (call, _, before, after) = log.line().await;
    assert_eq!(call, "PatchModel", "nothing before it");
    assert_eq!((&before["enabled"], &after["enabled"]), (&json!(true), &json!(false)));
    backups.restore_backup(restore).await.unwrap();
    let (call, _, before, after) = log.line().await;
    assert_eq!(
        (call.as_str(), &before["enabled"], &after["enabled"]),
        ("RestoreBackup", &json!(false), &json!(true))
    );
}

impl Fixture {
    async fn provider_is_taken(&self, id: &str) {
        self.providers().create_provider(openai(id, "")).await.unwrap_err();
    }
}
