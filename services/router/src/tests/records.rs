//! What a request leaves behind: its intent before anything goes upstream, and one terminal record at its end.

use futures_util::StreamExt as _;
use headgate_kit::error::{ErrorReason, Failure};
use headgate_proto::catalog::v1::{Operation, Price};
use headgate_proto::inference::v1::{InferenceServiceStub, StreamChatRequest};
use headgate_proto::record::v1::{AttemptRecord, IntentRecord, Outcome, UsageRecord};
use tonic::Code;

use super::ask::{question, request};
use super::world::{NOW_UNIX_MS, World};
use crate::Config;

/// The bytes of the question's messages.
const PROMPT_BYTES: u32 = 35;

fn overloaded() -> Failure {
    Failure::new(ErrorReason::UpstreamFailed, "overloaded").with("upstream_status", "503")
}

fn attempt(n: u32, error_reason: ErrorReason, upstream_status: u32) -> AttemptRecord {
    AttemptRecord {
        provider_id: format!("provider_{n}"),
        target_id: format!("target_{n}"),
        error_reason: error_reason.into(),
        upstream_status,
        latency_ms: 0,
    }
}

/// What the two attempts of a request leave, but for what takes its time.
fn expected(lease_id: &str) -> UsageRecord {
    UsageRecord {
        lease_id: lease_id.into(),
        request_id: "request_1".into(),
        tenant_id: "tenant_1".into(),
        key_id: "key_1".into(),
        model: "m".into(),
        operation: Operation::Chat.into(),
        provider_id: "provider_2".into(),
        target_id: "target_2".into(),
        upstream_model: "upstream-2".into(),
        prompt_tokens: 12,
        completion_tokens: 40,
        cached_tokens: 0,
        reasoning_tokens: 0,
        estimated: false,
        cost_nano_usd: 1_800 + 24_000,
        overrun_nano_usd: 0,
        price_revision: 7,
        outcome: Outcome::Succeeded.into(),
        error_reason: 0,
        status_code: 200,
        streamed: false,
        started_at_unix_ms: NOW_UNIX_MS,
        latency_ms: 0,
        ttft_ms: None,
        attempts: vec![
            attempt(1, ErrorReason::UpstreamFailed, 503),
            attempt(2, ErrorReason::Unspecified, 200),
        ],
        total_tokens: 0,
    }
}

/// Takes the times out of a record, which no test can know.
fn untimed(mut record: UsageRecord) -> UsageRecord {
    record.latency_ms = 0;
    record.attempts.iter_mut().for_each(|attempt| attempt.latency_ms = 0);
    record
}

#[tokio::test]
async fn a_record_tells_all_of_a_request() {
    let mut world = World::new().await;
    world.peers.failures.lock().push_back(overloaded());
    let answer = InferenceServiceStub::new(world.router.conn()).chat(request(question())).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "request_1");
    assert_eq!(answer.metadata().get("x-budget-total").unwrap(), "1.500000001");
    let record = world.record().await;
    let seen = world.peers.seen.lock();
    let intent = IntentRecord {
        lease_id: record.lease_id.clone(),
        request_id: "request_1".into(),
        tenant_id: "tenant_1".into(),
        key_id: "key_1".into(),
        model: "m".into(),
        operation: Operation::Chat.into(),
        started_at_unix_ms: NOW_UNIX_MS,
        hold_nano_usd: i64::from(PROMPT_BYTES) * 150 + 100 * 600,
        prompt_tokens_estimate: PROMPT_BYTES.div_ceil(4),
        price: Some(Price {
            input_nano_usd_per_1k_tokens: 150_000,
            output_nano_usd_per_1k_tokens: 600_000,
            cached_input_nano_usd_per_1k_tokens: None,
            request_nano_usd: None,
        }),
        price_revision: 7,
        streamed: false,
    };
    assert_eq!(seen.admits[0].0.intent, Some(intent));
    assert_eq!((&seen.settles[0].0.lease_id, seen.settles[0].0.tokens), (&record.lease_id, 52));
    assert_eq!(untimed(record.clone()), expected(&record.lease_id));
    let metrics = headgate_kit::metrics::render(&world.registry);
    let counted = r#"headgate_router_requests_total{operation="chat",outcome="succeeded"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn a_failed_request_is_recorded_with_its_last_target_and_costs_nothing() {
    let mut world = World::new().await;
    world.peers.failures.lock().extend([overloaded(), overloaded()]);
    let router = InferenceServiceStub::new(world.router.conn());
    let status = router.chat(request(question())).await.unwrap_err();
    assert_eq!(Failure::from_status(&status).reason, ErrorReason::UpstreamFailed);
    assert_eq!(status.metadata().get("x-budget-total").unwrap(), "1.500000001");
    let record = world.record().await;
    let mut failed = expected(&record.lease_id);
    (failed.prompt_tokens, failed.completion_tokens, failed.cost_nano_usd) = (0, 0, 0);
    failed.set_outcome(Outcome::Failed);
    failed.set_error_reason(ErrorReason::UpstreamFailed);
    failed.status_code = 502;
    failed.attempts[1] = attempt(2, ErrorReason::UpstreamFailed, 503);
    assert_eq!(untimed(record), failed);
}

