//! The container image, made from this build's binary and run by a real engine as tightly as it can be.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use headgate_proto::usage::v1::GetUsageSummaryRequest;
use headgate_proto::usage::v1::usage_service_client::UsageServiceClient;
use headgate_tests::http::Client;
use headgate_tests::image::Image;
use headgate_tests::operator::authorized;
use headgate_tests::prompts;
use headgate_tests::repo;
use headgate_tests::wait::eventually;
use serde_json::json;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(60);
const TOKEN: &str = "operator-token-of-the-image-test";
const KEY: &str = "sk-image.image-client-secret";
const CONFIG: &str = "/etc/headgate/headgate.yaml";

/// An image and a volume of the same name; what was made of them is removed when dropped.
struct Made {
    image: Image,
    config: PathBuf,
    _folder: TempDir,
}

impl Made {
    async fn new() -> Self {
        let image = Image::build().await;
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("headgate.yaml");
        std::fs::write(&config, configuration()).unwrap();
        // The container's user is another.
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).unwrap();
        image.engine().run(&["volume", "create", image.name()]);
        Self { image, config, _folder: folder }
    }

    /// Runs a container and waits until the engine finds it healthy by the image's own check.
    async fn container(&self) -> String {
        let (data, config) =
            (format!("{}:/data", self.image.name()), format!("{}:{CONFIG}:ro", self.config.display()));
        let token = format!("HEADGATE__OPERATOR_TOKEN={TOKEN}");
        let label = format!("test={}", self.image.name());
        let mut run = vec!["run", "--detach", "--label", &label, "--health-interval", "1s"];
        run.extend(["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
        run.extend(["--publish", "127.0.0.1::8080", "--publish", "127.0.0.1::50051"]);
        run.extend(["--volume", &data, "--volume", &config, "--env", &token]);
        run.extend([self.image.name(), "serve", "--config", CONFIG]);
        let id = self.image.engine().run(&run);
        eventually(START, "the container's health", || async {
            let status = self.inspect(&id, "{{.State.Status}} {{.State.Health.Status}}");
            assert!(status.starts_with("running"), "{status}: {}", self.logs(&id));
            (status == "running healthy").then_some(())
        })
        .await;
        id
    }

    /// Asks it to end, as orchestrators do, while this test's own connections can close.
    async fn stop(&self, id: &str) {
        let stop = self.image.engine().command(&["stop", "--time", "90", id]);
        let stopped = tokio::process::Command::from(stop).output().await.unwrap();
        assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    }

    fn inspect(&self, what: &str, format: &str) -> String {
        self.image.engine().run(&["inspect", "--format", format, what])
    }

    fn logs(&self, id: &str) -> String {
        let output = self.image.engine().command(&["logs", id]).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    fn published(&self, id: &str, port: &str) -> SocketAddr {
        self.image.engine().run(&["port", id, port]).parse().unwrap()
    }

    fn client(&self, id: &str) -> Client {
        Client::new(self.published(id, "8080/tcp")).with_key(KEY)
    }

    async fn rows(&self, id: &str) -> u64 {
        let channel = authorized(self.published(id, "50051/tcp"), TOKEN).await;
        let request = GetUsageSummaryRequest { filter: None };
        let summary = UsageServiceClient::new(channel).get_usage_summary(request).await.unwrap().into_inner();
        summary.requests
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let label = format!("label=test={}", self.image.name());
        let left = self.image.engine().command(&["ps", "--all", "--quiet", "--filter", &label]).output();
        let left =
            left.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let containers = left.lines().map(|id| vec!["rm", "--force", id]);
        for command in containers.chain([vec!["volume", "rm", self.image.name()]]) {
            // What the test did not get to make is not there.
            drop(self.image.engine().command(&command).output());
        }
    }
}

fn configuration() -> String {
    let price = json!({"input_usd_per_1m_tokens": "0.10", "output_usd_per_1m_tokens": "0.20"});
    json!({
        "budget": {"time_zone": "Europe/Berlin"},
        "bootstrap": {
            "tenants": [{"id": "image", "name": "Image"}],
            "api_keys": [{"tenant_id": "image", "name": "test", "key": KEY}],
            "providers": [{"id": "echo", "name": "echo", "kind": "echo"}],
            "models": [{
                "name": "echo", "operations": ["chat"], "price": price,
                "targets": [{"provider": "echo", "upstream_model": "echo"}],
                "max_output_tokens": 1024, "context_tokens": 8192,
            }],
        },
    })
    .to_string()
}

#[tokio::test]
async fn the_image_serves_without_any_right_and_its_data_outlives_the_container() {
    let made = Made::new().await;
    assert_eq!(made.inspect(made.image.name(), "{{.Config.User}}"), "10001:10001");
    let first = made.container().await;
    made.client(&first).chat(&prompts::chat("echo")).await.expect(200);
    eventually(START, "the ledger's row", || async { (made.rows(&first).await == 1).then_some(()) }).await;

    made.stop(&first).await;
    assert_eq!(made.inspect(&first, "{{.State.ExitCode}}"), "0", "{}", made.logs(&first));

    let second = made.container().await;
    assert_eq!(made.rows(&second).await, 1);
    made.client(&second).chat(&prompts::chat("echo")).await.expect(200);
    eventually(START, "the ledger's second row", || async { (made.rows(&second).await == 2).then_some(()) })
        .await;
}

#[test]
fn the_image_is_built_with_the_pinned_toolchain() {
    let pinned = std::fs::read_to_string(repo::root().join("rust-toolchain.toml")).unwrap();
    let version = pinned.split('"').nth(1).expect("a version in quotes");
    let dockerfile = std::fs::read_to_string(repo::root().join("deploy/Dockerfile")).unwrap();
    assert!(dockerfile.contains(&format!("ARG RUST={version}-")), "not {version}");
}
