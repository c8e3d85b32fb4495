//! Entries, and what they show.

use std::time::Duration;

use headgate_access::testing::Issuer;
use headgate_access::{Gate, Role};
use headgate_kit::clock::Clock;
use headgate_kit::tasks::Tasks;
use headgate_proto::auth::v1::{
    AuditActorKind, AuditOutcome, CreateMembershipRequest, ListApiKeysRequest, LoginResponse, Tenant,
    TokenPair, User,
};
use headgate_proto::catalog::v1::ListProvidersRequest;
use headgate_proto::common::v1::ErrorReason;
use serde_json::Value as Json;

use super::*;

fn json(shown: &Shown) -> Json {
    serde_json::from_str(&to_json(&shown.0)).unwrap()
}

#[test]
fn secrets_are_masked_at_any_depth_and_nothing_else_is() {
    let tokens = TokenPair {
        access_token: "planted-access".into(),
        refresh_token: "planted-refresh".into(),
        token_type: "Bearer".into(),
        ..Default::default()
    };
    let user = User { id: "ada".into(), name: "Ada".into(), ..Default::default() };
    let shown = Shown::of(&LoginResponse { tokens: Some(tokens), user: Some(user) }).unwrap();
    let text = to_json(&shown.0);
    assert!(!text.contains("planted"), "{text}");
    let json = json(&shown);
    assert_eq!(json["tokens"]["access_token"], "[redacted]");
    assert_eq!(json["tokens"]["refresh_token"], "[redacted]");
    assert_eq!(json["tokens"]["token_type"], "Bearer");
    assert_eq!(
        (&json["user"]["name"], &json["user"]["super_admin"]),
        (&Json::from("Ada"), &Json::from(false))
    );
    let none = Shown::of(&CreateMembershipRequest::default()).unwrap();
    assert_eq!(self::json(&none)["password"], "", "that there is none is no secret");
}

#[test]
fn what_is_too_large_says_what_was_left_out() {
    let tenant = Tenant { id: "acme".into(), name: "n".repeat(70_000), ..Default::default() };
    let shown = json(&Shown::of(&tenant).unwrap());
    assert_eq!((&shown["id"], &shown["[cut]"]), (&Json::from("acme"), &serde_json::json!(["name"])));
    assert_eq!(shown.get("name"), None);
    let fits = Tenant { name: "n".repeat(60_000), ..tenant };
    assert_eq!(json(&Shown::of(&fits).unwrap()).get("[cut]"), None);
}

#[test]
fn json_survives_as_the_contract_carries_it() {
    let text = r#"{"a":null,"b":[true,{"c":"\u0000d"}],"e":1.5,"f":-60}"#;
    let there = from_json(text).unwrap();
    assert_eq!(to_json(&there), text);
    assert_eq!((from_json("[]"), from_json("{")), (None, None));
}

#[test]
fn an_entry_says_who_did_what_from_where_and_no_change_makes_none() {
    let thing = || Thing::of("acme", "tenant", "acme");
    let shown = |name: &str| Some(Shown::of(&Tenant { name: name.into(), ..Default::default() }).unwrap());
    assert_eq!(Entry::of_change(&ada(), NOW_MS, thing(), shown("a"), shown("a")), None);
    let entry = Entry::of_change(&ada(), NOW_MS, thing(), shown("a"), shown("b")).unwrap();
    let event = entry.event();
    let (actor, origin) = (event.actor.as_ref().unwrap(), event.origin.as_ref().unwrap());
    assert_eq!((actor.kind(), actor.user_id.as_str()), (AuditActorKind::User, "ada"));
    assert_eq!((origin.address.as_str(), origin.user_agent.as_str()), ("192.0.2.7", "curl"));
    assert_eq!((origin.request_id.as_str(), event.outcome()), ("one", AuditOutcome::Succeeded));
    assert!(event.id.starts_with(&id_floor(NOW_MS)) && event.id < id_floor(NOW_MS + 1), "{}", event.id);
    assert_eq!(event.time.unwrap().nanos, 123_000_000);
}

/// Waits until the log has so many.
async fn told(log: &Log, events: usize) -> Vec<AuditEvent> {
    tokio::time::timeout(Duration::from_secs(60), async {
        while log.0.lock().events.len() < events {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it is told");
    log.0.lock().events.clone()
}

#[tokio::test]
async fn what_the_gate_denies_is_told_when_auth_is_back_and_what_is_too_much_is_counted() {
    let clock = Clock::manual(NOW_MS * 1000);
    let (gate, issuer) = (Gate::new("operator".into(), clock.clone()), Issuer::new("one", clock.clone()));
    gate.apply(issuer.snapshot(Vec::new()));
    let (log, tasks, registry) = (Log::default(), Tasks::new(), prometheus::Registry::new());
    log.0.lock().away = 3;
    tell_denials(&gate, log.conn(), clock, &tasks, &registry);
    let viewer = issuer.token("ada", &[("acme", Role::Viewer)]);
    let bearing =
        |credential: &str| headgate_access::testing::bearing(ListProvidersRequest::default(), credential);
    gate.check(&bearing(&viewer)).unwrap_err();
    let list = headgate_access::testing::bearing(ListApiKeysRequest::default(), &viewer);
    gate.check_in(&list, Some("globex"), "tenant").unwrap_err();
    let events = told(&log, 2).await;
    let shown = |n: usize| {
        let event = &events[n];
        let actor = event.actor.as_ref().unwrap().user_id.as_str();
        (event.action.as_str(), actor, event.outcome(), event.reason(), event.tenant_id.as_str())
    };
    let providers = "catalog.v1.ProviderService.ListProviders";
    assert_eq!(shown(0), (providers, "ada", AuditOutcome::Denied, ErrorReason::PermissionDenied, ""));
    let keys = "auth.v1.ApiKeyService.ListApiKeys";
    assert_eq!(shown(1), (keys, "ada", AuditOutcome::Denied, ErrorReason::NotFound, ""));
    assert_eq!(events[1].resource_id, "globex", "for super admins to see, not for globex");

    log.0.lock().away = usize::MAX;
    for _ in 0..3000 {
        gate.check(&bearing(&viewer)).unwrap_err();
    }
    let text = headgate_kit::metrics::render(&registry);
    let dropped = text.lines().find_map(|line| line.strip_prefix("headgate_audit_dropped_denials_total "));
    let dropped: usize = dropped.unwrap().parse().unwrap();
    assert!((1500..=2000).contains(&dropped), "{dropped}");
    log.0.lock().away = 0;
    assert_eq!(told(&log, 3002 - dropped).await.len(), 3002 - dropped);
    assert!(tasks.shutdown(Duration::from_secs(60)).await);
}
