//! A real OpenID Connect provider: the certified `oidc-provider`, with the pages it has for development.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::daemon::{Daemon, folder};
use crate::authority::{Authority, Front};
use crate::browser::{Arrived, Browser};
use crate::ports::free_port;
use crate::repo;

/// What it knows Headgate by.
pub const CLIENT_ID: &str = "headgate";
/// What Headgate proves that with.
pub const CLIENT_SECRET: &str = "secret of headgate: %+&=:";
/// The host at which it sends browsers back.
pub const GATE: &str = "gate.test";

/// A running provider. Stopped when dropped.
pub struct Oidc {
    // Before the folder: the server ends first.
    daemon: Daemon,
    issuer: String,
    address: SocketAddr,
    accounts: PathBuf,
    _folder: TempDir,
}

impl Oidc {
    /// Starts one without accounts, and waits until it answers.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start() -> Self {
        let port = free_port();
        Self::launch(format!("http://127.0.0.1:{port}"), port, &[]).await
    }

    /// One that is spoken to over TLS, and puts claims into ID tokens. It lives as long as the front.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start_with_tls(authority: &Authority) -> (Self, Front) {
        let port = free_port();
        let front = authority.front(([127, 0, 0, 1], port).into()).await;
        (Self::launch(format!("https://{}", front.at), port, &["--claims-in-id-token"]).await, front)
    }

    async fn launch(issuer: String, port: u16, options: &[&str]) -> Self {
        let folder = folder("headgate-oidc-");
        let accounts = folder.path().join("accounts.json");
        fs::write(&accounts, "{}").unwrap();
        let text = |path: PathBuf| path.to_str().expect("a UTF-8 path").to_owned();
        let script = text(repo::root().join("tests/tools/oidc/provider.mjs"));
        let modules = text(repo::tool("oidc/node_modules"));
        let mut command = vec![text(repo::tool("bin/node")), script, modules];
        command.extend([issuer.clone(), port.to_string(), text(accounts.clone())]);
        command.extend(options.iter().map(|option| (*option).to_owned()));
        let daemon = Daemon::start(command, folder.path().join("log"), "KILL");
        let mut oidc =
            Self { daemon, issuer, address: ([127, 0, 0, 1], port).into(), accounts, _folder: folder };
        oidc.wait().await;
        oidc
    }

    /// Where it listens, in clear.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it calls itself.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Makes accounts, by subject, in place of those it had.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn set_accounts(&self, claims: &Value) {
        fs::write(&self.accounts, claims.to_string()).unwrap();
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again, with other keys, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.daemon.start_again();
        self.wait().await;
    }

    /// Logs an account in where Headgate has sent a browser, and returns where that is sent back to.
    ///
    /// # Panics
    /// When the provider refuses.
    pub async fn log_in(&self, browser: &mut Browser, authorization_url: &str, account: &str) -> String {
        let reply = browser.get(authorization_url).await;
        let mut arrived = browser.follow(authorization_url.to_owned(), reply, GATE).await;
        for form in [format!("prompt=login&login={account}&password=any"), "prompt=consent".to_owned()] {
            arrived = match arrived {
                Arrived { page: None, .. } => break,
                Arrived { url, page: Some(page) } => {
                    page.expect(200);
                    let reply = browser.submit(&url, &form).await;
                    browser.follow(url, reply, GATE).await
                }
            };
        }
        sent_back(arrived)
    }

    /// Has somebody give up there.
    ///
    /// # Panics
    /// When the provider does not take it.
    pub async fn abort(&self, browser: &mut Browser, authorization_url: &str) -> String {
        let reply = browser.get(authorization_url).await;
        let page = browser.follow(authorization_url.to_owned(), reply, GATE).await;
        let url = format!("{}/abort", page.url);
        let reply = browser.get(&url).await;
        sent_back(browser.follow(url, reply, GATE).await)
    }

    async fn wait(&mut self) {
        let address = self.address;
        self.daemon.wait_until("oidc-provider", || std::net::TcpStream::connect(address).is_ok()).await;
    }
}

fn sent_back(arrived: Arrived) -> String {
    let Arrived { url, page } = arrived;
    assert!(page.is_none(), "still at {url}: {}", page.map(|page| page.text()).unwrap_or_default());
    url
}
