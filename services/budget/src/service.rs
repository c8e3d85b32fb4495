//! The gRPC services.

pub(crate) mod admission;
pub(crate) mod budgets;
mod wire;
