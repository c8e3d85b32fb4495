//! Whether a resource is still what its caller read.

use crate::Failure;
use crate::error::ErrorReason;

/// Lets a change through whose caller read the resource as it is, or does not care.
///
/// # Errors
/// CONFLICT, with the present etag as the fact `etag`.
pub fn check(read: &str, present: &str) -> Result<(), Failure> {
    if read.is_empty() || read == present {
        return Ok(());
    }
    let message = "it was changed meanwhile: read it again, and decide anew";
    Err(Failure::new(ErrorReason::Conflict, message).with("field", "etag").with("etag", present))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_read_something_else_is_refused_and_told_what_it_is_now() {
        assert_eq!((check("", "7"), check("7", "7")), (Ok(()), Ok(())));
        let refused = check("6", "7").unwrap_err();
        assert_eq!((refused.reason, refused.metadata["etag"].as_str()), (ErrorReason::Conflict, "7"));
    }
}
