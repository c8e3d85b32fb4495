//! The audit log: what it takes in, how it is read, and that nobody changes it.

use headgate_access::Author;
use headgate_audit::{Entry, Thing};
use headgate_proto::auth::v1::audit_ingest_service_client::AuditIngestServiceClient;
use headgate_proto::auth::v1::audit_service_client::AuditServiceClient;
use headgate_proto::auth::v1::{
    AuditEvent, AuditFilter, AuditOutcome, ListAuditEventsRequest, ListAuditEventsResponse,
    RecordAuditEventsRequest,
};
use headgate_proto::common::v1::ErrorReason as Reason;

use super::*;

on_both_engines!(
    what_peers_tell_is_stored_once,
    what_is_no_event_of_its_time_is_not_taken,
    events_are_found_by_what_they_say_in_pages_newest_first,
    a_page_of_large_events_ends_early_and_none_is_left_out,
    bad_filters_are_refused_by_name,
    the_database_itself_refuses_to_change_an_event,
);

const NOW_MS: i64 = NOW_MICROS / 1000;

impl Fixture {
    pub(super) async fn events(
        &self,
        list: ListAuditEventsRequest,
    ) -> Result<ListAuditEventsResponse, Status> {
        let conn = as_operator(local(self.auth.audit_service()), "operator-token");
        AuditServiceClient::new(conn).list_audit_events(list).await.map(tonic::Response::into_inner)
    }

    async fn found(&self, filter: AuditFilter) -> Vec<String> {
        let list = ListAuditEventsRequest { filter: Some(filter), ..Default::default() };
        self.events(list).await.unwrap().events.into_iter().map(|event| event.resource_id).collect()
    }

    async fn tell(&self, events: Vec<AuditEvent>) -> Result<(), Status> {
        let mut ingest = AuditIngestServiceClient::new(local(self.auth.audit_ingest_service()));
        ingest.record_audit_events(RecordAuditEventsRequest { events }).await.map(drop)
    }
}

/// Something that befell a thing of a tenant, so many milliseconds from now.
fn event(after_ms: i64, tenant_id: &str, id: &str) -> AuditEvent {
    let entry = Entry::of_deed(&Author::own("testing"), NOW_MS + after_ms, Thing::of(tenant_id, "thing", id));
    entry.event().clone()
}

fn of(tenant_id: &str) -> AuditFilter {
    AuditFilter { tenant_id: tenant_id.into(), resource_kind: "thing".into(), ..Default::default() }
}

async fn what_peers_tell_is_stored_once(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("acme").await;
    let told = [event(0, "acme", "one"), event(1, "acme", "two")];
    fixture.tell(told.to_vec()).await.unwrap();
    fixture.tell(vec![told[1].clone(), event(2, "acme", "three")]).await.unwrap();
    assert_eq!(fixture.found(of("acme")).await, ["three", "two", "one"]);
    let changed = AuditEvent { resource_id: "other".into(), ..told[0].clone() };
    fixture.tell(vec![changed]).await.unwrap();
    assert_eq!(fixture.found(of("acme")).await, ["three", "two", "one"], "what is there stays as it is");
    let list = ListAuditEventsRequest { filter: Some(of("acme")), ..Default::default() };
    assert_eq!(fixture.events(list).await.unwrap().events[2], told[0], "all of it is kept");
}

async fn what_is_no_event_of_its_time_is_not_taken(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let good = event(0, "", "one");
    let misdated = AuditEvent { time: event(1, "", "").time, ..good.clone() };
    let nameless = AuditEvent { id: String::new(), ..good.clone() };
    for bad in [misdated, nameless] {
        let refusal = fixture.tell(vec![good.clone(), bad]).await.unwrap_err();
        assert_eq!(field(refusal), (Reason::InvalidRequest, "events.id".into()));
    }
    let refusal = fixture.tell((0..501).map(|n| event(n, "", "x")).collect()).await.unwrap_err();
    assert_eq!(field(refusal).1, "events");
    assert_eq!(fixture.found(of("")).await, Vec::<String>::new(), "all or none");
}

