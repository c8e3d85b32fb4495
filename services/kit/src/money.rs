//! Amounts in USD as people write them, exact to the nano-USD.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

const NANO: u64 = 1_000_000_000;
const MAX_DECIMALS: usize = 9;
const MIN_DECIMALS: usize = 2;

/// An amount that is not negative. Read from a decimal string (`"100.00"`) or number, written as a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd {
    /// In nano-USD (10^-9 USD).
    pub nano: i64,
}

impl Usd {
    /// Room for any amount: a sign, ten digits, a point, nine decimals.
    pub const MAX_LEN: usize = 21;

    /// Of an amount in nano-USD.
    #[must_use]
    pub fn from_nano(nano: i64) -> Self {
        Self { nano }
    }

    /// Reads a plain decimal: digits, and up to nine decimals. `None` for anything else, or what does not fit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
            return None;
        }
        let whole: u64 = whole.parse().ok()?;
        let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
        let nano = i64::try_from(whole.checked_mul(NANO)?.checked_add(fraction)?).ok()?;
        Some(Self { nano })
    }

    /// Writes what `Display` shows, without allocating: at least two decimals, and as many as there are.
    pub fn encode(self, buffer: &mut [u8; Self::MAX_LEN]) -> &str {
        let magnitude = self.nano.unsigned_abs();
        let (mut whole, mut fraction) = (magnitude / NANO, magnitude % NANO);
        let mut decimals = MAX_DECIMALS;
        while decimals > MIN_DECIMALS && fraction.is_multiple_of(10) {
            fraction /= 10;
            decimals -= 1;
        }
        let mut text = Backwards { buffer, begin: Self::MAX_LEN };
        for _ in 0..decimals {
            text.digit(&mut fraction);
        }
        text.push(b'.');
        text.digit(&mut whole);
        while whole > 0 {
            text.digit(&mut whole);
        }
        if self.nano < 0 {
            text.push(b'-');
        }
        let Backwards { buffer, begin } = text;
        // ASCII only, so it is never refused.
        str::from_utf8(&buffer[begin..]).unwrap_or_default()
    }
}

/// Text that is written from its last byte to its first, as digits come when a number is divided.
struct Backwards<'a> {
    buffer: &'a mut [u8; Usd::MAX_LEN],
    begin: usize,
}

impl Backwards<'_> {
    fn push(&mut self, byte: u8) {
        self.begin -= 1;
        self.buffer[self.begin] = byte;
    }

    /// Moves the last digit of `number` over.
    fn digit(&mut self, number: &mut u64) {
        // A remainder of ten is a digit.
        self.push(b'0' + (*number % 10) as u8);
        *number /= 10;
    }
}

impl fmt::Display for Usd {
    /// At least two decimals, and as many as there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; Self::MAX_LEN]))
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UsdVisitor)
    }
}

struct UsdVisitor;

impl Visitor<'_> for UsdVisitor {
    type Value = Usd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount in USD, e.g. \"100.00\", not negative and with nine decimals at most")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Usd, E> {
        Usd::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Usd, E> {
        self.visit_str(&n.to_string())
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Usd, E> {
        self.visit_str(&n.to_string())
    }

    /// The shortest decimal that means this number is the one that was written.
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Usd, E> {
        self.visit_str(&n.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_oneof, proptest};
    use proptest::strategy::Strategy as _;

    use super::*;

    /// The text by the book: all nine decimals, then what trails is cut.
    fn reference(nano: i64) -> String {
        let magnitude = i128::from(nano).abs();
        let text = format!("{}.{:09}", magnitude / 1_000_000_000, magnitude % 1_000_000_000);
        let cents = text.len() - 7;
        let kept = text.trim_end_matches('0').len().max(cents);
        format!("{}{}", if nano < 0 { "-" } else { "" }, &text[..kept])
    }

    proptest! {
        #[test]
        fn every_amount_is_written_by_the_book(
            nano in prop_oneof![
                any::<i64>(),
                // Amounts with trailing zeros, which are rare among all numbers.
                (any::<i32>(), 0_u32..10).prop_map(|(n, zeros)| i64::from(n) * 10_i64.pow(zeros)),
            ],
        ) {
            assert_eq!(Usd { nano }.to_string(), reference(nano));
        }

        #[test]
        fn what_was_written_is_read_again(nano in 0..=i64::MAX) {
            assert_eq!(Usd::parse(&Usd { nano }.to_string()), Some(Usd { nano }));
        }
    }

    #[test]
    fn the_ends_of_the_range_fit() {
        assert_eq!(Usd { nano: i64::MIN }.to_string(), "-9223372036.854775808");
        assert_eq!(Usd { nano: i64::MIN }.to_string().len(), Usd::MAX_LEN);
        assert_eq!(Usd { nano: i64::MAX }.to_string(), "9223372036.854775807");
        assert_eq!(Usd { nano: -1 }.to_string(), "-0.000000001");
        assert_eq!(Usd { nano: -10_000_000 }.to_string(), "-0.01");
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(Usd::parse("100.00"), Some(Usd { nano: 100_000_000_000 }));
        assert_eq!(Usd::parse("0.000000001"), Some(Usd { nano: 1 }));
        assert_eq!(serde_json::from_str::<Usd>("0.1").unwrap(), Usd { nano: 100_000_000 });
        assert_eq!(serde_json::from_str::<Usd>("7").unwrap(), Usd { nano: 7_000_000_000 });
        assert_eq!(serde_json::to_string(&Usd { nano: 1_500_000_000 }).unwrap(), "\"1.50\"");
        assert_eq!(Usd { nano: 1 }.to_string(), "0.000000001");
        assert_eq!(Usd { nano: 0 }.to_string(), "0.00");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "-1", "1e3", "1.0000000001", "1,5", ".5", "99999999999", "NaN", "+1"] {
            assert_eq!(Usd::parse(text), None, "{text}");
        }
        assert!(serde_json::from_str::<Usd>("-0.5").is_err());
    }
}
