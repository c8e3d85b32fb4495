//! The form of an API key, `sk-<prefix>.<secret>`, and what is stored of its secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use secrecy::SecretString;
use subtle::ConstantTimeEq as _;

const SCHEME: &str = "sk-";
const MAX_PREFIX: usize = 32;
const MAX_SECRET: usize = 256;

/// The two parts of a key that has the right form.
pub(crate) struct Presented<'a> {
    pub prefix: &'a str,
    pub secret: &'a str,
}

/// Takes a key apart. `None` when it is malformed: a prefix of 1 to 32 letters, digits, `_` and `-`, and a secret of
/// 1 to 256 visible ASCII characters are wanted.
pub(crate) fn parse(key: &str) -> Option<Presented<'_>> {
    let (prefix, secret) = key.strip_prefix(SCHEME)?.split_once('.')?;
    let prefix_chars = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let secret_chars = secret.bytes().all(|b| b.is_ascii_graphic());
    let lengths = (1..=MAX_PREFIX).contains(&prefix.len()) && (1..=MAX_SECRET).contains(&secret.len());
    (prefix_chars && secret_chars && lengths).then_some(Presented { prefix, secret })
}

/// Puts a key together.
pub(crate) fn join(prefix: &str, secret: &str) -> SecretString {
    format!("{SCHEME}{prefix}.{secret}").into()
}

/// A new prefix: 12 random hexadecimal digits.
pub(crate) fn random_prefix() -> String {
    hex::encode(rand::random::<[u8; 6]>())
}

/// A new secret: 32 bytes of the generator that is seeded by the operating system, in base64url.
pub(crate) fn random_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// HMAC-SHA-256 of a key's secret part. Compared in constant time, never printed.
#[derive(Clone, Copy)]
pub(crate) struct SecretHmac([u8; 32]);

impl SecretHmac {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads what [`SecretHmac::to_hex`] wrote.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    pub(crate) fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    pub(crate) fn to_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl PartialEq for SecretHmac {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHmac {}

impl std::fmt::Debug for SecretHmac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_key_comes_apart_as_it_was_put_together() {
        let (prefix, secret) = (random_prefix(), random_secret());
        let whole = join(&prefix, &secret);
        let parts = parse(whole.expose_secret()).unwrap();
        assert_eq!((parts.prefix, parts.secret), (prefix.as_str(), secret.as_str()));
        assert_eq!((prefix.len(), secret.len()), (12, 43));
    }

    #[test]
    fn the_secret_may_hold_a_dot_but_the_prefix_may_not() {
        let parts = parse("sk-demo.my.secret").unwrap();
        assert_eq!((parts.prefix, parts.secret), ("demo", "my.secret"));
    }

    #[test]
    fn malformed_keys_have_no_parts() {
        let long_prefix = format!("sk-{}.secret", "p".repeat(MAX_PREFIX + 1));
        let long_secret = format!("sk-demo.{}", "s".repeat(MAX_SECRET + 1));
        for key in
            ["", "sk-", "sk-demo", "sk-.x", "sk-demo.", "pk-demo.x", "sk-de mo.x", "sk-demo.a b", "sk-ü.x"]
        {
            assert!(parse(key).is_none(), "{key:?}");
        }
        assert!(parse(&long_prefix).is_none() && parse(&long_secret).is_none());
    }

    #[test]
    fn a_stored_hmac_is_read_back_and_not_printed() {
        let hmac = SecretHmac::new([7; 32]);
        assert_eq!(SecretHmac::from_hex(&hmac.to_hex()), Some(hmac));
        assert_eq!(SecretHmac::from_hex("0707"), None);
        assert_eq!(format!("{hmac:?}"), "[redacted]");
    }
}
