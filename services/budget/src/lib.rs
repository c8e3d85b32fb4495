//! Limits and budgets, decided and held atomically
