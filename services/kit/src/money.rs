//! Amounts in USD as people write them, exact to the nano-USD.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

const NANO: i128 = 1_000_000_000;

/// An amount that is not negative. Read from a decimal string (`"100.00"`) or number, written as a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd {
    /// In nano-USD (10^-9 USD).
    pub nano: i64,
}

impl Usd {
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
        let whole: i128 = whole.parse().ok()?;
        let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
        let nano = i64::try_from(whole.checked_mul(NANO)?.checked_add(fraction)?).ok()?;
        Some(Self { nano })
    }
}

impl fmt::Display for Usd {
    /// At least two decimals, and as many as there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (i128::from(self.nano) / NANO, (i128::from(self.nano) % NANO).abs());
        let decimals = format!("{fraction:09}");
        let kept = decimals.trim_end_matches('0').len().max(2);
        let sign = if self.nano < 0 && whole == 0 { "-" } else { "" };
        write!(f, "{sign}{whole}.{}", decimals.get(..kept).unwrap_or(&decimals))
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
    use super::*;

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
