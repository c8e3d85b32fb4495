//! The rows of the admin API: tables of every path and field (`rows/*.yaml`, read `rows/README.md`), each line of which is
//! driven over REST and over gRPC.

mod complete;
mod drive;
mod grpc;
mod pattern;
mod rest;
mod table;
mod variables;

use headgate_tests::setup::Setup;
use headgate_tests::upstream::{Behaviour, Upstream, refusing_url};
use serde_json::json;
use tempfile::TempDir;

use drive::drive;
use table::{Book, book};

#[tokio::test]
async fn a_gate_that_begins_with_nothing_answers_line_by_line() {
    let setup = Setup::new().section("bootstrap", &json!({"tenants": [], "api_keys": []}));
    drive(&book(Book::Empty), &setup, &[]).await;
}

#[tokio::test]
async fn a_gate_that_begins_with_a_bootstrap_answers_line_by_line() {
    let upstream = Upstream::start().await;
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("page.gguf"), b"<html>").unwrap();
    let corp =
        json!({"display_name": "Example Inc.", "issuer": "http://127.0.0.1:9", "client_id": "headgate"});
    let oidc = json!({"public_url": "http://127.0.0.1", "providers": {"corp": corp}});
    let setup = Setup::with_model("seeded", &upstream)
        .seed("admin_users", json!({"email": "root@example.com", "name": "Root", "password": "the-password-of-root"}))
        .seed(
            "memberships",
            json!({"tenant_id": "acme", "email": "ada@example.com", "role": "owner", "password": "the-password-of-ada"}),
        )
        .limits(json!({"tenant_id": "globex", "requests_per_minute": 600}))
        .budget(json!({"tenant_id": "globex", "limit_usd": "25.00", "warning_percent": 70}))
        .section("auth", &json!({"registration": true, "oidc": oidc}))
        .section("runtime", &json!({"models_dir": folder.path()}))
        .patient_with_strangers();
    let well = Upstream::start().await;
    well.script_default(Behaviour::status(200, "{}"));
    let known = [("upstream", upstream.url()), ("well", well.url()), ("nowhere", refusing_url())];
    drive(&book(Book::Seeded), &setup, &known).await;
}
