//! Who may do what: access tokens, and what it takes to believe one.
//!
//! Owns the form of an access token, a JSON Web Token that auth signs (ES256) for someone who logged in. Promises:
//!
//! - A token is judged by what auth's watch says: the keys, and which tokens are void before they expire. Before
//!   anything was heard, no token is called good or bad ([`Refused::Unknowable`]).
//! - While the watch is silent, keys that are known go on for a while, and tokens that were void stay void.
//! - A token stands in no log, error or debug output.

mod claims;
mod jwk;
mod known;
mod role;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod verify;

pub use claims::{Claims, MAX_TOKEN_BYTES, SignError};
pub use jwk::public_jwk;
pub use role::{role_name, role_named};
pub use verify::{LEEWAY_S, MAX_AGE, Refused, Verifier};

pub use headgate_proto::common::v1::Role;