async fn events_are_found_by_what_they_say_in_pages_newest_first(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tenant("acme").await;
    let mut events: Vec<_> = (0..25).map(|n| event(n * 10, "acme", &n.to_string())).collect();
    events[3].outcome = AuditOutcome::Denied.into();
    events[4].actor.as_mut().unwrap().user_id = "ada".into();
    events[5].action = "another".into();
    events[6].resource_kind = "other".into();
    events[7].origin.as_mut().unwrap().request_id = "seven".into();
    events[8].tenant_id = "globex".into();
    fixture.tell(events).await.unwrap();

    let mut list = ListAuditEventsRequest { filter: Some(of("")), page_size: 10, ..Default::default() };
    let (mut sizes, mut ids) = (Vec::new(), Vec::new());
    loop {
        let page = fixture.events(list.clone()).await.unwrap();
        sizes.push(page.events.len());
        ids.extend(page.events.into_iter().map(|event| event.resource_id));
        // What is told late does not move the pages.
        fixture.tell(vec![event(1000 + i64::from(list.page_size), "acme", "late")]).await.unwrap();
        list.page_token = page.next_page_token;
        if list.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [10, 10, 4]);
    let all: Vec<_> = (0..25).rev().filter(|n| *n != 6).map(|n: u32| n.to_string()).collect();
    assert_eq!(ids, all);

    let at = |ms: i64| Some(headgate_proto::timestamp(NOW_MS + ms));
    let until = |end| AuditFilter { end_time: at(end), ..of("") };
    for (filter, found) in [
        (AuditFilter { outcome: AuditOutcome::Denied.into(), ..until(900) }, vec!["3"]),
        (AuditFilter { user_id: "ada".into(), ..until(900) }, vec!["4"]),
        (AuditFilter { action: "another".into(), ..until(900) }, vec!["5"]),
        (AuditFilter { resource_kind: "other".into(), ..until(900) }, vec!["6"]),
        (AuditFilter { request_id: "seven".into(), ..until(900) }, vec!["7"]),
        (AuditFilter { resource_id: "24".into(), ..until(900) }, vec!["24"]),
        (AuditFilter { start_time: at(0), ..until(20) }, vec!["1", "0"]),
        (AuditFilter { start_time: at(10), ..until(11) }, vec!["1"]),
        (AuditFilter { user_id: "ada".into(), resource_id: "3".into(), ..until(900) }, vec![]),
    ] {
        assert_eq!(fixture.found(filter.clone()).await, found, "{filter:?}");
    }
    let other = AuditFilter { tenant_id: "acme".into(), resource_id: "8".into(), ..Default::default() };
    assert_eq!(fixture.found(other).await, Vec::<String>::new(), "it is of another tenant");
}

async fn a_page_of_large_events_ends_early_and_none_is_left_out(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let name = "n".repeat(60_000);
    let large = headgate_audit::from_json(&format!(r#"{{"name": "{name}"}}"#));
    let events = (0..50).map(|n| AuditEvent {
        before: large.clone(),
        after: large.clone(),
        ..event(n, "", &n.to_string())
    });
    for some in events.collect::<Vec<_>>().chunks(10) {
        fixture.tell(some.to_vec()).await.unwrap();
    }
    let mut list = ListAuditEventsRequest { filter: Some(of("")), page_size: 1000, ..Default::default() };
    let (mut pages, mut ids) = (0, Vec::new());
    loop {
        let page = fixture.events(list.clone()).await.unwrap();
        assert!((1..20).contains(&page.events.len()), "{}", page.events.len());
        ids.extend(page.events.into_iter().map(|event| event.resource_id));
        pages += 1;
        list.page_token = page.next_page_token;
        if list.page_token.is_empty() {
            break;
        }
    }
    assert_eq!((pages, ids), (7, (0..50).rev().map(|n: u32| n.to_string()).collect()));
}

async fn bad_filters_are_refused_by_name(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let time = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
    for (filter, name) in [
        (AuditFilter { outcome: 77, ..Default::default() }, "filter.outcome"),
        (AuditFilter { user_id: "a\0b".into(), ..Default::default() }, "filter.user_id"),
        (AuditFilter { action: "a".repeat(300), ..Default::default() }, "filter.action"),
        (AuditFilter { start_time: time(i64::MAX, 0), ..Default::default() }, "filter.start_time"),
        (AuditFilter { end_time: time(0, -1), ..Default::default() }, "filter.end_time"),
        (
            AuditFilter { start_time: time(2, 0), end_time: time(1, 0), ..Default::default() },
            "filter.end_time",
        ),
    ] {
        let list = ListAuditEventsRequest { filter: Some(filter), ..Default::default() };
        assert_eq!(field(fixture.events(list).await.unwrap_err()), (Reason::InvalidRequest, name.into()));
    }
    let list = ListAuditEventsRequest { page_token: "AA".into(), ..Default::default() };
    assert_eq!(field(fixture.events(list).await.unwrap_err()).1, "page_token");
    let list = ListAuditEventsRequest { page_size: 1001, ..Default::default() };
    assert_eq!(field(fixture.events(list).await.unwrap_err()).1, "page_size");
}

async fn the_database_itself_refuses_to_change_an_event(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.tell(vec![event(0, "", "one")]).await.unwrap();
    let pool = fixture.auth.registry.db();
    let mut statements = vec!["UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log"];
    statements.extend(db.is_postgres().then_some("TRUNCATE audit_log"));
    for statement in statements {
        let refused = headgate_kit::execute!(pool.write(), pool => sqlx::query(statement).execute(pool));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("the audit log is append-only"), "{statement}: {refused}");
    }
    assert_eq!(fixture.found(of("")).await, ["one"]);
}
