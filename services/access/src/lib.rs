//! Who may do what: access tokens, and the gate that every call of people passes.
//!
//! Owns the form of an access token, a JSON Web Token that auth signs (ES256) for someone who logged in. Promises:
//!
//! - What a call takes is said in one place, its option `(headgate.common.v1.access)`, and found by the type of its
//!   request: no handler says it again, and a call that says nothing answers nobody.
//! - What belongs to a tenant that is not the caller's is answered exactly like what does not exist.
//! - A token is judged by what auth's watch says: the keys, and which tokens are void before they expire. Before
//!   anything was heard, no token is called good or bad ([`Refused::Unknowable`]).
//! - While the watch is silent, keys that are known go on for a while, and tokens that were void stay void.
//! - A token stands in no log, error or debug output.

mod author;
mod caller;
mod claims;
mod denial;
mod gate;
mod jwk;
mod known;
mod rights;
mod role;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod verify;

pub use author::{Actor, Author};
pub use caller::Caller;
pub use claims::{Claims, MAX_TOKEN_BYTES, SignError};
pub use denial::Denial;
pub use gate::Gate;
pub use jwk::public_jwk;
pub use rights::{Method, methods};
pub use role::{role_name, role_named};
pub use verify::{LEEWAY_S, MAX_AGE, Refused, Verifier};

pub use headgate_proto::common::v1::{Audience, Role};
