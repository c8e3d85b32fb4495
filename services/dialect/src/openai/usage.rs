//! The `usage` object, read leniently: an upstream's odd count must not cost the answer.

use std::fmt;

use headgate_proto::inference::v1::TokenUsage;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::json::Cursor;

/// The wire's `usage`.
#[derive(Default, Deserialize)]
pub(crate) struct WireUsage {
    prompt_tokens: Option<Count>,
    completion_tokens: Option<Count>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Default, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<Count>,
}

#[derive(Default, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<Count>,
}

impl WireUsage {
    /// Walks over a usage object. `None` when its form is unusual, which may be right all the same.
    pub(crate) fn quick(json: &mut Cursor<'_>) -> Option<Self> {
        let mut usage = Self::default();
        json.object(|json, name| match name {
            b"prompt_tokens" => set(&mut usage.prompt_tokens, count(json)?),
            b"completion_tokens" => set(&mut usage.completion_tokens, count(json)?),
            b"prompt_tokens_details" => {
                let cached_tokens = detail(json, b"cached_tokens")?;
                set(&mut usage.prompt_tokens_details, PromptDetails { cached_tokens })
            }
            b"completion_tokens_details" => {
                let reasoning_tokens = detail(json, b"reasoning_tokens")?;
                set(&mut usage.completion_tokens_details, CompletionDetails { reasoning_tokens })
            }
            _ => json.value().map(drop),
        })?;
        Some(usage)
    }

    /// The counts; `None` when it holds neither of the two that matter.
    pub(crate) fn tokens(self) -> Option<TokenUsage> {
        if self.prompt_tokens.is_none() && self.completion_tokens.is_none() {
            return None;
        }
        let count = |count: Option<Count>| count.map_or(0, |Count(n)| n);
        Some(TokenUsage {
            prompt_tokens: count(self.prompt_tokens),
            completion_tokens: count(self.completion_tokens),
            cached_tokens: count(self.prompt_tokens_details.and_then(|details| details.cached_tokens)),
            reasoning_tokens: count(
                self.completion_tokens_details.and_then(|details| details.reasoning_tokens),
            ),
            estimated: false,
        })
    }
}

/// A count written in digits.
fn count(json: &mut Cursor<'_>) -> Option<Count> {
    let value = json.value()?;
    let digits = json.raw(&value);
    let n = digits.iter().try_fold(0_u32, |n, digit| match digit {
        b'0'..=b'9' => Some(n.saturating_mul(10).saturating_add(u32::from(digit - b'0'))),
        _ => None,
    })?;
    Some(Count(n))
}

/// A count within an object of details.
fn detail(json: &mut Cursor<'_>, name: &[u8]) -> Option<Option<Count>> {
    let mut found = None;
    json.object(
        |json, member| {
            if member == name { set(&mut found, count(json)?) } else { json.value().map(drop) }
        },
    )?;
    Some(found)
}

/// Sets what was not set before.
fn set<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// A count that may be written as `7` or `7.0`; saturates.
#[derive(Clone, Copy)]
struct Count(u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl Visitor<'_> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Count, E> {
        Ok(Count(u32::try_from(n).unwrap_or(u32::MAX)))
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Count, E> {
        self.visit_u64(u64::try_from(n).unwrap_or(0))
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<Count, E> {
        // `as` saturates and takes NaN for 0.
        Ok(Count(n as u32))
    }
}
