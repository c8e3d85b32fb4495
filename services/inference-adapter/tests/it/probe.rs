//! Asking an upstream whether it is there.

use headgate_proto::adapter::v1::{Deadlines, ProbeRequest, ProbeResponse, ProbeStatus, Target};
use tokio::net::TcpListener;

use crate::support::{SECRET, client, echo, hasty, key, target};
use crate::upstream::{Step, Upstream};

async fn probe(target: Target) -> ProbeResponse {
    let found = client().probe(ProbeRequest { target: Some(target) }).await.unwrap().into_inner();
    assert!(!found.detail.contains(SECRET) && found.detail.len() <= 256, "{}", found.detail);
    found
}

#[tokio::test]
async fn the_base_url_is_asked_with_the_credential() {
    let upstream = Upstream::answering(204, "", "").await;
    let found = probe(target(&upstream.base_url)).await;
    assert_eq!((found.status(), found.status_code), (ProbeStatus::Online, 204));
    let seen = upstream.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].head.starts_with("GET /v1 HTTP/1.1\r\n"), "{}", seen[0].head);
    assert!(seen[0].head.contains(&format!("authorization: Bearer {SECRET}\r\n")) && seen[0].body.is_empty());
}

#[tokio::test]
async fn where_nothing_stands_the_list_of_models_is_asked() {
    let upstream = Upstream::answering(404, "", "{}").await;
    let found = probe(target(&upstream.base_url)).await;
    assert_eq!((found.status(), found.status_code), (ProbeStatus::Degraded, 404));
    let paths: Vec<_> =
        upstream.seen().iter().map(|seen| seen.head.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(paths, ["/v1", "/v1/models"]);
}

#[tokio::test]
async fn any_other_answer_is_degraded_and_nothing_is_followed_or_quoted() {
    let elsewhere = Upstream::answering(200, "", "").await;
    for status in [302, 400, 401, 403, 429, 500, 503] {
        let headers = format!("location: {}\r\n", elsewhere.base_url);
        let upstream = Upstream::answering(status, &headers, format!("wrong key {SECRET}")).await;
        let found = probe(target(&upstream.base_url)).await;
        assert_eq!((found.status(), found.status_code), (ProbeStatus::Degraded, u32::from(status)));
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn what_does_not_answer_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(probe(target(&refusing)).await.status(), ProbeStatus::Unreachable);

    let hanging = Upstream::start(vec![Step::Hold]).await;
    let soon = Deadlines { total_ms: 100, ..Deadlines::default() };
    let found = probe(hasty(&hanging.base_url, soon)).await;
    assert_eq!((found.status(), found.status_code), (ProbeStatus::Timeout, 0));

    for steps in [vec![Step::Close], vec![Step::Reset], vec![Step::Write(b"SSH-2.0-x\r\n\r\n".to_vec())]] {
        let upstream = Upstream::start(steps).await;
        assert_eq!(probe(target(&upstream.base_url)).await.status(), ProbeStatus::Error);
    }
}

#[tokio::test]
async fn a_credential_that_does_not_open_is_told_and_nothing_is_sent() {
    let upstream = Upstream::answering(200, "", "").await;
    let foreign = Some(key().seal("another", SECRET).unwrap());
    let found = probe(Target { credential: foreign, ..target(&upstream.base_url) }).await;
    assert_eq!(found.status(), ProbeStatus::Error);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn what_is_built_in_is_always_there() {
    let found = probe(echo()).await;
    assert_eq!((found.status(), found.status_code), (ProbeStatus::Online, 0));
}
