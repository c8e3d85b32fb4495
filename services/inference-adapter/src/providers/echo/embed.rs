//! Echo's vectors: the same for the same text, different for different texts, of length one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use headgate_kit::Failure;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{read, rejected, tokens};

const DIMENSIONS: usize = 64;
const MAX_DIMENSIONS: usize = 4096;
/// An upper bound of one value's bytes in an answer.
const VALUE_BYTES: usize = 16;

#[derive(Deserialize)]
struct Question {
    model: String,
    input: Input,
    dimensions: Option<usize>,
    encoding_format: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

/// A text's seed and how many tokens it has.
type Item = (u64, usize);

impl Input {
    fn items(&self) -> Vec<Item> {
        let text = |text: &String| (seed(text.as_bytes()), tokens(text));
        let list = |list: &Vec<u32>| {
            let bytes: Vec<u8> = list.iter().flat_map(|token| token.to_le_bytes()).collect();
            (seed(&bytes), list.len())
        };
        match self {
            Self::Text(one) => vec![text(one)],
            Self::Texts(many) => many.iter().map(text).collect(),
            Self::Tokens(one) => vec![list(one)],
            Self::TokenLists(many) => many.iter().map(list).collect(),
        }
    }
}

/// The whole answer. UPSTREAM_REJECTED when it would be larger than `max_bytes`.
pub(super) fn whole(body: &[u8], max_bytes: usize) -> Result<Bytes, Failure> {
    let question: Question = read(body)?;
    let dimensions = question.dimensions.unwrap_or(DIMENSIONS);
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        let message = format!("dimensions must be between 1 and {MAX_DIMENSIONS}, not {dimensions}");
        return Err(rejected("dimensions", message));
    }
    let base64 = match question.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(rejected("encoding_format", "encoding_format must be float or base64")),
    };
    let items = question.input.items();
    if items.len().saturating_mul(dimensions * VALUE_BYTES) > max_bytes {
        return Err(rejected("input", format!("the answer would be larger than {max_bytes} bytes")));
    }
    let prompt_tokens: usize = items.iter().map(|(_, tokens)| tokens).sum();
    let data: Vec<Value> = items
        .iter()
        .enumerate()
        .map(|(index, (seed, _))| {
            let vector = vector(*seed, dimensions);
            let embedding = if base64 { json!(encoded(&vector)) } else { json!(vector) };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    let usage = json!({ "prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens });
    let answer = json!({ "object": "list", "data": data, "model": question.model, "usage": usage });
    Ok(answer.to_string().into())
}

fn encoded(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// FNV-1a, 64 bits: the same on every machine and in every version.
fn seed(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn vector(mut state: u64, dimensions: usize) -> Vec<f32> {
    // 23 bits are what a float keeps; the half keeps every value, and so the length, away from zero.
    let raw: Vec<f32> = (0..dimensions)
        .map(|_| ((next(&mut state) >> 41) as f32 + 0.5) / (1_u32 << 22) as f32 - 1.0)
        .collect();
    let length = raw.iter().map(|value| value * value).sum::<f32>().sqrt();
    raw.into_iter().map(|value| value / length).collect()
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(rest: &str) -> Result<Value, Failure> {
        let body = format!(r#"{{"model":"echo",{rest}}}"#);
        Ok(serde_json::from_slice(&whole(body.as_bytes(), 1 << 20)?).unwrap())
    }

    fn floats(answer: &Value, index: usize) -> Vec<f32> {
        serde_json::from_value(answer["data"][index]["embedding"].clone()).unwrap()
    }

    #[test]
    fn vectors_are_repeatable_distinct_and_of_length_one() {
        let answer = ask(r#""input":["a b","a c","a b"]"#).unwrap();
        let [first, second, third] = [0, 1, 2].map(|index| floats(&answer, index));
        assert!(first == third && first != second && first.len() == DIMENSIONS);
        assert!((first.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(answer["usage"]["prompt_tokens"], 6);
        assert_eq!(floats(&ask(r#""input":"a b","dimensions":3"#).unwrap(), 0).len(), 3);
        assert_eq!(ask(r#""input":[[1,2],[3]]"#).unwrap()["usage"]["total_tokens"], 3);
    }

    #[test]
    fn base64_holds_the_same_vector() {
        let plain = floats(&ask(r#""input":"a b""#).unwrap(), 0);
        let answer = ask(r#""input":"a b","encoding_format":"base64""#).unwrap();
        let bytes = STANDARD.decode(answer["data"][0]["embedding"].as_str().unwrap()).unwrap();
        let same: Vec<f32> = bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(same, plain);
    }

    #[test]
    fn what_echo_cannot_do_is_rejected() {
        for rest in [r#""input":"a","dimensions":0"#, r#""input":"a","encoding_format":"x""#, r#""input":{}"#]
        {
            assert_eq!(ask(rest).unwrap_err().metadata["upstream_status"], "400", "{rest}");
        }
        assert!(whole(br#"{"model":"echo","input":"a"}"#, 64 * VALUE_BYTES - 1).is_err());
    }
}
