//! What people, operators and consumers present.

use tonic::metadata::MetadataMap;

/// Where clients may present bare what others present as a bearer token.
pub(crate) const X_API_KEY: &str = "x-api-key";

/// The bearer token of `authorization`, or without that header what `x-api-key` says, if there is one.
#[must_use]
pub fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let Some(value) = metadata.get("authorization") else {
        return Some(metadata.get(X_API_KEY)?.to_str().ok()?.trim());
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_key_is_as_good_as_a_bearer_token_where_no_token_is_given() {
        let presented = |headers: &[(&'static str, &'static str)]| {
            let mut metadata = MetadataMap::new();
            for (name, value) in headers {
                metadata.insert(*name, value.parse().unwrap());
            }
            bearer(&metadata).map(str::to_owned)
        };
        assert_eq!(presented(&[("authorization", "bearer  token ")]).as_deref(), Some("token"));
        assert_eq!(presented(&[("x-api-key", " sk-a.b")]).as_deref(), Some("sk-a.b"));
        let both = [("x-api-key", "sk-a.b"), ("authorization", "Bearer token")];
        assert_eq!(presented(&both).as_deref(), Some("token"));
        assert_eq!(presented(&[("x-api-key", "sk-a.b"), ("authorization", "Basic x")]), None);
        assert_eq!(presented(&[]), None);
    }
}
