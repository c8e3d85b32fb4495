//! Log lines that would come with every request while a part is away: one a second, with the number of those left out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The shortest time between two lines.
const EVERY: Duration = Duration::from_secs(1);

/// Lets one line a second through, and counts the others.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// When the last line was let through.
    last: Option<Instant>,
    /// Lines since then.
    left_out: u64,
}

impl Seldom {
    /// The first line is let through.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Kept::new()))
    }

    /// Whether to write a line now: then the number of those left out since the one before, to be told with it.
    pub fn due(&self) -> Option<u64> {
        self.0.lock().due(Instant::now())
    }
}

impl Kept {
    const fn new() -> Self {
        Self { last: None, left_out: 0 }
    }

    fn due(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

/// The same for each of a few names by itself.
#[derive(Debug, Default)]
pub struct SeldomEach(Mutex<BTreeMap<&'static str, Kept>>);

impl SeldomEach {
    /// The first line of each name is let through.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// As [`Seldom::due`], for lines of this name.
    pub fn due(&self, name: &'static str) -> Option<u64> {
        self.0.lock().entry(name).or_default().due(Instant::now())
    }
}

/// Writes a warning that may come with every request: one a second of this place in the code, which tells in `left_out`
/// how many there were since the one before.
#[macro_export]
macro_rules! warn_seldom {
    ($($line:tt)+) => {{
        static SELDOM: $crate::seldom::Seldom = $crate::seldom::Seldom::new();
        if let Some(left_out) = SELDOM.due() {
            $crate::seldom::tracing::warn!(left_out, $($line)+);
        }
    }};
}

#[doc(hidden)]
pub use tracing;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_tells_how_many_were_left_out() {
        let (mut kept, start) = (Kept::new(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(kept.due(at(0)), Some(0));
        for millis in [0, 1, 999] {
            assert_eq!(kept.due(at(millis)), None);
        }
        assert_eq!(kept.due(at(1000)), Some(3));
        assert_eq!(kept.due(at(1999)), None);
        assert_eq!(kept.due(at(9000)), Some(1));
        assert_eq!(kept.due(at(10_000)), Some(0));
    }

    #[test]
    fn each_name_has_its_own() {
        let each = SeldomEach::new();
        assert_eq!((each.due("a"), each.due("b")), (Some(0), Some(0)));
        let of_a = (0..10).filter(|_| each.due("a").is_none()).count();
        assert!(of_a >= 1, "lines of one name are left out");
    }
}
