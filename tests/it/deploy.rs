//! What lies in deploy/ is what Kubernetes and Compose take, and what the binary understands.

use std::path::Path;

use headgate_tests::authority::Authority;
use headgate_tests::image::Image;
use headgate_tests::repo;
use tempfile::TempDir;

use crate::clients::run;

async fn kubernetes(overlay: &str) -> usize {
    checked("deploy_kubernetes.py", overlay).await
}

async fn compose(file: &str) -> usize {
    checked("deploy_compose.py", file).await
}

/// How many checks passed, all of them.
async fn checked(script: &str, what: &str) -> usize {
    let binary = repo::binary();
    run(script, &[what, "--headgate", binary.to_str().expect("a UTF-8 path")]).await
}

/// Certificates as the Secret of `overlays/split-mutual-tls` holds them.
fn certificates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let services = ["router", "adapter", "auth", "catalog", "budget", "usage", "runtime"];
    Authority::new().write(folder.path(), &services);
    folder
}

#[tokio::test]
async fn kubernetes_all_in_one() {
    assert_eq!(kubernetes("all-in-one").await, 15);
}

#[tokio::test]
async fn kubernetes_data_plane_and_control_plane() {
    assert_eq!(kubernetes("planes").await, 15);
}

#[tokio::test]
async fn kubernetes_a_process_per_service() {
    assert_eq!(kubernetes("split").await, 15);
}

#[tokio::test]
async fn kubernetes_a_process_per_service_with_mutual_tls() {
    let (binary, certificates) = (repo::binary(), certificates());
    let path = |path: &Path| path.to_str().expect("a UTF-8 path").to_owned();
    let (binary, folder) = (path(&binary), path(certificates.path()));
    let arguments = ["split-mutual-tls", "--headgate", &binary, "--certificates", &folder];
    assert_eq!(run("deploy_kubernetes.py", &arguments).await, 15);
}

#[tokio::test]
async fn compose_all_in_one() {
    assert_eq!(compose("compose.yaml").await, 10);
}

#[tokio::test]
async fn compose_a_container_per_service() {
    assert_eq!(compose("compose.split.yaml").await, 10);
}

#[tokio::test]
async fn kubernetes_manifests_run_as_containers_in_front_of_real_engines() {
    let (image, binary) = (Image::build().await, repo::binary());
    let certificates = certificates();
    let (binary, folder) = (binary.to_str(), certificates.path().to_str());
    let (binary, folder) = (binary.expect("a UTF-8 path"), folder.expect("a UTF-8 path"));
    for overlay in ["all-in-one", "planes", "split", "split-mutual-tls"] {
        let mut arguments =
            vec![overlay, "--headgate", binary, "--image", image.name(), "--certificates", folder];
        if let Some(host) = image.engine().host() {
            arguments.extend(["--docker-host", host]);
        }
        assert_eq!(run("deploy_on_docker.py", &arguments).await, 3, "{overlay}");
    }
}
