//! The gRPC services.

pub(crate) mod admission;
pub(crate) mod budgets;
mod lists;
pub(crate) mod policies;
pub(crate) mod quotas;
pub(crate) mod standings;
pub(crate) mod wire;
