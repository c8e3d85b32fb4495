//! The catalog as a document: on disk, restored, and what it never holds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use headgate_proto::catalog::v1::backup_service_client::BackupServiceClient;
use headgate_proto::catalog::v1::{
    Backup, DeleteDefaultModelRequest, DeleteModelRequest, ExportBackupRequest, GetProviderRequest,
    RestoreBackupRequest, SetDefaultModelRequest, TestProviderRequest, UpdateProviderRequest,
};
use headgate_proto::inference::v1::RequestDefaults;
use secrecy::ExposeSecret as _;

use super::*;

on_both_engines!(
    the_file_follows_every_change_and_holds_no_secret,
    an_unused_database_begins_with_the_backup_on_disk,
    a_restore_brings_back_what_was_changed_and_leaves_what_it_does_not_hold,
    bad_backups_are_refused_by_field_and_change_nothing,
    a_backup_that_cannot_be_used_is_put_aside,
    a_new_master_key_seals_anew_what_the_one_before_it_sealed,
);

const SECRET: &str = "sk-planted-secret-of-a-backup";

impl Fixture {
    fn backups(&self) -> BackupServiceClient<Operator> {
        BackupServiceClient::new(as_operator(local(self.catalog.backup_service()), "operator-token"))
    }

    async fn export(&self) -> Backup {
        self.backups().export_backup(ExportBackupRequest {}).await.unwrap().into_inner().backup.unwrap()
    }

    async fn restore(&self, backup: Option<Backup>) -> Result<(u32, u32, u32), Status> {
        let restored = self.backups().restore_backup(RestoreBackupRequest { backup }).await?.into_inner();
        Ok((restored.providers, restored.models, restored.tenant_models))
    }

    /// Two providers, a model at both that is the default, and a restricted tenant.
    async fn fill(&self) {
        self.provider("p", SECRET).await;
        self.provider("q", "").await;
        let request_defaults = Some(RequestDefaults { temperature: Some(0.7), ..Default::default() });
        let model = chat_model("m", &[("p", "a"), ("q", "b")]);
        self.model(Model { engine: "vllm".into(), request_defaults, ..model }).await.unwrap();
        let list = restrict("t", &["m"]);
        self.models().set_tenant_models(list).await.unwrap();
        let default = SetDefaultModelRequest { model: "m".into(), etag: String::new() };
        self.default_models().set_default_model(default).await.unwrap();
    }

    /// Removes the model.
    async fn delete_model(&self) {
        let default = DeleteDefaultModelRequest::default();
        self.default_models().delete_default_model(default).await.unwrap();
        let delete = DeleteModelRequest { name: "m".into(), etag: String::new() };
        self.models().delete_model(delete).await.unwrap();
    }
}

/// An empty database of the same engine.
async fn empty_beside(db: &TestDb) -> TestDb {
    match db.is_postgres() {
        true => TestDb::postgres().await,
        false => TestDb::sqlite(),
    }
}

fn file(db: &TestDb) -> PathBuf {
    db.dir().join("backup/catalog.json")
}

/// Waits until a backup lies on disk that is like this one, and returns its text.
async fn on_disk(path: &Path, like: &Backup) -> String {
    let waiting = async {
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            if parse_backup(text.as_bytes()).is_ok_and(|found| Backup { time: like.time, ..found } == *like) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("the backup is kept current")
}

async fn the_file_follows_every_change_and_holds_no_secret(db: TestDb) {
    use std::os::unix::fs::PermissionsExt as _;

    let fixture = Fixture::start(&db).await;
    fixture.fill().await;
    let text = on_disk(&file(&db), &fixture.export().await).await;
    assert!(text.contains("api.example.com") && !text.contains(SECRET) && !text.contains(MASTER_KEY));
    assert_eq!(std::fs::metadata(file(&db)).unwrap().permissions().mode() & 0o777, 0o600);
    let sealed = fixture.export().await.providers.remove(0).credential.unwrap();
    assert_eq!(fixture.master_key.open("p", &sealed).unwrap().unwrap().expose_secret(), SECRET);

    fixture.health().test_provider(TestProviderRequest { id: "p".into() }).await.unwrap();
    let tested = fixture.export().await;
    assert_eq!(tested.providers[0].provider.as_ref().unwrap().status, "online");
    on_disk(&file(&db), &tested).await;
    fixture.delete_model().await;
    let text = on_disk(&file(&db), &fixture.export().await).await;
    assert!(!text.contains("upstream_model"));

    let mut outsider = BackupServiceClient::new(local(fixture.catalog.backup_service()));
    let refusal = outsider.export_backup(ExportBackupRequest {}).await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::Unauthenticated);
}

