use headgate_proto::inference::v1::Dialect;
use serde_json::json;

use super::server::{Server, prompt, request, soon};
use crate::Config;

#[tokio::test]
async fn a_body_and_its_answer_pass_as_they_are() {
    let server = Server::start(Config::default()).await;
    let body = r#"{ "model":"echo", "max_tokens":5, "messages":[{"role":"user","content":"hi"}], "x":1.0 }"#;
    let mut request = request("POST", "/v1/chat/completions", body);
    request.headers_mut().insert("authorization", "Bearer sk-demo.my-secret".parse().unwrap());
    request.headers_mut().insert("idempotency-key", "k-1".parse().unwrap());
    let answer = server.ask(request).await;

    assert_eq!((answer.status.as_u16(), &*answer.body), (200, body.as_bytes()));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["content-length"], body.len().to_string().as_str());
    assert_eq!(answer.headers["x-budget-remaining"], "0.5");
    assert_eq!(answer.headers["x-headgate-output-cap"], "12");
    assert_eq!(answer.headers["idempotent-replayed"], "true");
    assert!(!answer.headers.contains_key("x-internal"));

    let seen = server.seen();
    assert_eq!((seen.method, seen.model.as_str(), &*seen.body), ("Chat", "echo", body.as_bytes()));
    assert_eq!(seen.dialect, Dialect::OpenaiChat);
    let facts = seen.facts.unwrap();
    assert_eq!((facts.max_output_tokens, facts.choices), (Some(5), 1));
    assert!(facts.prompt_bytes > 0);
    assert_eq!(seen.metadata["authorization"], "Bearer sk-demo.my-secret");
    assert_eq!(seen.metadata["idempotency-key"], "k-1");
    assert_eq!(seen.metadata["x-request-id"], answer.headers["x-request-id"]);
}

#[tokio::test]
async fn completions_pass_under_their_own_dialect() {
    for (stream, method) in [(false, "Chat"), (true, "StreamChat")] {
        let server = Server::start(Config::default()).await;
        let body =
            format!(r#"{{"model":"echo", "prompt":["a","b"], "n":3, "max_tokens":5, "stream":{stream}}}"#);
        let answer = server.ask(request("POST", "/v1/completions", &body)).await;
        assert_eq!(answer.status, 200);
        let seen = server.seen();
        assert_eq!(
            (seen.method, seen.dialect, &*seen.body),
            (method, Dialect::OpenaiCompletions, body.as_bytes())
        );
        let facts = seen.facts.unwrap();
        assert_eq!((facts.max_output_tokens, facts.choices), (Some(5), 6));
        assert!(server.metric(r#"headgate_edge_requests_total{route="/v1/completions",status="200"} 1"#));
        let refused = server.get("/v1/completions").await;
        assert_eq!((refused.status.as_u16(), &refused.headers["allow"]), (405, &"POST".parse().unwrap()));
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_left_to_the_router() {
    for body in ["{", "[]", r#"{"model":1}"#, r#"{"model":"a","model":"b","messages":[]}"#, ""] {
        let server = Server::start(Config::default()).await;
        let answer = server.chat(body).await;
        // The router knows no caller here, and says only that.
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["code"]),
            (401, &json!("invalid_api_key"))
        );
        let seen = server.seen();
        assert_eq!((seen.method, &*seen.body, seen.facts), ("Chat", body.as_bytes(), None));
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_reason_and_its_headers() {
    let server = Server::start(Config::default()).await;
    for stream in [false, true] {
        let answer = server.chat(&prompt("limited", stream)).await;
        assert_eq!(answer.status, 429);
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["retry-after"], "2");
        assert_eq!(answer.headers["retry-after-ms"], "1500");
        assert_eq!(answer.headers["x-ratelimit-limit-requests"], "5");
        let error = json!({"message": "too many requests", "type": "rate_limit_error", "param": null,
            "code": "rate_limit_exceeded"});
        let request_id = answer.headers["x-request-id"].to_str().unwrap();
        assert_eq!(answer.json(), json!({"error": error, "request_id": request_id}));
    }
    assert!(server.metric(r#"headgate_edge_requests_total{route="/v1/chat/completions",status="429"} 2"#));
}

#[tokio::test]
async fn a_client_that_hangs_up_before_the_answer_drops_the_call() {
    let server = Server::start(Config::default()).await;
    let body = prompt("waits", false);
    tokio::select! {
        _ = server.chat(&body) => panic!("answered"),
        () = server.router.waiting.notified() => {}
    }
    soon(server.router.dropped.notified()).await;
    let gone = r#"headgate_edge_requests_total{route="/v1/chat/completions",status="499"} 1"#;
    assert!(server.metric(gone));
}
