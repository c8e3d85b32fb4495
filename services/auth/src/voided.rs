//! Access tokens that are void before they expire. Pure.

use std::collections::BTreeMap;

use headgate_access::LEEWAY_S;
use headgate_proto::auth::v1::{UserGeneration, VoidedTokens, voided_tokens};

/// The longest that an access token may be told to live, in milliseconds.
pub(crate) const LONGEST_LIFE_MS: i64 = 60 * 60 * 1000;
/// When the last verifier refuses a token for its age alone, whatever it was told to live and by whichever clock.
pub(crate) const GONE_AFTER_MS: i64 = LONGEST_LIFE_MS + 2 * LEEWAY_S * 1000;

/// Which tokens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whose {
    /// All of a session.
    Session(String),
    /// A user's, of a smaller generation than goes with it.
    User(String),
}

/// That tokens are void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Voided {
    pub whose: Whose,
    /// 0 for a session's.
    pub generation: u64,
    /// By then they have expired.
    pub until_ms: i64,
}

impl Voided {
    pub(crate) fn session(id: String, now_ms: i64) -> Self {
        Self { whose: Whose::Session(id), generation: 0, until_ms: now_ms + GONE_AFTER_MS }
    }

    pub(crate) fn user(id: String, generation: u64, now_ms: i64) -> Self {
        Self { whose: Whose::User(id), generation, until_ms: now_ms + GONE_AFTER_MS }
    }
}

/// All that is void.
#[derive(Debug, Default)]
pub(crate) struct VoidedSet(BTreeMap<Whose, (u64, i64)>);

impl VoidedSet {
    /// Takes in more, and forgets what has expired.
    pub(crate) fn extend(&mut self, voided: &[Voided], now_ms: i64) {
        for Voided { whose, generation, until_ms } in voided {
            self.0.insert(whose.clone(), (*generation, *until_ms));
        }
        self.0.retain(|_, (_, until_ms)| now_ms < *until_ms);
    }

    /// As peers are told.
    pub(crate) fn to_proto(&self) -> Vec<VoidedTokens> {
        let told = |(whose, (generation, _)): (&Whose, &(u64, i64))| match whose {
            Whose::Session(id) => voided_tokens::Tokens::SessionId(id.clone()),
            Whose::User(id) => {
                let user = UserGeneration { user_id: id.clone(), generation: *generation };
                voided_tokens::Tokens::User(user)
            }
        };
        self.0.iter().map(|entry| VoidedTokens { tokens: Some(told(entry)) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_void_is_told_until_no_token_can_be_left() {
        let mut set = VoidedSet::default();
        set.extend(&[Voided::session("s".into(), 0), Voided::user("u".into(), 2, 5)], 5);
        set.extend(&[Voided::user("u".into(), 3, 7)], 7);
        let user = UserGeneration { user_id: "u".into(), generation: 3 };
        let told: Vec<_> = set.to_proto().into_iter().map(|voided| voided.tokens.unwrap()).collect();
        assert_eq!(told, [voided_tokens::Tokens::SessionId("s".into()), voided_tokens::Tokens::User(user)]);
        set.extend(&[], GONE_AFTER_MS - 1);
        assert_eq!(set.to_proto().len(), 2);
        set.extend(&[], GONE_AFTER_MS);
        assert_eq!(set.to_proto().len(), 1, "the session's");
        set.extend(&[], GONE_AFTER_MS + 7);
        assert!(set.to_proto().is_empty());
    }
}
