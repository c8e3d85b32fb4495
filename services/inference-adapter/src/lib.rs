//! Speaks to model providers