/// A catalog but for what restoring changes: its revision, and what is stamped with it.
fn essence(mut catalog: WatchCatalogResponse) -> WatchCatalogResponse {
    catalog.revision = 0;
    for provider in catalog.providers.iter_mut().filter_map(|record| record.provider.as_mut()) {
        (provider.etag, provider.updated_at) = (String::new(), None);
    }
    for model in &mut catalog.models {
        (model.etag, model.update_time) = (String::new(), None);
    }
    catalog.tenant_models.iter_mut().for_each(|list| list.etag.clear());
    if let Some(default) = &mut catalog.default_model {
        (default.etag, default.update_time) = (String::new(), None);
    }
    catalog
}

async fn an_unused_database_begins_with_the_backup_on_disk(db: TestDb) {
    let first = Fixture::start(&db).await;
    first.fill().await;
    let text = on_disk(&file(&db), &first.export().await).await;
    let empty = empty_beside(&db).await;
    std::fs::create_dir_all(file(&empty).parent().unwrap()).unwrap();
    std::fs::write(file(&empty), text).unwrap();
    let second = Fixture::start(&empty).await;
    assert_eq!(essence(second.everything()), essence(first.everything()));
    assert!(
        second.everything().revision > first.everything().revision,
        "no revision stands for two catalogs"
    );
    let restored = second.everything();
    drop(second);
    let second = Fixture::start(&empty).await;
    assert_eq!(second.everything(), restored, "it is in the database now");

    // A database that was used is not empty, even if nothing is in it.
    let used = Fixture::start(&db).await;
    used.delete_model().await;
    drop(used);
    assert!(Fixture::start(&db).await.everything().models.is_empty());
}

async fn a_restore_brings_back_what_was_changed_and_leaves_what_it_does_not_hold(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.fill().await;
    let (backup, before) = (fixture.export().await, fixture.everything());
    fixture.provider("later", "").await;
    fixture.delete_model().await;
    let request =
        UpdateProviderRequest { id: "p".into(), api_key: Some(String::new()), ..Default::default() };
    let changed = fixture.providers().update_provider(request).await.unwrap().into_inner().provider.unwrap();
    assert_eq!(fixture.restore(Some(backup.clone())).await.unwrap(), (2, 1, 1));
    let read = GetProviderRequest { id: "p".into() };
    let restored = fixture.providers().get_provider(read).await.unwrap().into_inner().provider.unwrap();
    assert!(restored.has_credential && restored.etag != changed.etag);
    let mut now = fixture.everything();
    assert_eq!(now.providers.remove(0).provider.unwrap().id, "later", "it stays");
    assert_eq!(essence(now), essence(before));

    let revision = fixture.everything().revision;
    fixture.restore(Some(backup)).await.unwrap();
    assert_eq!(fixture.everything().revision, revision, "what is the same is no change");
    on_disk(&file(&db), &fixture.export().await).await;
    assert_eq!(fixture.restore(None).await.unwrap(), (3, 1, 1), "what lies on disk");
}

