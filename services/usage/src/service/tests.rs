use bytes::Bytes;
use headgate_access::Role;
use headgate_access::testing::{Issuer, bearing};
use headgate_kit::clock::Clock;
use headgate_kit::db::testing::TestDb;
use headgate_kit::error::ErrorReason;
use headgate_kit::on_both_engines;
use headgate_kit::tasks::Tasks;
use headgate_proto::record::v1::UsageRecord;
use headgate_proto::usage::v1::UsageFilter;
use prost::Message;
use prost_types::Timestamp;

use super::*;
use crate::{Config, Deps, Usage};

on_both_engines!(
    pages_follow_one_another_by_their_tokens,
    times_are_rounded_to_the_rows_that_they_mean,
    bad_values_are_refused_by_name,
    strangers_read_nothing,
    people_read_their_tenants_rows_only,
);

async fn api(db: &TestDb, rows: u32) -> UsageApi {
    let deps = Deps {
        clock: Clock::manual(0),
        database: db.source("usage"),
        tasks: Tasks::new(),
        registry: prometheus::Registry::new(),
        gate: Gate::new("op-token".into(), Clock::manual(0)),
    };
    let usage = Usage::build(Config::default(), deps).await.unwrap();
    let records: Vec<Bytes> = (0..rows).map(|n| record(n).encode_to_vec().into()).collect();
    usage.ledger.apply(&records).await.unwrap();
    UsageApi::new(usage.ledger, usage.pending, usage.gate)
}

fn record(number: u32) -> UsageRecord {
    let started_at_unix_ms = 10_000 + i64::from(number);
    UsageRecord { lease_id: format!("lease-{number:05}"), started_at_unix_ms, ..Default::default() }
}

fn ask<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", "Bearer op-token".parse().unwrap());
    request
}

fn refusal<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> (ErrorReason, Option<String>) {
    let failure = Failure::from_status(&answer.unwrap_err());
    (failure.reason, failure.metadata.get("field").cloned())
}

async fn pages_follow_one_another_by_their_tokens(db: TestDb) {
    let api = api(&db, 250).await;
    let mut list = ListUsageRecordsRequest::default();
    let mut sizes = Vec::new();
    let mut ids = Vec::new();
    loop {
        let page = api.list_usage_records(ask(list.clone())).await.unwrap().into_inner();
        sizes.push(page.records.len());
        ids.extend(page.records.into_iter().map(|r| r.lease_id));
        list.page_token = page.next_page_token;
        if list.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [100, 100, 50]);
    assert!(ids.into_iter().eq((0..250).rev().map(|n| record(n).lease_id)));
}

async fn times_are_rounded_to_the_rows_that_they_mean(db: TestDb) {
    let api = api(&db, 4).await;
    let at = |millis: i64, nanos: i32| {
        Some(Timestamp { seconds: millis / 1000, nanos: (millis % 1000) as i32 * 1_000_000 + nanos })
    };
    for (start_time, end_time, rows) in [
        (at(10_001, 0), None, 3),
        (at(10_001, 1), None, 2),
        (None, at(10_001, 0), 1),
        (None, at(10_001, 1), 2),
    ] {
        let filter = Some(UsageFilter { start_time, end_time, ..Default::default() });
        let sums = api.get_usage_summary(ask(GetUsageSummaryRequest { filter })).await.unwrap();
        assert_eq!(sums.into_inner().requests, rows, "{filter:?}", filter = (start_time, end_time));
    }
}

async fn bad_values_are_refused_by_name(db: TestDb) {
    let api = api(&db, 0).await;
    let token = |t: &str| ListUsageRecordsRequest { page_token: t.into(), ..Default::default() };
    let times = |start: (i64, i32), end: (i64, i32)| {
        let time = |(seconds, nanos)| Some(Timestamp { seconds, nanos });
        let filter = UsageFilter { start_time: time(start), end_time: time(end), ..Default::default() };
        ListUsageRecordsRequest { filter: Some(filter), ..Default::default() }
    };
    let cases = [
        (ListUsageRecordsRequest { page_size: 1001, ..Default::default() }, "page_size"),
        (token("nonsense"), "page_token"),
        (token("12."), "page_token"),
        (token("x.lease"), "page_token"),
        (times((0, -1), (1, 0)), "filter.start_time"),
        (times((0, 0), (i64::MAX, 0)), "filter.end_time"),
        (times((2, 0), (1, 0)), "filter.end_time"),
    ];
    for (request, field) in cases {
        let refused = refusal(api.list_usage_records(ask(request.clone())).await);
        assert_eq!(refused, (ErrorReason::InvalidRequest, Some(field.to_owned())), "{request:?}");
    }
}

async fn strangers_read_nothing(db: TestDb) {
    let api = api(&db, 1).await;
    let missing = api.list_usage_records(Request::new(ListUsageRecordsRequest::default())).await;
    assert_eq!(refusal(missing).0, ErrorReason::MissingCredential);
    let mut wrong = ask(GetUsageSummaryRequest::default());
    wrong.metadata_mut().insert("authorization", "Bearer guess".parse().unwrap());
    assert_eq!(refusal(api.get_usage_summary(wrong).await).0, ErrorReason::InvalidCredential);
}

async fn people_read_their_tenants_rows_only(db: TestDb) {
    let api = api(&db, 3).await;
    let records: Vec<Bytes> = [("acme", 10), ("globex", 11), ("acme", 12)]
        .map(|(tenant, n)| UsageRecord { tenant_id: tenant.into(), key_id: tenant.into(), ..record(n) })
        .map(|record| record.encode_to_vec().into())
        .to_vec();
    api.ledger.apply(&records).await.unwrap();
    let issuer = Issuer::new("one", Clock::manual(0));
    api.gate.apply(issuer.snapshot(Vec::new()));
    let viewer = issuer.token("ada", &[("acme", Role::Viewer)]);
    let rows = async |filter: UsageFilter| {
        let request = ListUsageRecordsRequest { filter: Some(filter.clone()), ..Default::default() };
        let listed = api.list_usage_records(bearing(request, &viewer)).await;
        let summed =
            api.get_usage_summary(bearing(GetUsageSummaryRequest { filter: Some(filter) }, &viewer)).await;
        let listed =
            listed.map(|page| page.into_inner().records.len() as u64).map_err(|s| Failure::from_status(&s));
        let summed = summed.map(|sums| sums.into_inner().requests).map_err(|s| Failure::from_status(&s));
        assert_eq!(listed, summed);
        listed
    };
    let of = |tenant: &str| UsageFilter { tenant_id: tenant.into(), ..Default::default() };
    assert_eq!(rows(of("acme")).await, Ok(2));
    assert_eq!(rows(UsageFilter { key_id: "globex".into(), ..of("acme") }).await, Ok(0));
    let other = rows(of("globex")).await.unwrap_err();
    assert_eq!((other.reason, &other), (ErrorReason::NotFound, &rows(of("none")).await.unwrap_err()));
    let all = rows(UsageFilter::default()).await.unwrap_err();
    assert_eq!(
        (all.reason, all.metadata["field"].as_str()),
        (ErrorReason::InvalidRequest, "filter.tenant_id")
    );
    let sums = api.get_usage_summary(ask(GetUsageSummaryRequest::default())).await.unwrap();
    assert_eq!(sums.into_inner().requests, 6, "operators read all");
}
