use serde_json::json;

use super::server::{Server, request};
use crate::Config;

const SECURITY: [(&str, &str); 3] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
];

#[tokio::test]
async fn health_is_told_at_once() {
    let server = Server::start(Config::default()).await;
    for path in ["/health", "/healthz", "/api/health", "/health?verbose=1"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, br#"{"status":"ok"}"#.as_slice()));
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    assert_eq!(server.get("/ping").await.body, "pong");
    let full = server.get("/health?full=true").await.json();
    let providers = json!({"total": 1, "cooling": 1});
    assert_eq!(full, json!({"status": "degraded", "missing": [], "parts": [], "providers": providers}));
    let head = server.ask(request("HEAD", "/health", "")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert!(server.metric(r#"headgate_edge_requests_total{route="/health",status="200"} 6"#));
}

#[tokio::test]
async fn every_response_carries_an_id_and_the_security_headers() {
    let server = Server::start(Config::default()).await;
    for path in ["/ping", "/v1/models", "/v1/models/absent", "/nowhere", "/v1/chat/completions"] {
        let mut sent = request("GET", path, "");
        sent.headers_mut().insert("x-request-id", "r-1".parse().unwrap());
        let answer = server.ask(sent).await;
        assert_eq!(answer.headers["x-request-id"], "r-1", "{path}");
        if !answer.status.is_success() {
            assert_eq!(answer.json()["request_id"], "r-1", "{path}");
        }
        for (name, value) in SECURITY {
            assert_eq!(answer.headers[name], value, "{path}");
        }
    }
    let (one, other) = (server.get("/ping").await, server.get("/ping").await);
    assert_ne!(one.headers["x-request-id"], other.headers["x-request-id"]);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_in_openai_shape() {
    let server = Server::start(Config::default()).await;
    let answer = server.get("/v1/nothing?key=secret").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (404, &json!("not_found")));
    assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    assert!(server.metric(r#"headgate_edge_requests_total{route="other",status="404"} 1"#));

    for (method, path, allowed) in
        [("GET", "/v1/chat/completions", "POST"), ("DELETE", "/v1/models/a/b", "GET, HEAD")]
    {
        let answer = server.ask(request(method, path, "")).await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.headers["allow"], allowed);
        assert_eq!(answer.json()["error"]["code"], "method_not_allowed");
    }
}

#[tokio::test]
async fn models_are_shown_as_openai_shows_them() {
    let server = Server::start(Config::default()).await;
    let list = server.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let echo = json!({"id": "echo", "object": "model", "created": 1_700_000_000, "owned_by": "acme",
        "enabled": true, "operations": ["chat"], "providers": ["acme"], "deployments": ["gpt-x"],
        "context_tokens": 8192, "max_output_tokens": 1024, "aliases": ["other"], "description": "Says it back."});
    assert_eq!(list["data"][0], echo);
    assert_eq!(server.get("/models").await.json(), list);
    assert_eq!((&list["data"][1]["id"], &list["data"][1]["owned_by"]), (&json!("bare"), &json!("headgate")));

    let status = server.get("/v1/models/status").await.json();
    let cooling = json!({"id": "echo", "object": "model.status", "status": "cooling", "retry_after_ms": 17});
    let unknown = json!({"id": "bare", "object": "model.status", "status": "unknown"});
    assert_eq!(status, json!({"object": "list", "data": [cooling, unknown]}));

    for path in ["/v1/models/org/a%20b", "/v1/models/org%2Fa%20b"] {
        assert_eq!(server.get(path).await.json()["id"], "org/a b");
    }
    let answer = server.get("/v1/models/absent").await;
    let error = &answer.json()["error"];
    assert_eq!(
        (answer.status.as_u16(), &error["code"], &error["param"]),
        (404, &json!("model_not_found"), &json!("model"))
    );
}

#[tokio::test]
async fn models_are_looked_for_by_what_the_query_says() {
    let server = Server::start(Config::default()).await;
    let found = server.get("/v1/models/search?q=a+b%26&operation=chat&provider=acme").await;
    assert_eq!((found.status.as_u16(), &found.json()["object"]), (200, &json!("list")));
    let asked = server.router.wanted.lock().take().unwrap();
    assert_eq!((&*asked.query, &*asked.operation, &*asked.provider), ("a b&", "chat", "acme"));
    for (query, param) in [("colour=red", "colour"), ("q=a&q=b", "q"), ("q=%ff", "")] {
        let refused = server.get(&format!("/v1/models/search?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert_eq!(refused.json()["error"]["param"].as_str().unwrap_or_default(), param, "{query}");
    }
    assert!(server.router.wanted.lock().is_none(), "nobody was asked");
}

#[tokio::test]
async fn embeddings_pass_as_they_are() {
    let server = Server::start(Config::default()).await;
    let body = r#"{"model":"vectors", "input":["a","b"], "encoding_format":"base64"}"#;
    let mut sent = request("POST", "/v1/embeddings", body);
    sent.headers_mut().insert("x-api-key", "sk-a.b".parse().unwrap());
    let answer = server.ask(sent).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, body.as_bytes()));
    let seen = server.seen();
    assert_eq!((seen.method, seen.model.as_str(), &*seen.body), ("Embed", "vectors", body.as_bytes()));
    assert!(seen.facts.is_some());
    assert_eq!(seen.metadata["authorization"], "Bearer sk-a.b");
}

#[tokio::test]
async fn a_body_that_says_it_is_not_json_is_refused() {
    let server = Server::start(Config::default()).await;
    let mut sent = request("POST", "/v1/chat/completions", "model=echo");
    sent.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    let answer = server.ask(sent).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"]["message"], "content-type must be application/json");
    assert!(server.router.seen.lock().is_empty());
}