#[tokio::test]
async fn the_question_is_asked_whole_of_every_target() {
    let world = World::new().await;
    world.peers.failures.lock().extend([overloaded(), overloaded()]);
    let router = InferenceServiceStub::new(world.router.conn());
    let stream = StreamChatRequest { request: Some(question()) };
    router.stream_chat(request(stream)).await.unwrap_err();
    world.peers.failures.lock().push_back(overloaded());
    router.chat(request(question())).await.unwrap();
    let seen = world.peers.seen.lock();
    let streams = seen.streams.iter().map(|(asked, _)| (&asked.target, &asked.request));
    let chats = seen.chats.iter().map(|(asked, _)| (&asked.target, &asked.request));
    for (n, (target, asked)) in streams.chain(chats).enumerate() {
        assert_eq!(target.as_ref().unwrap().target_id, ["target_1", "target_2"][n % 2]);
        assert_eq!(asked.as_ref().unwrap().encoding, question().encoding);
    }
}

#[tokio::test]
async fn the_intent_lies_in_the_spool_from_admission_to_settlement() {
    let mut world = World::new().await;
    let router = InferenceServiceStub::new(world.router.conn());
    router.chat(request(question())).await.unwrap();
    let stream = StreamChatRequest { request: Some(question()) };
    router.stream_chat(request(stream)).await.unwrap().into_inner().collect::<Vec<_>>().await;
    let seen = std::mem::take(&mut *world.peers.seen.lock());
    assert_eq!([seen.admits[0].1, seen.chats[0].1, seen.settles[0].1], [0, 1, 0]);
    assert_eq!([seen.admits[1].1, seen.streams[0].1, seen.settles[1].1], [0, 1, 0]);
    let (_, streamed) = (world.record().await, world.record().await);
    assert!(streamed.streamed && streamed.ttft_ms.is_some());
}

#[tokio::test]
async fn nothing_goes_upstream_when_the_intent_cannot_be_written() {
    let world = World::with(Config::default(), 1).await;
    let router = InferenceServiceStub::new(world.router.conn());
    let status = router.chat(request(question())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(world.unread(), 0, "nothing ran, so nothing is recorded");
    let seen = world.peers.seen.lock();
    assert_eq!((seen.chats.len(), seen.settles.len()), (0, 0));
    let admitted = seen.admits[0].0.intent.as_ref().unwrap();
    let released = &seen.releases[..];
    assert_eq!(released.len(), 1, "and all that it took is free again");
    assert_eq!((&released[0].lease_id, &released[0].tenant_id), (&admitted.lease_id, &admitted.tenant_id));
}

#[tokio::test]
async fn only_a_whole_answer_is_kept_for_its_idempotency_key() {
    let world = World::new().await;
    let router = InferenceServiceStub::new(world.router.conn());
    for failures in [0, 2] {
        world.peers.failures.lock().extend(std::iter::repeat_n(overloaded(), failures));
        let mut request = request(question());
        request.metadata_mut().insert("idempotency-key", "key".parse().unwrap());
        assert_eq!(router.chat(request).await.is_ok(), failures == 0);
    }
    let seen = world.peers.seen.lock();
    let kept = seen.settles.iter().map(|(settled, _)| settled.response.is_some());
    assert_eq!(kept.collect::<Vec<_>>(), [true, false]);
}
