//! Embeddings between the typed messages and the dialect.

use headgate_proto::inference::v1::{Embedding, EmbeddingInput, EmbeddingList};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Invalid;
use crate::openai::response::{unfit, vector};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
}

/// The body of `POST /v1/embeddings` for texts that [`check_embed`](super::check_embed) accepted.
pub fn encode_embed(input: &EmbeddingInput, model: &str) -> Vec<u8> {
    let body = Body {
        model,
        input: &input.texts,
        dimensions: input.dimensions,
        encoding_format: "float",
        user: &input.user,
    };
    // Strings and numbers always serialise.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Option<Vec<Item<'a>>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    index: Option<u32>,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

/// Reads an embeddings answer, its vectors in numbers or in base64, and puts them in the order of the texts. `model`
/// is the name the request gave.
///
/// # Errors
/// When the body is not a JSON object with `data` that holds vectors.
pub fn decode_embed(body: &[u8], model: &str) -> Result<EmbeddingList, Invalid> {
    let list: List<'_> = serde_json::from_slice(body).map_err(|error| Invalid::json("answer", &error))?;
    let data = list.data.ok_or_else(|| Invalid::field("data", "is missing in the answer"))?;
    let mut embeddings = Vec::with_capacity(data.len());
    for (at, item) in data.iter().enumerate() {
        let values = vector(item.embedding.get()).ok_or_else(|| unfit(at))?;
        let index = item.index.unwrap_or_else(|| u32::try_from(at).unwrap_or(u32::MAX));
        embeddings.push(Embedding { index, values });
    }
    embeddings.sort_by_key(|embedding| embedding.index);
    Ok(EmbeddingList { model: model.into(), embeddings })
}
