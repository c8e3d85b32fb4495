//! Tenants and API keys: who is asking
