//! Asking an upstream whether it is there.

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::adapter::v1::{ProbeResponse, ProbeStatus};
use http::StatusCode;
use tokio::time::Instant;

use crate::deadlines::{Phase, Watch};
use crate::driver::Driver;
use crate::provider::{Call, Provider};

/// The longest detail, in bytes.
const MAX_DETAIL: usize = 256;

/// Asks the places where a provider may answer, one after the other, until something stands there.
///
/// # Errors
/// INVALID_REQUEST for a target that cannot be asked.
pub(crate) async fn probe(
    driver: &Driver,
    provider: &dyn Provider,
    call: &Call<'_>,
    watch: &mut Watch,
) -> Result<ProbeResponse, Failure> {
    let begun = Instant::now();
    let mut found = Found { status: ProbeStatus::Online, code: None, detail: "built in".to_owned() };
    for place in provider.places(call)? {
        found = match driver.look(place, watch).await {
            Ok(code) => Found::answered(code),
            Err(failure) => Found::failed(&failure, watch.phase()),
        };
        if !found.is_nothing_there() {
            break;
        }
        watch.enter(Phase::Connect);
    }
    Ok(found.told(begun))
}

/// A credential that cannot be used: nothing was asked.
pub(crate) fn unusable(failure: &Failure) -> ProbeResponse {
    Found::failed(failure, Phase::Rest).told(Instant::now())
}

struct Found {
    status: ProbeStatus,
    code: Option<StatusCode>,
    detail: String,
}

impl Found {
    fn answered(code: StatusCode) -> Self {
        let status = if code.is_success() { ProbeStatus::Online } else { ProbeStatus::Degraded };
        let detail = format!("the upstream answered with HTTP status {}", code.as_u16());
        Self { status, code: Some(code), detail }
    }

    fn failed(failure: &Failure, phase: Phase) -> Self {
        let status = match (failure.reason, phase) {
            (ErrorReason::UpstreamTimeout, _) => ProbeStatus::Timeout,
            (ErrorReason::UpstreamFailed, Phase::Connect) => ProbeStatus::Unreachable,
            _ => ProbeStatus::Error,
        };
        Self { status, code: None, detail: failure.message.clone() }
    }

    /// As with many APIs, whose base URL is only where their paths begin.
    fn is_nothing_there(&self) -> bool {
        matches!(self.code, Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED))
    }

    fn told(mut self, begun: Instant) -> ProbeResponse {
        self.detail.truncate(self.detail.floor_char_boundary(MAX_DETAIL));
        ProbeResponse {
            status: self.status.into(),
            status_code: self.code.map_or(0, |code| u32::from(code.as_u16())),
            latency_ms: u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX),
            detail: self.detail,
        }
    }
}
