//! What people log in with. Pure.

use email_address::{EmailAddress, Options};
use headgate_kit::Failure;

/// The longest that mail knows (RFC 5321).
const MAX_ADDRESS: usize = 254;
const MAX_NAME: usize = 64;

/// An e-mail address, in the form that is stored: in lower case.
pub(crate) fn address(field: &str, text: &str) -> Result<String, Failure> {
    let options = Options::default().without_display_text().without_domain_literal();
    let good = text.len() <= MAX_ADDRESS && EmailAddress::parse_with_options(text, options).is_ok();
    good.then(|| fold(text))
        .ok_or_else(|| Failure::invalid(field, format!("{field} must be an e-mail address")))
}

/// An e-mail address, or a plain name: 1 to 64 letters, digits, `.`, `_` and `-`.
pub(crate) fn login(field: &str, text: &str) -> Result<String, Failure> {
    if text.contains('@') {
        return address(field, text);
    }
    let chars = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if chars && (1..=MAX_NAME).contains(&text.len()) {
        return Ok(fold(text));
    }
    let form =
        format!("{field} must be an e-mail address, or 1 to {MAX_NAME} letters, digits, '.', '_' or '-'");
    Err(Failure::invalid(field, form))
}

/// What is looked up for what somebody claims to log in with. Nothing is said of its form: whoever errs there learns no
/// more than others.
pub(crate) fn claimed(text: &str) -> String {
    let text = text.trim();
    // Longer ones are nobody's.
    fold(text.get(..MAX_ADDRESS).unwrap_or(text))
}

fn fold(text: &str) -> String {
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_folded_and_others_refused() {
        assert_eq!(login("email", "Ada.Lovelace@Example.COM").unwrap(), "ada.lovelace@example.com");
        assert_eq!(login("email", "Root-1").unwrap(), "root-1");
        let long = format!("a@{}.com", "b".repeat(250));
        for bad in ["", " ", "a b", "a@", "@b", "a@b@c", "Ada <ada@example.com>", "a\n@b.c", "näme", &long] {
            assert_eq!(login("email", bad).unwrap_err().metadata["field"], "email", "{bad:?}");
        }
        assert!(address("email", "root").is_err());
        assert_eq!(claimed(" ADA@example.com "), "ada@example.com");
        assert!(claimed(&"ü".repeat(999)).len() <= 2 * 999);
    }
}
