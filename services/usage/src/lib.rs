//! The ledger of every admitted request
