//! The pass that takes a usual body quickly.

#[cfg(test)]
mod tests;

use super::Peek;
use super::draft::{Draft, MEMBER_BYTES, MESSAGE_BYTES};
use crate::openai::json::Cursor;

/// Reads `body`, looking at `keys` only. `None` when anything is wrong with it, or merely unusual: then it is for the
/// careful pass, which gives the same peek of every body that both take.
pub(super) fn read(body: &[u8], keys: &'static [&'static str]) -> Option<Peek> {
    let mut draft = Draft::new(keys);
    let mut json = Cursor::new(body)?;
    json.object(|json, name| {
        let Some((known, key)) = keys.iter().enumerate().find(|(_, key)| key.as_bytes() == name) else {
            return json.value().map(drop);
        };
        draft.mark(known, key).ok()?;
        if *key == "messages" {
            return messages(json, &mut draft);
        }
        let range = json.value()?;
        let raw = std::str::from_utf8(json.raw(&range)).ok()?;
        draft.member(key, raw, &range).ok()
    })?;
    json.end()?;
    draft.finish().ok()
}

fn messages(json: &mut Cursor<'_>, draft: &mut Draft) -> Option<()> {
    let mut any = false;
    json.array(|json| {
        any = true;
        let mut role = None;
        draft.prompt_bytes += MESSAGE_BYTES;
        json.object(|json, name| {
            let value = json.value()?;
            draft.prompt_bytes += name.len() + value.len() + MEMBER_BYTES;
            if name == b"role" {
                role = Some(role.unwrap_or(true) && json.raw(&value).starts_with(b"\""));
            }
            Some(())
        })?;
        role?.then_some(())
    })?;
    any.then_some(())
}
