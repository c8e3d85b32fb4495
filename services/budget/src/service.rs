//! The gRPC services.

pub(crate) mod admission;
pub(crate) mod budgets;
pub(crate) mod policies;
mod wire;
