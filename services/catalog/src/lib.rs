//! Providers, models and prices: what can be asked for
