//! The inference path: authenticate, resolve, admit, attempt, record
