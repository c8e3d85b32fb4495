//! Harness, end-to-end tests and benchmark of the whole product
