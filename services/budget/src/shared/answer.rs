//! What the script that decides answers, in the words of the engine in memory: the same code makes the same messages.

use bytes::Bytes;

use super::fault::Fault;
use crate::account::Account;
use crate::engine::admit::{Answer, Ask, Decision, Now, in_progress, mismatch};
use crate::engine::scopes::{ScopeState, Scopes};
use crate::engine::tenant::Tenant;
use crate::limits::Counters;
use crate::policy::Covering;
use crate::window::Window;

/// What the script returns: a word, the time in microseconds, two values that depend on the word, the accounts of
/// tenant and key, and their counters.
pub(super) type Raw = (
    String,
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<Option<String>>,
    Vec<Option<String>>,
    Vec<Option<String>>,
    Vec<Option<String>>,
);

/// What is to be done next.
pub(super) enum Told {
    /// It is decided.
    Decided(Answer),
    /// The window was another one; that is the time in milliseconds.
    OtherWindow(i64),
    /// Nothing is known of the tenant.
    Unknown,
    /// Nothing is admitted before that time, in milliseconds.
    Closed(i64),
}

/// Reads an answer.
pub(super) fn read(raw: Raw, ask: &Ask, covering: &Covering, window: Window) -> Result<Told, Fault> {
    let (word, micros, first, second, own_account, key_account, own, key) = raw;
    let now = Now { micros, millis: micros / 1000 };
    let own = ScopeState { account: account(&own_account)?, counters: counters(&own)? };
    let key = ScopeState { account: account(&key_account)?, counters: counters(&key)? };
    let tenant = Tenant::of(Scopes::of(window, own, &ask.intent.key_id, key));
    let decision = match word.as_str() {
        "window" => return Ok(Told::OtherWindow(now.millis)),
        "unknown" => return Ok(Told::Unknown),
        "closed" => return Ok(Told::Closed(number(first.as_deref())?)),
        "held" => admitted(first.as_deref(), second.as_deref(), true)?,
        "again" => admitted(first.as_deref(), second.as_deref(), false)?,
        "ended" => Decision::Ended,
        "replay" => Decision::Replay(Bytes::from(first.unwrap_or_default())),
        "running" => Decision::Refused(in_progress()),
        "mismatch" => Decision::Refused(mismatch()),
        "limit" | "budget" => Decision::Refused(
            tenant.refusal(ask, covering, now).ok_or(Fault::Garbled("a refusal without a reason"))?,
        ),
        _ => return Err(Fault::Garbled("a word that is none")),
    };
    Ok(Told::Decided(Answer { decision, budget: tenant.nearest(ask, covering) }))
}

fn admitted(expires: Option<&[u8]>, cap: Option<&[u8]>, is_new: bool) -> Result<Decision, Fault> {
    let cap = cap.map(|cap| number(Some(cap))).transpose()?;
    Ok(Decision::Admitted { expires_at: number(expires)?, cap, is_new })
}

/// An account from its fields `b`, `s` and `h`.
pub(super) fn account(fields: &[Option<String>]) -> Result<Account, Fault> {
    let amount = |at: usize| match fields.get(at) {
        Some(Some(text)) => text.parse::<i128>().map_err(|_| Fault::Garbled("an amount that is none")),
        _ => Ok(0),
    };
    Ok(Account::of(amount(0)?, amount(1)?, amount(2)?))
}

fn counters(fields: &[Option<String>]) -> Result<Counters, Fault> {
    let text = |at: usize| fields.get(at).and_then(Option::as_deref);
    Counters::read([text(0), text(1)], [text(2), text(3), text(4)], text(5))
        .ok_or(Fault::Garbled("a counter that is none"))
}

fn number<T: std::str::FromStr>(text: Option<&[u8]>) -> Result<T, Fault> {
    let text = text.and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.and_then(|text| text.parse().ok()).ok_or(Fault::Garbled("a number that is none"))
}
