//! `headgate login`: people at the command line, with a session of their own and over TLS.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use headgate_tests::authority::Authority;
use headgate_tests::cluster::{Headgate, Proof, run_to_end_with};
use headgate_tests::repo;
use headgate_tests::setup::{Setup, TENANT};
use headgate_tests::topology::Topology;
use headgate_tests::wait::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;

const PASSWORD: &str = "the-planted-password";
const SOON: Duration = Duration::from_secs(30);

fn setup() -> Setup {
    Setup::new().seed("admin_users", json!({"email": "root@example.com", "password": PASSWORD})).seed(
        "memberships",
        json!({"tenant_id": TENANT, "email": "ada@example.com", "role": "owner", "password": PASSWORD}),
    )
}

/// Someone with a home, whose password lies in the file `password` there.
struct Person {
    home: TempDir,
    server: String,
}

impl Person {
    fn at(server: String) -> Self {
        let home = TempDir::new().unwrap();
        fs::write(home.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        Self { home, server }
    }

    fn of(headgate: &Headgate) -> Self {
        Self::at(format!("http://{}", headgate.node("auth").grpc()))
    }

    /// Exit code, and what it printed.
    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let home = self.home.path().to_str().unwrap();
        let environment = [("HOME", home), ("HEADGATE_SERVER", &*self.server)];
        // What is printed is kept where it runs.
        let folder = TempDir::new().unwrap();
        run_to_end_with(arguments, &environment, folder.path()).await
    }

    async fn log_in(&self, email: &str, more: &[&str]) -> (Option<i32>, String) {
        let file = self.home.path().join("password");
        let login = ["login", "--email", email, "--password-file", file.to_str().unwrap()];
        self.run(&[&login, more].concat()).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let (code, printed) = self.run(&[&["admin"], arguments, &["--json"]].concat()).await;
        assert_eq!(code, Some(0), "{printed}");
        serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"))
    }

    fn file(&self) -> PathBuf {
        self.home.path().join(".config/headgate/sessions.json")
    }

    fn session(&self) -> Value {
        let sessions: Value = serde_json::from_slice(&fs::read(self.file()).unwrap()).unwrap();
        sessions[&self.server].clone()
    }

    /// Makes the access token one whose time is over.
    fn age(&self) {
        let mut session = self.session();
        session["access_expires_unix_seconds"] = json!(1);
        self.keep(&session);
    }

    fn keep(&self, session: &Value) {
        fs::write(self.file(), json!({&self.server: session}).to_string()).unwrap();
    }
}

