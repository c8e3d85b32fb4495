//! Holds off who fails to say who it is, again and again.

use std::net::IpAddr;
use std::time::Duration;

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::origin;
use headgate_kit::strangers::{Standing, X_KNOWN_ONLY};
use http::{HeaderMap, HeaderValue};

use crate::client::Proxies;
use crate::edge::Shared;
use crate::error::Refusal;
use crate::metadata;

const YES: HeaderValue = HeaderValue::from_static("1");

impl Shared {
    /// Notes where a client is, in place of what its headers say, and refuses who failed too often already, before
    /// anybody looks at its key.
    pub(crate) fn look(&self, connected: IpAddr, headers: &mut HeaderMap) -> Result<(), Refusal> {
        let address = self.client(connected, headers);
        origin::tell(headers, Some(address));
        if self.strangers.is_quiet() {
            return Ok(());
        }
        match self.strangers.standing(address, metadata::claim(headers)) {
            Standing::Clear => Ok(()),
            Standing::Watched => {
                headers.insert(X_KNOWN_ONLY, YES);
                Ok(())
            }
            Standing::Refused(wait) => Err(self.too_often(wait)),
        }
    }

    /// What a client is told that failed to say who it is.
    pub(crate) fn failed(&self, connected: IpAddr, headers: &HeaderMap, refusal: Refusal) -> Refusal {
        let address = self.client(connected, headers);
        match self.strangers.failed(address, metadata::claim(headers)) {
            Some(wait) => self.too_often(wait),
            // Nobody was asked, so what the router said is no verdict.
            None if headers.contains_key(X_KNOWN_ONLY) => self.too_often(Duration::from_millis(1)),
            None => refusal,
        }
    }

    /// The client's address.
    pub(crate) fn client(&self, connected: IpAddr, headers: &HeaderMap) -> IpAddr {
        self.proxies().client(connected, headers)
    }

    fn proxies(&self) -> Proxies<'_> {
        Proxies { trusted: &self.config.trusted_proxies, header: self.config.forwarded_header }
    }

    fn too_often(&self, wait: Duration) -> Refusal {
        self.metrics.limited_strangers.inc();
        let text = "too many requests from this address came without a valid API key";
        Failure::new(ErrorReason::RateLimited, text).retry_after(wait).into()
    }
}
