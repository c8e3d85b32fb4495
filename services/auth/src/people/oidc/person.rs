//! What a provider says of somebody. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::token::Claims;
use crate::config::OidcProvider;
use crate::people::email;

/// OpenID Connect Core 1.0 §2.
const MAX_SUBJECT: usize = 255;
const MAX_NAME: usize = 128;

/// Who logs in, as far as the provider tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// What the provider calls them for ever.
    pub subject: String,
    /// Of theirs for certain, in lower case. `None` where nobody vouches for one.
    pub email: Option<String>,
    /// May be empty.
    pub name: String,
    pub groups: BTreeSet<String>,
}

impl Person {
    /// `None` without a subject that can be kept.
    pub(super) fn read(claims: &Claims, provider: &OidcProvider) -> Option<Self> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        let subject = text("sub");
        if subject.is_empty() || subject.len() > MAX_SUBJECT || subject.chars().any(char::is_control) {
            return None;
        }
        let verified = match claims.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            // Some providers write it so.
            Some(Value::String(verified)) => verified == "true",
            _ => provider.trust_email,
        };
        let email = email::address("email", text("email")).ok().filter(|_| verified);
        let name = text("name").chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        let groups = strings(groups(claims, &provider.groups_claim));
        Some(Self { subject: subject.to_owned(), email, name, groups })
    }

    /// Whether they may log in with the address they have.
    pub(super) fn is_of(&self, domains: &[String]) -> bool {
        let domain = self.email.as_deref().and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain);
        domains.is_empty() || domain.is_some_and(|own| domains.iter().any(|d| d.eq_ignore_ascii_case(own)))
    }
}

/// Whether claims leave out what [`Person::read`] looks for.
pub(super) fn are_short(claims: &Claims, provider: &OidcProvider) -> bool {
    let wants_groups = !provider.role_mappings.is_empty() || !provider.super_admin_groups.is_empty();
    !claims.contains_key("email") || wants_groups && groups(claims, &provider.groups_claim).is_none()
}

/// The claim of a name, or what its dots lead to.
fn groups<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |within, name| within.get(name))
    })
}

fn strings(value: Option<&Value>) -> BTreeSet<String> {
    match value {
        Some(Value::String(one)) => [one.clone()].into(),
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(claims: Value, provider: &OidcProvider) -> Option<Person> {
        Person::read(claims.as_object().unwrap(), provider)
    }

    #[test]
    fn an_address_counts_when_somebody_vouches_for_it() {
        let strict = OidcProvider::default();
        let trusting = OidcProvider { trust_email: true, ..OidcProvider::default() };
        for (verified, by_strict, by_trusting) in [
            (json!(true), true, true),
            (json!("true"), true, true),
            (json!(false), false, false),
            (json!("false"), false, false),
            (Value::Null, false, true),
        ] {
            let claims = json!({"sub": "1", "email": "Ada@Example.com", "email_verified": verified});
            for (provider, counts) in [(&strict, by_strict), (&trusting, by_trusting)] {
                let email = read(claims.clone(), provider).unwrap().email;
                assert_eq!(email.as_deref(), counts.then_some("ada@example.com"), "{verified}");
            }
        }
        let odd = json!({"sub": "1", "email": "root", "email_verified": true});
        assert_eq!(read(odd, &strict).unwrap().email, None);
    }

    #[test]
    fn groups_are_found_where_the_setting_says() {
        let at = |claim: &str| OidcProvider { groups_claim: claim.into(), ..OidcProvider::default() };
        let claims = json!({"sub": "1", "roles": ["b", "a", 7], "one": "a", "realm": {"access": {"roles": ["c"]}},
            "https://x.example/groups": ["d"]});
        for (claim, groups) in [
            ("roles", vec!["a", "b"]),
            ("one", vec!["a"]),
            ("realm.access.roles", vec!["c"]),
            ("https://x.example/groups", vec!["d"]),
            ("realm.none", vec![]),
            ("none", vec![]),
        ] {
            let found = read(claims.clone(), &at(claim)).unwrap().groups;
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), groups, "{claim}");
        }
    }

    #[test]
    fn who_has_no_name_for_ever_is_nobody() {
        for subject in [json!(""), json!(7), json!("a\nb"), json!("x".repeat(256))] {
            assert_eq!(read(json!({"sub": subject}), &OidcProvider::default()), None);
        }
    }

    #[test]
    fn domains_are_those_of_addresses_that_count() {
        let person = |email: Option<&str>| Person {
            subject: "1".into(),
            email: email.map(str::to_owned),
            name: String::new(),
            groups: BTreeSet::new(),
        };
        let domains = ["Example.com".to_owned()];
        assert!(person(Some("a@example.com")).is_of(&domains) && person(None).is_of(&[]));
        assert!(!person(Some("a@sub.example.com")).is_of(&domains) && !person(None).is_of(&domains));
    }
}