#[tokio::test]
async fn who_logs_in_acts_as_themselves_until_they_log_out() {
    let headgate = Headgate::start(&setup()).await;
    let root = Person::of(&headgate);
    let (code, printed) = root.log_in("root@example.com", &[]).await;
    assert!(code == Some(0) && printed.contains("root@example.com"), "{printed}");
    let mode = fs::metadata(root.file()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    let first = root.session();
    assert!(!printed.contains(first["access_token"].as_str().unwrap()) && !printed.contains(PASSWORD));
    let users = root.json(&["user", "list"]).await;
    assert_eq!(users.as_array().map(Vec::len), Some(2), "{users}");

    // Where services run apart, the session is auth's and the call another's.
    root.age();
    let catalog = format!("http://{}", headgate.node("catalog").grpc());
    root.json(&["provider", "list", "--server", &catalog, "--login-server", &root.server]).await;
    let second = root.session();
    assert_ne!(second["refresh_token"], first["refresh_token"], "it was renewed");

    let (code, printed) = root.run(&["logout"]).await;
    assert!(code == Some(0) && !root.file().exists(), "{printed}");
    let token = second["access_token"].as_str().unwrap().to_owned();
    let held = [("HEADGATE_TOKEN", &*token), ("HEADGATE_SERVER", &*root.server)];
    eventually(SOON, "the end of the session", || async {
        let folder = TempDir::new().unwrap();
        let (code, printed) = run_to_end_with(&["admin", "tenant", "list"], &held, folder.path()).await;
        (code == Some(1) && printed.contains("INVALID_CREDENTIAL")).then_some(())
    })
    .await;
    let (code, printed) = root.run(&["logout"]).await;
    assert!(code == Some(1) && printed.contains("nobody is logged in"), "{printed}");
}

#[tokio::test]
async fn a_session_that_is_in_two_hands_ends_and_is_forgotten() {
    let headgate = Headgate::start(&setup()).await;
    let root = Person::of(&headgate);
    root.log_in("root@example.com", &[]).await;
    let copied = root.session();
    root.age();
    root.json(&["tenant", "list"]).await;
    root.keep(&copied);
    root.age();
    let (code, printed) = root.run(&["admin", "tenant", "list"]).await;
    assert!(code == Some(1) && printed.contains("log in again"), "{printed}");
    assert!(!root.file().exists());
}

#[tokio::test]
async fn commands_at_the_same_time_renew_a_session_once() {
    let headgate = Headgate::start(&setup()).await;
    let root = Person::of(&headgate);
    root.log_in("root@example.com", &[]).await;
    root.age();
    let list = || root.json(&["tenant", "list"]);
    let lists = tokio::join!(list(), list(), list(), list());
    assert!(lists.0.is_array() && root.session()["access_token"].is_string(), "the session lives");
}

#[tokio::test]
async fn a_password_comes_from_a_file_or_standard_input_and_a_wrong_one_keeps_nothing() {
    let headgate = Headgate::start(&setup()).await;
    let ada = Person::of(&headgate);
    fs::write(ada.home.path().join("password"), "guess-of-a-password").unwrap();
    let (code, printed) = ada.log_in("ada@example.com", &[]).await;
    assert!(code == Some(1) && printed.contains("INVALID_CREDENTIAL"), "{printed}");
    assert!(!printed.contains("guess") && !ada.file().exists(), "{printed}");

    let mut login = Command::new(repo::binary());
    login.args(["login", "--server", &ada.server]).env_clear().env("HOME", ada.home.path());
    let mut login = login.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(login.stdin.take().unwrap(), "ada@example.com\n{PASSWORD}").unwrap();
    let output = tokio::task::spawn_blocking(move || login.wait_with_output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");

    // She owns a tenant, and sees nothing beyond.
    let members = ada.json(&["membership", "list", "--tenant", TENANT]).await;
    assert_eq!(members[0]["email"], "ada@example.com");
    let (code, printed) = ada.run(&["admin", "user", "list"]).await;
    assert!(code == Some(1) && printed.contains("PERMISSION_DENIED"), "{printed}");
    // A token that is set wins.
    let folder = TempDir::new().unwrap();
    let (home, token) = (ada.home.path().to_str().unwrap(), headgate.operator_token());
    let held = [("HOME", home), ("HEADGATE_SERVER", &ada.server), ("HEADGATE_TOKEN", &token)];
    let (code, printed) = run_to_end_with(&["admin", "user", "list"], &held, folder.path()).await;
    assert!(code == Some(0) && printed.contains("root@example.com"), "{printed}");
    let (code, printed) = ada.run(&["admin", "tenant", "list", "--token", &token]).await;
    assert_eq!(code, Some(2), "there is no flag that shows a token: {printed}");
}

#[tokio::test]
async fn a_damaged_file_of_sessions_is_told_and_shows_nothing() {
    let headgate = Headgate::start(&Setup::new()).await;
    let person = Person::of(&headgate);
    fs::create_dir_all(person.file().parent().unwrap()).unwrap();
    fs::write(person.file(), "{\"planted-secret").unwrap();
    fs::set_permissions(person.file(), Permissions::from_mode(0o600)).unwrap();
    let (code, printed) = person.run(&["admin", "tenant", "list"]).await;
    assert!(code == Some(1) && printed.contains("damaged") && !printed.contains("planted"), "{printed}");
}

#[tokio::test]
async fn tls_is_spoken_to_whom_an_authority_vouches_for_and_to_nobody_else() {
    let proof = Proof::Certificates(Authority::new());
    let headgate = Headgate::start_knowing(proof, Topology::Split, &setup()).await;
    let server = format!("https://{}", headgate.node("auth").grpc());
    let root = Person::at(server);
    let (own, foreign) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    headgate.authority().write(own.path(), &["edge"]);
    Authority::new().write(foreign.path(), &["edge"]);
    let file = |folder: &TempDir, name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let ca = file(&own, "ca.crt");
    let (code, printed) = root.log_in("root@example.com", &["--ca-file", &ca]).await;
    assert_eq!(code, Some(0), "{printed}");
    let users = root.json(&["user", "list", "--ca-file", &ca]).await;
    assert_eq!(users.as_array().map(Vec::len), Some(2), "{users}");

    // A certificate that the deployment's authority signed may be shown, one of another may not.
    for (folder, taken) in [(&own, true), (&foreign, false)] {
        let (certificate, key) = (file(folder, "tls.crt"), file(folder, "tls.key"));
        let shown = ["--ca-file", &ca, "--cert-file", &certificate, "--key-file", &key];
        let (code, printed) = root.run(&[&["admin", "user", "list"][..], &shown].concat()).await;
        assert_eq!(code == Some(0), taken, "{printed}");
    }
    let other = file(&foreign, "ca.crt");
    for doubtful in [&["--ca-file", &other][..], &[]] {
        let (code, printed) = root.run(&[&["admin", "user", "list"], doubtful].concat()).await;
        assert_eq!(code, Some(1), "{printed}");
        assert!(!printed.contains("root@example.com"), "{printed}");
    }
    let (code, printed) = root.run(&["admin", "user", "list", "--cert-file", &other]).await;
    assert!(code == Some(2) && printed.contains("--key-file"), "{printed}");
    let plain = ["admin", "user", "list", "--server", "http://127.0.0.1:1", "--ca-file", &ca];
    let (code, printed) = root.run(&plain).await;
    assert!(code == Some(1) && printed.contains("https://"), "{printed}");
}
