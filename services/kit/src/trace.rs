//! Which distributed trace a request belongs to (W3C Trace Context): heard of its caller, told to everyone it calls.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries a trace's id, in requests and gRPC metadata.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header that carries what tracing systems add to it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The version written here, as two digits.
const VERSION: &[u8] = b"00";
/// A trace that need not be sampled, and whose id is random.
const MADE_HERE: u8 = RANDOM_ID;
const SAMPLED: u8 = 0b01;
const RANDOM_ID: u8 = 0b10;
/// The most of `tracestate` that is passed on, all of its lines together: what the specification asks for.
const MAX_STATE: usize = 512;

/// `version-id-parent-flags`.
const ID: std::ops::Range<usize> = 3..35;
const PARENT: std::ops::Range<usize> = 36..52;
const FLAGS: std::ops::Range<usize> = 53..55;
const LENGTH: usize = 55;
const DASHES: [usize; 3] = [2, 35, 52];

/// A request's place in a trace: the trace's id, and this process's own part (span) in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    id: TraceId,
    span: [u8; 8],
    flags: u8,
    /// Shared, as it is large and seldom there.
    state: Option<Arc<HeaderValue>>,
}

/// The id of a trace; shown as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

impl TraceContext {
    /// The caller's trace as its headers tell, with a new span; a new trace where they tell none.
    #[must_use]
    pub fn of(headers: &HeaderMap, mut random: impl FnMut() -> u64) -> Self {
        let span = some(&mut random).to_be_bytes();
        if let Some((id, flags)) = parent(headers) {
            return Self { id, span, flags: flags & (SAMPLED | RANDOM_ID), state: state(headers) };
        }
        let id = u128::from(some(&mut random)) << 64 | u128::from(random());
        Self { id: TraceId(id.to_be_bytes()), span, flags: MADE_HERE, state: None }
    }

    /// The trace's id.
    #[must_use]
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// Tells whoever gets `headers` of the trace, with this process's span as the parent.
    pub fn tell(&self, headers: &mut HeaderMap) {
        // All of it is visible ASCII, so it is never refused.
        if let Ok(value) = HeaderValue::from_bytes(&self.traceparent()) {
            headers.insert(TRACEPARENT, value);
        }
        if let Some(state) = &self.state {
            headers.insert(TRACESTATE, HeaderValue::clone(state));
        }
    }

    fn traceparent(&self) -> [u8; LENGTH] {
        let mut text = [b'-'; LENGTH];
        text[..VERSION.len()].copy_from_slice(VERSION);
        text[ID].copy_from_slice(&self.id.digits());
        let parts = [(&self.span[..], PARENT), (&[self.flags], FLAGS)];
        for (bytes, range) in parts {
            encode(bytes, &mut text[range]);
        }
        text
    }
}

impl TraceId {
    fn digits(self) -> [u8; 32] {
        let mut digits = [0; 32];
        encode(&self.0, &mut digits);
        digits
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

/// Random, but not zero, which means none.
fn some(random: &mut impl FnMut() -> u64) -> u64 {
    random().max(1)
}

/// The trace that the one `traceparent` of a request tells. A later version is read as far as this one goes.
fn parent(headers: &HeaderMap) -> Option<(TraceId, u8)> {
    let mut given = headers.get_all(TRACEPARENT).iter();
    let (Some(text), None) = (given.next(), given.next()) else { return None };
    let text = text.as_bytes();
    if text.len() < LENGTH || DASHES.iter().any(|&at| text[at] != b'-') {
        return None;
    }
    let [version] = decode(&text[..VERSION.len()])?;
    let ends = text.len() == LENGTH || (version > 0 && text[LENGTH] == b'-');
    let (id, span) = (decode::<16>(&text[ID])?, decode::<8>(&text[PARENT])?);
    let [flags] = decode(&text[FLAGS])?;
    let valid = ends && version != 0xff && id != [0; 16] && span != [0; 8];
    valid.then_some((TraceId(id), flags))
}

/// `tracestate`, its lines joined, unless it is empty, too long, or no text.
fn state(headers: &HeaderMap) -> Option<Arc<HeaderValue>> {
    let lines = || headers.get_all(TRACESTATE).iter();
    let length = lines().map(|line| line.len() + 1).sum::<usize>().checked_sub(1)?;
    if length == 0 || length > MAX_STATE || lines().any(|line| line.to_str().is_err()) {
        return None;
    }
    let mut all = lines();
    let (first, second) = (all.next()?, all.next());
    if second.is_none() {
        return Some(Arc::new(first.clone()));
    }
    let joined = lines().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b","[..]);
    HeaderValue::from_bytes(&joined).ok().map(Arc::new)
}

/// Lower-case hexadecimal digits, and nothing else.
fn decode<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

fn encode(bytes: &[u8], digits: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn heard(headers: &[(HeaderName, &str)]) -> TraceContext {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut drawn = 6;
        TraceContext::of(&map, || {
            drawn += 1;
            drawn
        })
    }

    fn told(context: &TraceContext) -> HeaderMap {
        let mut headers = HeaderMap::new();
        context.tell(&mut headers);
        headers
    }

    fn told_parent(context: &TraceContext) -> String {
        told(context)[TRACEPARENT].to_str().unwrap().to_owned()
    }

    /// W3C Trace Context level 1, section 3.2, and level 2 for the second flag.
    #[test]
    fn a_valid_parent_is_continued_with_a_span_of_ours() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        for (given, flags) in [
            (VALID.to_owned(), "01"),
            (format!("00-{id}-b7ad6b7169203331-00"), "00"),
            (format!("00-{id}-b7ad6b7169203331-02"), "02"),
            // Flags that nobody has given a meaning are not passed on.
            (format!("00-{id}-b7ad6b7169203331-ff"), "03"),
            (format!("00-{id}-b7ad6b7169203331-fc"), "00"),
            // Later versions: as this one, and whatever follows a dash.
            (format!("01-{id}-b7ad6b7169203331-01"), "01"),
            (format!("cc-{id}-b7ad6b7169203331-01-what-the-future-will-be-like"), "01"),
            (format!("fe-{id}-b7ad6b7169203331-01-"), "01"),
        ] {
            let context = heard(&[(TRACEPARENT, &given)]);
            assert_eq!(context.id().to_string(), id, "{given}");
            assert_eq!(told_parent(&context), format!("00-{id}-0000000000000007-{flags}"), "{given}");
        }
    }

