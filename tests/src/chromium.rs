//! A real browser without a window: Chromium, spoken to over pipes in its DevTools protocol.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::wait::eventually;

const PROGRAM: &str = "/usr/bin/chromium-headless-shell";
/// How long a page may take to become what is waited for, on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// How long an answer of the browser itself may take there.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page. Killed when dropped; [`Chromium::close`] leaves nothing behind, either.
pub struct Chromium {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// The page's session.
    session: Option<String>,
    last_id: u64,
    /// What happened, in its order.
    events: Vec<Value>,
    profile: TempDir,
}

impl Chromium {
    /// Starts one with an empty page of this size.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start(width: u32, height: u32) -> Self {
        assert!(
            Path::new(PROGRAM).exists(),
            "{PROGRAM} is missing: run tests/tools/install.sh, or `make test`"
        );
        let profile = tempfile::Builder::new().prefix("headgate-browser-").tempdir().expect("a folder");
        // It reads commands from descriptor 3 and answers on 4.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 >/dev/null", PROGRAM, "--remote-debugging-pipe"])
            .args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a browser");
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let (session, events) = (None, Vec::new());
        let mut browser = Self { process, to, from, session, last_id: 0, events, profile };
        let target = browser.command("Target.createTarget", json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.command("Target.attachToTarget", attach).await;
        browser.session = Some(attached["sessionId"].as_str().expect("a session").to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.command(&format!("{domain}.enable"), json!({})).await;
        }
        browser.resize(width, height).await;
        browser
    }

    /// Ends it, and removes its profile once it writes there no more.
    ///
    /// # Panics
    /// When it does not end, or the profile stays.
    pub async fn close(mut self) {
        self.session = None;
        self.command("Browser.close", json!({})).await;
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        ended.expect("the browser ends in time").expect("the browser ends");
        let profile = self.profile.path();
        eventually(SOON, "the profile is gone", async || {
            let removed = std::fs::remove_dir_all(profile);
            (removed.is_ok() || !profile.exists()).then_some(())
        })
        .await;
    }

    /// Gives the page another size.
    pub async fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Goes to an address.
    pub async fn open(&mut self, url: &str) {
        let gone = self.command("Page.navigate", json!({ "url": url })).await;
        assert!(gone["errorText"].is_null(), "{url}: {gone}");
    }

    /// What an expression of the page's script is, or becomes.
    ///
    /// # Panics
    /// When it throws.
    pub async fn evaluate(&mut self, expression: &str) -> Value {
        let what = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let found = self.command("Runtime.evaluate", what).await;
        assert!(found["exceptionDetails"].is_null(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    /// When it does not become so.
    pub async fn until(&mut self, expression: &str) {
        let browser = tokio::sync::Mutex::new(self);
        eventually(SOON, expression, async || {
            let found = browser.lock().await.evaluate(&format!("Boolean({expression})")).await;
            (found == true).then_some(())
        })
        .await;
    }

    /// What the page shows, as an image of PNG.
    pub async fn screenshot(&mut self) -> Vec<u8> {
        let shot = self.command("Page.captureScreenshot", json!({"format": "png"})).await;
        STANDARD.decode(shot["data"].as_str().expect("an image")).expect("base64")
    }

    /// The addresses that the page asked for so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let sent = self.events_of("Network.requestWillBeSent");
        sent.filter_map(|event| event["request"]["url"].as_str()).map(str::to_owned).collect()
    }

    /// What the page's script and the browser complained of so far.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let thrown = self.events_of("Runtime.exceptionThrown").map(Value::to_string);
        let printed = self.events_of("Runtime.consoleAPICalled").map(Value::to_string);
        let logged = self.events_of("Log.entryAdded").map(Value::to_string);
        thrown.chain(printed).chain(logged).collect()
    }

    fn events_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["method"] == name).map(|event| &event["params"])
    }

    async fn command(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut command = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let text = format!("{command}\0");
        self.to.write_all(text.as_bytes()).await.expect("the browser reads");
        let id = self.last_id;
        tokio::time::timeout(PATIENCE, self.answer(id, method)).await.expect("the browser answers in time")
    }

    async fn answer(&mut self, id: u64, method: &str) -> Value {
        loop {
            let mut text = Vec::new();
            let read = self.from.read_until(0, &mut text).await.expect("the browser writes");
            assert!(read > 0, "the browser is gone: {:?}", self.process.try_wait());
            let message: Value =
                serde_json::from_slice(text.trim_ascii_end().strip_suffix(&[0]).unwrap_or(&text))
                    .expect("JSON");
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            if message["method"].is_string() {
                self.events.push(message);
            }
        }
    }
}
