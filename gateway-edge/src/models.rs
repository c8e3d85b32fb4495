//! `GET /v1/models`, `GET /v1/models/{id}`, `GET /v1/models/status` and `GET /v1/models/search`.

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::request_id::RequestId;
use headgate_proto::inference::v1::{GetModelRequest, ListModelsRequest, ModelInfo, ModelStatus};
use http::HeaderMap;
use serde::Serialize;
use tonic::metadata::MetadataMap;

use crate::edge::Shared;
use crate::error::Refusal;
use crate::metadata;
use crate::service::{Answer, JSON, whole};
use crate::transcode::json::unknown;
use crate::transcode::unescaped;

/// OpenAI's list of models.
#[derive(Serialize)]
struct List<T> {
    object: &'static str,
    data: Vec<T>,
}

/// OpenAI's model, and after `owned_by` what it has no field for.
#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'a str,
    enabled: bool,
    operations: &'a [String],
    providers: &'a [String],
    deployments: &'a [String],
    context_tokens: u32,
    max_output_tokens: u32,
    aliases: &'a [String],
    description: &'a str,
}

impl<'a> From<&'a ModelInfo> for Model<'a> {
    fn from(info: &'a ModelInfo) -> Self {
        Self {
            id: &info.name,
            object: "model",
            created: info.created_unix_seconds,
            owned_by: info.providers.first().map_or("headgate", String::as_str),
            enabled: info.enabled,
            operations: &info.operations,
            providers: &info.providers,
            deployments: &info.deployments,
            context_tokens: info.context_tokens,
            max_output_tokens: info.max_output_tokens,
            aliases: &info.aliases,
            description: &info.description,
        }
    }
}

/// Whether a model's targets take requests now.
#[derive(Serialize)]
struct Status<'a> {
    id: &'a str,
    object: &'static str,
    status: &'static str,
    /// With `cooling`: when the first target is back.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl<'a> From<&'a ModelInfo> for Status<'a> {
    fn from(info: &'a ModelInfo) -> Self {
        let (status, retry_after_ms) = match info.status() {
            ModelStatus::Available => ("available", None),
            ModelStatus::Cooling => ("cooling", Some(info.retry_after_ms)),
            ModelStatus::Unavailable => ("unavailable", None),
            ModelStatus::Unspecified => ("unknown", None),
        };
        Self { id: &info.name, object: "model.status", status, retry_after_ms }
    }
}

/// Lists the models that the caller may use.
pub(crate) async fn list(shared: &Shared, headers: &HeaderMap, id: &RequestId) -> Answer {
    let (metadata, models) = visible(shared, headers, id, ListModelsRequest::default()).await?;
    let data: Vec<_> = models.iter().map(Model::from).collect();
    json(&metadata, &List { object: "list", data })
}

/// Lists those of these models that the query says.
pub(crate) async fn search(
    shared: &Shared,
    headers: &HeaderMap,
    id: &RequestId,
    query: Option<&str>,
) -> Answer {
    let (metadata, models) = visible(shared, headers, id, wanted(query.unwrap_or_default())?).await?;
    let data: Vec<_> = models.iter().map(Model::from).collect();
    json(&metadata, &List { object: "list", data })
}

/// What a query looks for.
fn wanted(query: &str) -> Result<ListModelsRequest, Failure> {
    let mut wanted = ListModelsRequest::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let field = match name {
            "q" | "query" => &mut wanted.query,
            "operation" => &mut wanted.operation,
            "provider" => &mut wanted.provider,
            _ => return Err(unknown(&unescaped(name)?)),
        };
        if !field.is_empty() {
            return Err(Failure::invalid(name, format!("{name} is given twice")));
        }
        *field = unescaped(text)?;
    }
    Ok(wanted)
}

/// Tells of each of those models whether a request would find a target now.
pub(crate) async fn status(shared: &Shared, headers: &HeaderMap, id: &RequestId) -> Answer {
    let (metadata, models) = visible(shared, headers, id, ListModelsRequest::default()).await?;
    let data: Vec<_> = models.iter().map(Status::from).collect();
    json(&metadata, &List { object: "list", data })
}

async fn visible(
    shared: &Shared,
    headers: &HeaderMap,
    id: &RequestId,
    wanted: ListModelsRequest,
) -> Result<(MetadataMap, Vec<ModelInfo>), Refusal> {
    let request = metadata::request(headers, id, wanted);
    let (metadata, message, _) = shared.inference.list_models(request).await?.into_parts();
    Ok((metadata, message.models))
}

/// Describes one model. `name` is `None` when the path has none that could exist.
pub(crate) async fn get(
    shared: &Shared,
    headers: &HeaderMap,
    id: &RequestId,
    name: Option<String>,
) -> Answer {
    // A name that cannot exist is still asked for, so that only known callers learn that it does not.
    let request = metadata::request(headers, id, GetModelRequest { model: name.unwrap_or_default() });
    let (metadata, message, _) = shared.inference.get_model(request).await?.into_parts();
    let model = message.model.ok_or_else(|| Failure::new(ErrorReason::ModelNotFound, "no such model"))?;
    json(&metadata, &Model::from(&model))
}

fn json(metadata: &MetadataMap, value: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(value).map_err(Failure::internal)?;
    let mut response = whole(JSON, bytes.into());
    metadata::copy_public(metadata, response.headers_mut());
    Ok(response)
}
