//! Prices as people write them: decimal USD per 1,000,000 tokens, kept as exact integers.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Decimal places that fit: 10^-6 USD per 1,000,000 tokens is 1 nano-USD per 1,000 tokens.
const PLACES: usize = 6;
const SCALE: i64 = 1_000_000;
/// The largest price, in nano-USD per 1,000 tokens: a million USD. Tokens times price stays far from overflow.
pub(crate) const MAX_NANO_USD_PER_1K_TOKENS: i64 = 1_000_000_000_000_000;

/// The largest price of a request, in nano-USD: a million USD.
pub(crate) const MAX_REQUEST_NANO_USD: i64 = 1_000_000_000_000_000;

/// A price in USD per 1,000,000 tokens, exact to 6 decimal places. Read from a decimal string or a number, written
/// as a decimal string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsdPerMillionTokens(i64);

impl UsdPerMillionTokens {
    /// The same price in nano-USD per 1,000 tokens, exactly.
    #[must_use]
    pub fn nano_usd_per_1k_tokens(self) -> i64 {
        self.0
    }
}

/// Why a text is no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// It is not digits with one decimal point at most.
    #[error("a price must be a decimal number of USD per 1M tokens, not negative, e.g. \"0.15\"")]
    Malformed,
    /// It cannot be kept exactly.
    #[error("a price may have at most 6 decimal places (USD per 1M tokens)")]
    TooPrecise,
    /// It is larger than any price.
    #[error("a price may be at most 1000000000 USD per 1M tokens")]
    TooLarge,
}

impl FromStr for UsdPerMillionTokens {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(PriceError::Malformed);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > PLACES {
            return Err(PriceError::TooPrecise);
        }
        let whole: i64 = whole.parse().map_err(|_| PriceError::TooLarge)?;
        let micros: i64 = format!("{fraction:0<PLACES$}").parse().map_err(|_| PriceError::Malformed)?;
        let nano = whole.checked_mul(SCALE).and_then(|nano| nano.checked_add(micros));
        match nano {
            Some(nano) if nano <= MAX_NANO_USD_PER_1K_TOKENS => Ok(Self(nano)),
            _ => Err(PriceError::TooLarge),
        }
    }
}

impl fmt::Display for UsdPerMillionTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:0PLACES$}", self.0 % SCALE);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / SCALE),
            fraction => write!(f, "{}.{fraction}", self.0 / SCALE),
        }
    }
}

impl Serialize for UsdPerMillionTokens {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UsdPerMillionTokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Decimal)
    }
}

struct Decimal;

impl Visitor<'_> for Decimal {
    type Value = UsdPerMillionTokens;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("USD per 1M tokens as a decimal string or number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        text.trim().parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    // A double is shown by the shortest decimal that reads back as it: the one that was written.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nano(text: &str) -> Result<i64, PriceError> {
        text.parse().map(UsdPerMillionTokens::nano_usd_per_1k_tokens)
    }

    #[test]
    fn decimals_become_exact_integers() {
        // 0.15 USD per 1M tokens = 0.00015 USD per 1,000 = 150,000 nano-USD.
        let table = [("0.15", 150_000), ("0", 0), ("2.50", 2_500_000), ("0.000001", 1), ("10", 10_000_000)];
        for (text, wanted) in table {
            assert_eq!(nano(text), Ok(wanted), "{text}");
        }
        assert_eq!(nano("0.1000000000"), Ok(100_000), "zeros are no precision");
        assert_eq!(nano("1000000000"), Ok(MAX_NANO_USD_PER_1K_TOKENS));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for text in ["", "-1", "+1", "1e-3", ".5", "5.", "1.2.3", "1,5", "NaN", "0x1", " 1", "١"] {
            assert_eq!(nano(text), Err(PriceError::Malformed), "{text:?}");
        }
        assert_eq!(nano("0.0000001"), Err(PriceError::TooPrecise));
        assert_eq!(nano("1000000000.000001"), Err(PriceError::TooLarge));
        assert_eq!(nano("99999999999999999999"), Err(PriceError::TooLarge));
    }

    #[test]
    fn strings_and_numbers_are_read_alike_and_written_as_strings() {
        let read = |json| serde_json::from_str::<UsdPerMillionTokens>(json);
        for (json, wanted) in
            [("\"0.15\"", "\"0.15\""), ("0.15", "\"0.15\""), ("3", "\"3\""), ("1e-6", "\"0.000001\"")]
        {
            assert_eq!(serde_json::to_string(&read(json).unwrap()).unwrap(), wanted);
        }
        assert!(read("-1").unwrap_err().to_string().contains("not negative"));
        assert!(read("0.00000015").unwrap_err().to_string().contains("6 decimal places"));
        assert!(read("true").is_err());
    }
}
