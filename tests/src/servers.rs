//! The servers that Headgate stands on when it is more than one process, and the engine that runs its image: real ones,
//! as Debian packages them, each on ports and in folders of its own, and gone when its handle is dropped.
//!
//! `tests/tools/install.sh` installs their programs; a missing one fails the test and says so.

mod daemon;
pub mod dockerd;
pub mod nats;
pub mod oidc;
pub mod postgres;
pub mod redis;
