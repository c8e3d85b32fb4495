//! `GET /health`: that the process answers, and with `?full=true` what it can serve.

use std::time::Duration;

use bytes::Bytes;
use headgate_kit::Failure;
use headgate_kit::vitals::{PartState, Report, Status};
use headgate_proto::router::v1::{GetStateRequest, GetStateResponse};
use serde::Serialize;
use tonic::Request;

use crate::edge::Shared;
use crate::service::{Answer, JSON, whole};

/// What the short form says, whatever is wrong.
const OK: Bytes = Bytes::from_static(br#"{"status":"ok"}"#);
/// How long the router may take to tell its state.
const PATIENCE: Duration = Duration::from_secs(1);

/// The full form. States and counts only: whoever asks has shown no key.
#[derive(Serialize)]
struct Full {
    /// `ok`, `degraded` (a part or every target of a provider is missing), or `starting`.
    status: &'static str,
    /// Parts that hold the process back from serving, each with its database.
    missing: Vec<&'static str>,
    /// What the process stands on.
    parts: Vec<PartState>,
    /// `None` when the router does not say.
    providers: Option<Providers>,
}

#[derive(Serialize)]
struct Providers {
    total: usize,
    /// Those none of whose targets takes requests now.
    cooling: usize,
}

/// Answers at once and always.
pub(crate) fn short() -> Answer {
    Ok(whole(JSON, OK))
}

/// Whether a query asks for the full form.
pub(crate) fn asks_for_full(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| matches!(pair, "full" | "full=true" | "full=1")))
}

/// Tells the state as it is remembered: no provider is asked, and what the process stands on once a second at most.
pub(crate) async fn full(shared: &Shared) -> Answer {
    let mut request = Request::new(GetStateRequest {});
    request.set_timeout(PATIENCE);
    let (state, report) = tokio::join!(shared.routing.get_state(request), shared.vitals.report());
    let state = state.map(tonic::Response::into_inner);
    if let Err(status) = &state {
        headgate_kit::warn_seldom!(code = ?status.code(), "the router does not tell its state");
    }
    let full = describe(report, state.ok().as_ref());
    Ok(whole(JSON, serde_json::to_vec(&full).map_err(Failure::internal)?.into()))
}

fn describe(report: Report, state: Option<&GetStateResponse>) -> Full {
    let providers = state.map(|state| Providers {
        total: state.providers.len(),
        cooling: state.providers.iter().filter(|p| p.cooling_targets == p.targets).count(),
    });
    let status = match &providers {
        _ if report.status == Status::Unavailable => "starting",
        Some(providers) if providers.cooling == 0 && report.status == Status::Ok => "ok",
        _ => "degraded",
    };
    Full { status, parts: report.parts().collect(), missing: report.missing, providers }
}

#[cfg(test)]
mod tests {
    use headgate_proto::router::v1::ProviderState;

    use super::*;

    #[test]
    fn the_status_is_the_worst_there_is() {
        let provider =
            |targets, cooling_targets| ProviderState { targets, cooling_targets, ..ProviderState::default() };
        let state = |providers| GetStateResponse { ready: true, providers };
        let status = |process: Status, state: Option<GetStateResponse>| {
            let report = Report { status: process, missing: vec![], engines: vec![], peers: vec![] };
            describe(report, state.as_ref()).status
        };
        assert_eq!(status(Status::Ok, Some(state(vec![provider(2, 1)]))), "ok");
        assert_eq!(status(Status::Ok, Some(state(vec![provider(2, 1), provider(1, 1)]))), "degraded");
        assert_eq!(status(Status::Ok, None), "degraded");
        assert_eq!(status(Status::Degraded, Some(state(vec![]))), "degraded");
        assert_eq!(status(Status::Unavailable, Some(state(vec![]))), "starting");
    }

    #[test]
    fn only_who_asks_gets_the_full_form() {
        for (query, full) in
            [(None, false), (Some("full=true"), true), (Some("a=b&full"), true), (Some("fuller"), false)]
        {
            assert_eq!(asks_for_full(query), full, "{query:?}");
        }
    }
}
