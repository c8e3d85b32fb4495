//! What tests present.
#![expect(clippy::expect_used, reason = "a failure here is the test's")]

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};

use crate::conn::Conn;

/// A connection whose calls present an operator's token.
pub type Operator = InterceptedService<Conn, Bearer>;

/// Adds `authorization: Bearer ...`.
#[derive(Clone, Debug)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Presents a token with every call.
///
/// # Panics
/// When the token is not ASCII.
#[must_use]
pub fn as_operator(conn: Conn, token: &str) -> Operator {
    InterceptedService::new(conn, Bearer(format!("Bearer {token}").parse().expect("ASCII")))
}