async fn bad_backups_are_refused_by_field_and_change_nothing(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let refusal = fixture.restore(None).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::NotFound);
    fixture.fill().await;
    let (good, before) = (fixture.export().await, fixture.everything());
    let spoilt = |spoil: fn(&mut Backup)| {
        let mut backup = good.clone();
        spoil(&mut backup);
        backup
    };
    for (backup, wanted) in [
        (spoilt(|backup| backup.version = 2), "backup.version"),
        (spoilt(|backup| backup.revision = u64::MAX), "backup.revision"),
        (spoilt(|backup| backup.revision = i64::MAX as u64), "backup.revision"),
        (spoilt(|backup| backup.revision = (1 << 53) + 1), "backup.revision"),
        (spoilt(|backup| backup.providers[1].provider = None), "backup.providers[1].provider"),
        (
            spoilt(|backup| backup.providers[1].credential = backup.providers[0].credential.clone()),
            "backup.providers[1].credential",
        ),
        (
            spoilt(|backup| backup.providers[0].provider.as_mut().unwrap().base_url = "x".into()),
            "backup.providers[0].provider.base_url",
        ),
        (
            spoilt(|backup| backup.models[0].targets[1].provider_id = "none".into()),
            "backup.models[0].targets[1].provider_id",
        ),
        (
            spoilt(|backup| backup.default_model.as_mut().unwrap().model = "none".into()),
            "backup.default_model.model",
        ),
        (spoilt(|backup| backup.models[0].name = "a b".into()), "backup.models[0].name"),
        (spoilt(|backup| backup.tenant_models[0].tenant_id.clear()), "backup.tenant_models[0].tenant_id"),
    ] {
        let refusal = fixture.restore(Some(backup)).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, wanted.into()));
    }
    assert_eq!(fixture.everything(), before);
    for bad in ["", "{", r#"{"version": 1, "unknown": 2}"#, r#"{"version": 1} trailing"#] {
        assert!(parse_backup(bad.as_bytes()).is_err(), "{bad}");
    }
}

async fn a_backup_that_cannot_be_used_is_put_aside(db: TestDb) {
    let last = r#"{"version": 1, "revision": "9223372036854775807"}"#;
    for text in ["not a backup", last] {
        let db = empty_beside(&db).await;
        std::fs::create_dir_all(file(&db).parent().unwrap()).unwrap();
        std::fs::write(file(&db), text).unwrap();
        let fixture = Fixture::start(&db).await;
        fixture.provider("p", "").await;
        on_disk(&file(&db), &fixture.export().await).await;
        let aside = db.dir().join("backup/catalog.json.unusable");
        assert_eq!(std::fs::read_to_string(aside).unwrap(), text);
        assert_eq!(fixture.everything().revision, 1);
    }
}

async fn a_new_master_key_seals_anew_what_the_one_before_it_sealed(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.fill().await;
    let old = fixture.export().await;
    drop(fixture);
    let new = || MasterKey::parse(&"c3".repeat(32)).unwrap();
    let both = new().with_previous(vec![MasterKey::parse(MASTER_KEY).unwrap()]);
    let quiet = Config { probe_interval_ms: 0, ..Config::default() };
    let fixture = Fixture::sealing(&db, quiet.clone(), both).await;
    let now = fixture.export().await;
    let sealed = now.providers[0].credential.clone().unwrap();
    assert_eq!(new().open("p", &sealed).unwrap().unwrap().expose_secret(), SECRET);
    assert_eq!(now.revision, old.revision + 1);
    // A backup that the old key sealed can still be restored, and is sealed anew at the next start.
    fixture.restore(Some(old)).await.unwrap();
    drop(fixture);

    let both = new().with_previous(vec![MasterKey::parse(MASTER_KEY).unwrap()]);
    let fixture = Fixture::sealing(&db, quiet.clone(), both).await;
    let now = fixture.everything();
    drop(fixture);
    let fixture = Fixture::sealing(&db, quiet, new()).await;
    assert_eq!(fixture.everything(), now, "the old key is needed no more");
    let sealed = now.providers[0].credential.clone().unwrap();
    assert_eq!(fixture.master_key.open("p", &sealed).unwrap().unwrap().expose_secret(), SECRET);
}
