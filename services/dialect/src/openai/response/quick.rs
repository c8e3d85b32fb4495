//! The reading that takes a usual answer quickly.

#[cfg(test)]
mod tests;

use headgate_proto::inference::v1::TokenUsage;

use super::mending::{Choice, Mending, bytes};
use crate::openai::json::Cursor;
use crate::openai::usage::WireUsage;

/// Reads the whole answer. `None` when anything is wrong with it, or merely unusual: then it is for the careful
/// reading, which finds the same in every answer that both take.
pub(super) fn read(body: &[u8]) -> Option<Mending> {
    let mut json = Cursor::new(body)?;
    let mut mending = Mending::default();
    let (mut choices, mut usage) = (false, false);
    json.object(|json, name| match name {
        b"choices" => {
            first(&mut choices)?;
            json.array(|json| {
                mending.choice(&choice(json)?);
                Some(())
            })
        }
        b"usage" => {
            first(&mut usage)?;
            mending.usage = tokens(json)?;
            Some(())
        }
        _ => json.value().map(drop),
    })?;
    json.end()?;
    choices.then_some(mending)
}

fn choice(json: &mut Cursor<'_>) -> Option<Choice> {
    let mut choice = Choice::default();
    let mut found = false;
    json.object(|json, name| match name {
        b"message" => {
            first(&mut found)?;
            message(json, &mut choice)
        }
        b"logprobs" => {
            first(&mut choice.logprobs)?;
            json.value().map(drop)
        }
        _ => json.value().map(drop),
    })?;
    found.then_some(choice)
}

fn message(json: &mut Cursor<'_>, choice: &mut Choice) -> Option<()> {
    let mut role = false;
    choice.empty = true;
    choice.place = json.object(|json, name| {
        choice.empty = false;
        let value = json.value()?;
        let said = match name {
            b"role" => return first(&mut role),
            b"refusal" => return first(&mut choice.refusal),
            b"content" => &mut choice.said.content,
            b"reasoning_content" => &mut choice.said.reasoning_content,
            b"reasoning" => &mut choice.said.reasoning,
            b"tool_calls" => &mut choice.said.tool_calls,
            _ => return Some(()),
        };
        said.replace(bytes(json.raw(&value))).is_none().then_some(())
    })?;
    Some(())
}

/// Usage, be it of an odd form: that must not cost the answer.
pub(super) fn tokens(json: &mut Cursor<'_>) -> Option<Option<TokenUsage>> {
    let begin = json.clone();
    if let Some(usage) = WireUsage::quick(json) {
        return Some(usage.tokens());
    }
    *json = begin;
    let value = json.value()?;
    Some(serde_json::from_slice::<WireUsage>(json.raw(&value)).ok().and_then(WireUsage::tokens))
}

/// Notes that a member is there; `None` if it was noted before.
pub(super) fn first(seen: &mut bool) -> Option<()> {
    (!std::mem::replace(seen, true)).then_some(())
}
