//! What lies in deploy/ is what Kubernetes and Compose take, and what the binary understands.

use headgate_tests::repo;

use crate::clients::run;

async fn kubernetes(overlay: &str) -> usize {
    let binary = repo::binary();
    let binary = binary.to_str().expect("a UTF-8 path");
    run("deploy_kubernetes.py", &[overlay, "--headgate", binary]).await
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
