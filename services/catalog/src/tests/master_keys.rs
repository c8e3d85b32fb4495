//! One master key after another, by call.

use headgate_proto::catalog::v1::backup_service_client::BackupServiceClient;
use headgate_proto::catalog::v1::master_key_service_client::MasterKeyServiceClient;
use headgate_proto::catalog::v1::{
    Backup, GetMasterKeyUsesRequest, MasterKeyUse, RestoreBackupRequest, RotateMasterKeyRequest,
    RotateMasterKeyResponse, UpdateProviderRequest, WatchCatalogRequest,
};
use secrecy::ExposeSecret as _;

use super::*;

on_both_engines!(what_an_earlier_key_sealed_is_sealed_anew_by_call, what_does_not_open_is_left_and_counted,);

fn key(byte: &str) -> MasterKey {
    MasterKey::parse(&byte.repeat(32)).unwrap()
}

/// The catalog with a master key, and what came before it.
async fn sealing(db: &TestDb, present: &str, previous: &[&str]) -> Fixture {
    let previous = previous.iter().map(|byte| key(byte)).collect();
    let quiet = Config { probe_interval_ms: 0, ..Config::default() };
    Fixture::sealing(db, quiet, key(present).with_previous(previous)).await
}

impl Fixture {
    fn master_keys(&self) -> MasterKeyServiceClient<Operator> {
        MasterKeyServiceClient::new(as_operator(local(self.catalog.master_key_service()), "operator-token"))
    }

    async fn uses(&self) -> Vec<MasterKeyUse> {
        let request = GetMasterKeyUsesRequest {};
        self.master_keys().get_master_key_uses(request).await.unwrap().into_inner().master_keys
    }

    async fn rotate(&self) -> RotateMasterKeyResponse {
        self.master_keys().rotate_master_key(RotateMasterKeyRequest {}).await.unwrap().into_inner()
    }

    /// Brings back what another master key sealed, as it was.
    async fn bring_back(&self, providers: Vec<headgate_proto::catalog::v1::ProviderRecord>) {
        let mut backups =
            BackupServiceClient::new(as_operator(local(self.catalog.backup_service()), "operator-token"));
        let backup = Some(Backup { version: 1, providers, ..Default::default() });
        backups.restore_backup(RestoreBackupRequest { backup }).await.unwrap();
    }
}

fn used(byte: &str, is_present: bool, is_known: bool, credentials: u32) -> MasterKeyUse {
    MasterKeyUse { key_id: key(byte).id().to_owned(), is_present, is_known, credentials }
}

async fn what_an_earlier_key_sealed_is_sealed_anew_by_call(db: TestDb) {
    let fixture = sealing(&db, "5a", &[]).await;
    fixture.provider("p", "sk-one").await;
    fixture.provider("q", "sk-two").await;
    fixture.provider("r", "").await;
    assert_eq!(fixture.uses().await, [used("5a", true, true, 2)]);
    let old = fixture.everything().providers;
    drop(fixture);

    let fixture = sealing(&db, "c3", &["11", "5a"]).await;
    assert_eq!(fixture.uses().await[0].credentials, 2, "the start has done it");
    fixture.bring_back(old).await;
    let mut keys = [used("c3", true, true, 0), used("11", false, true, 0), used("5a", false, true, 2)];
    assert_eq!(fixture.uses().await, keys);
    let mut stream = fixture.peers().watch_catalog(WatchCatalogRequest {}).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().unwrap().snapshot);
    let rotated = fixture.rotate().await;
    (keys[0].credentials, keys[2].credentials) = (2, 0);
    assert_eq!((rotated.resealed, rotated.left, &rotated.master_keys[..]), (2, 0, &keys[..]));
    let told = stream.message().await.unwrap().unwrap().providers;
    assert_eq!(told.len(), 2, "routers are told at once");
    let opened = told.iter().map(|record| {
        let id = &record.provider.as_ref().unwrap().id;
        key("c3").open(id, record.credential.as_ref().unwrap()).unwrap().unwrap()
    });
    assert_eq!(
        opened.map(|secret| secret.expose_secret().to_owned()).collect::<Vec<_>>(),
        ["sk-one", "sk-two"]
    );

    let before = fixture.everything();
    let again = fixture.rotate().await;
    assert_eq!((again.resealed, again.left, again.master_keys), (0, 0, rotated.master_keys));
    assert_eq!(fixture.everything(), before, "doing it again changes nothing");
}

async fn what_does_not_open_is_left_and_counted(db: TestDb) {
    let fixture = sealing(&db, "5a", &[]).await;
    fixture.provider("lost", "sk-one").await;
    fixture.provider("p", "sk-two").await;
    drop(fixture);
    // Nobody knows the old key here.
    let fixture = sealing(&db, "c3", &[]).await;
    fixture.provider("new", "sk-three").await;
    let before = fixture.everything();
    let rotated = fixture.rotate().await;
    assert_eq!((rotated.resealed, rotated.left), (0, 2));
    assert_eq!(rotated.master_keys, [used("c3", true, true, 1), used("5a", false, false, 2)]);
    assert_eq!(fixture.everything(), before);
    let (id, api_key) = ("lost".to_owned(), Some("sk-given-anew".to_owned()));
    fixture
        .providers()
        .update_provider(UpdateProviderRequest { id, api_key, ..Default::default() })
        .await
        .unwrap();
    assert_eq!(fixture.rotate().await.left, 1);
    assert_eq!(fixture.uses().await, [used("c3", true, true, 2), used("5a", false, false, 1)]);
}