    #[test]
    fn anything_else_begins_a_new_trace() {
        let (id, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for given in [
            String::new(),
            "00".into(),
            VALID.to_uppercase(),
            VALID.replace("0af", "0AF"),
            VALID.replace("-01", "-0A"),
            VALID.replace('-', "_"),
            VALID.replace("0af", "0a."),
            VALID.replace("b7a", "b7 "),
            VALID.replace("-01", "-.1"),
            VALID.replace("-01", "-1"),
            VALID.replace("-01", ""),
            format!("{VALID}-"),
            format!("{VALID}-more"),
            format!("{VALID}0"),
            format!("0{VALID}"),
            format!("ff-{id}-{span}-01"),
            format!("0x-{id}-{span}-01"),
            format!("CC-{id}-{span}-01"),
            format!("cc-{id}-{span}-01.what"),
            format!("cc-{id}-{span}-010"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{id}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", &id[1..]),
            format!("00-{id}-{}-01", &span[1..]),
            format!("{VALID},{VALID}"),
            "\u{e9}".repeat(28),
        ] {
            let context = heard(&[(TRACEPARENT, &given), (TRACESTATE, "a=1")]);
            let new = "00-00000000000000080000000000000009-0000000000000007-02";
            assert_eq!(told_parent(&context), new, "{given}");
            assert!(!told(&context).contains_key(TRACESTATE), "{given}: the state is of another trace");
        }
        assert_ne!(heard(&[(TRACEPARENT, VALID), (TRACEPARENT, VALID)]).id().to_string(), id, "told twice");
    }

    #[test]
    fn zero_is_drawn_for_no_id() {
        let context = TraceContext::of(&HeaderMap::new(), || 0);
        assert_eq!(told_parent(&context), "00-00000000000000010000000000000000-0000000000000001-02");
    }

    #[test]
    fn the_state_passes_unchanged_up_to_its_bound() {
        let long = |length: usize| "a".repeat(length);
        let odd = "foo=1 \t , \t bar=2,,rojo@x-y_z/0=~!\"#$%&'()*+-./:;<>?";
        for (given, passes) in [
            (vec!["congo=t61rcWkgMzE"], Some("congo=t61rcWkgMzE")),
            (vec![odd], Some(odd)),
            (vec!["a=1", "b=2,c=3", "d=4"], Some("a=1,b=2,c=3,d=4")),
            (vec![""], None),
            (vec!["a=\u{e9}"], None),
            (vec!["a=1", "b=\u{e9}"], None),
        ] {
            let given = given.into_iter().map(|line| (TRACESTATE, line));
            let context = heard(&[(TRACEPARENT, VALID)].into_iter().chain(given).collect::<Vec<_>>());
            assert_eq!(told(&context).get(TRACESTATE).map(|v| v.to_str().unwrap()), passes);
        }
        for (lines, passes) in [
            (vec![long(512)], true),
            (vec![long(513)], false),
            (vec![long(256), long(255)], true),
            (vec![long(256), long(256)], false),
        ] {
            let lines = lines.iter().map(|line| (TRACESTATE, line.as_str()));
            let context = heard(&[(TRACEPARENT, VALID)].into_iter().chain(lines).collect::<Vec<_>>());
            assert_eq!(told(&context).contains_key(TRACESTATE), passes);
        }
    }
}
