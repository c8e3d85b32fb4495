//! Tables `models`, `model_targets` and `model_aliases`.

use std::collections::HashMap;

use headgate_kit::db::{self, Tx};
use headgate_kit::{execute, fetch};
use headgate_proto::catalog::v1::{Model, ModelTarget, Operation, Price};
use headgate_proto::inference::v1::RequestDefaults;
use headgate_proto::timestamp;
use prost::Message as _;

use super::{signed, unix_ms, unsigned};
use crate::BuildError;

#[derive(sqlx::FromRow)]
struct ModelRow {
    id: String,
    name: String,
    enabled: bool,
    operations: String,
    input_price: i64,
    output_price: i64,
    cached_input_price: Option<i64>,
    request_price: Option<i64>,
    max_output_tokens: i64,
    context_tokens: i64,
    created_at_unix_ms: i64,
    revision: i64,
    updated_at_unix_ms: i64,
    description: String,
    metadata: String,
    engine: String,
    request_defaults: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct TargetRow {
    id: String,
    model_id: String,
    provider_id: String,
    upstream_model: String,
    weight: i64,
    input_price: Option<i64>,
    output_price: Option<i64>,
    cached_input_price: Option<i64>,
    request_price: Option<i64>,
}

/// By name: a column that a later version adds must not change what a statement returns that is prepared already.
const MODELS: &str = "SELECT id, name, enabled, operations, input_price, output_price, cached_input_price,
     request_price, max_output_tokens, context_tokens, created_at_unix_ms,
     revision, updated_at_unix_ms, description, metadata, engine, request_defaults FROM models";

pub(super) async fn load(tx: &mut Tx) -> Result<Vec<Model>, BuildError> {
    let rows: Vec<ModelRow> =
        fetch!(tx.conn(), conn => sqlx::query_as(MODELS).fetch_all(conn)).map_err(db::Error::from)?;
    let targets: Vec<TargetRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT id, model_id, provider_id, upstream_model, weight,
                 input_price, output_price, cached_input_price, request_price
             FROM model_targets ORDER BY model_id, position",
        )
        .fetch_all(conn)
    })
    .map_err(db::Error::from)?;
    let mut by_model: HashMap<String, Vec<ModelTarget>> = HashMap::new();
    for row in targets {
        by_model.entry(row.model_id.clone()).or_default().push(row.try_into()?);
    }
    let mut aliases = aliases(tx).await?;
    let whole = |row: ModelRow| {
        let targets = by_model.remove(&row.id).unwrap_or_default();
        let aliases = aliases.remove(&row.id).unwrap_or_default();
        Ok(Model { targets, aliases, ..row.try_into()? })
    };
    rows.into_iter().map(whole).collect()
}

/// By the models' ids, sorted.
async fn aliases(tx: &mut Tx) -> Result<HashMap<String, Vec<String>>, BuildError> {
    let rows: Vec<(String, String)> = fetch!(tx.conn(), conn => {
        sqlx::query_as("SELECT model_id, alias FROM model_aliases").fetch_all(conn)
    })
    .map_err(db::Error::from)?;
    let mut by_model: HashMap<String, Vec<String>> = HashMap::new();
    for (model_id, alias) in rows {
        by_model.entry(model_id).or_default().push(alias);
    }
    // Not by the database, whose order depends on its language.
    by_model.values_mut().for_each(|aliases| aliases.sort());
    Ok(by_model)
}

async fn put_aliases(tx: &mut Tx, model: &Model) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query("DELETE FROM model_aliases WHERE model_id = $1").bind(&model.id).execute(conn)
    })?;
    for alias in &model.aliases {
        execute!(tx.conn(), conn => {
            sqlx::query("INSERT INTO model_aliases (alias, model_id) VALUES ($1, $2)")
                .bind(alias)
                .bind(&model.id)
            .execute(conn)
        })?;
    }
    Ok(())
}

pub(super) async fn put(tx: &mut Tx, model: &Model, revision: u64) -> Result<(), sqlx::Error> {
    let price = model.price.unwrap_or_default();
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO models (id, name, enabled, operations, input_price, output_price, cached_input_price,
                 request_price, max_output_tokens, context_tokens, created_at_unix_ms, revision, updated_at_unix_ms,
                 description, metadata, engine, request_defaults)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, enabled = excluded.enabled,
                 operations = excluded.operations, input_price = excluded.input_price,
                 output_price = excluded.output_price, cached_input_price = excluded.cached_input_price,
                 request_price = excluded.request_price,
                 max_output_tokens = excluded.max_output_tokens, context_tokens = excluded.context_tokens,
                 revision = excluded.revision, updated_at_unix_ms = excluded.updated_at_unix_ms,
                 description = excluded.description, metadata = excluded.metadata,
                 engine = excluded.engine, request_defaults = excluded.request_defaults",
        )
        .bind(&model.id)
        .bind(&model.name)
        .bind(model.enabled)
        .bind(operations_text(model))
        .bind(price.input_nano_usd_per_1k_tokens)
        .bind(price.output_nano_usd_per_1k_tokens)
        .bind(price.cached_input_nano_usd_per_1k_tokens)
        .bind(price.request_nano_usd)
        .bind(i64::from(model.max_output_tokens))
        .bind(i64::from(model.context_tokens))
        .bind(unix_ms(model.create_time.as_ref()))
        .bind(signed(revision)?)
        .bind(unix_ms(model.update_time.as_ref()))
        .bind(&model.description)
        .bind(serde_json::json!(model.metadata).to_string())
        .bind(&model.engine)
        .bind(model.request_defaults.as_ref().map(RequestDefaults::encode_to_vec))
    .execute(conn)
    })?;
    put_aliases(tx, model).await?;
    remove_targets(tx, &model.id).await?;
    for (position, target) in (0_i64..).zip(&model.targets) {
        put_target(tx, &model.id, position, target).await?;
    }
    Ok(())
}

async fn put_target(
    tx: &mut Tx,
    model_id: &str,
    position: i64,
    target: &ModelTarget,
) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO model_targets (id, model_id, position, provider_id, upstream_model, weight,
                 input_price, output_price, cached_input_price, request_price)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(&target.id)
        .bind(model_id)
        .bind(position)
        .bind(&target.provider_id)
        .bind(&target.upstream_model)
        .bind(i64::from(target.weight))
        .bind(target.price.map(|price| price.input_nano_usd_per_1k_tokens))
        .bind(target.price.map(|price| price.output_nano_usd_per_1k_tokens))
        .bind(target.price.and_then(|price| price.cached_input_nano_usd_per_1k_tokens))
        .bind(target.price.and_then(|price| price.request_nano_usd))
    .execute(conn)
    })?;
    Ok(())
}

pub(super) async fn remove(tx: &mut Tx, id: &str) -> Result<(), sqlx::Error> {
    remove_targets(tx, id).await?;
    execute!(tx.conn(), conn => {
        sqlx::query("DELETE FROM models WHERE id = $1").bind(id).execute(conn)
    })?;
    Ok(())
}

async fn remove_targets(tx: &mut Tx, model_id: &str) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query("DELETE FROM model_targets WHERE model_id = $1").bind(model_id).execute(conn)
    })?;
    Ok(())
}

fn operations_text(model: &Model) -> String {
    let name = |operation| match operation {
        Operation::Embeddings => "embeddings",
        // Unspecified never gets here: it is refused.
        Operation::Chat | Operation::Unspecified => "chat",
    };
    model.operations().map(name).collect::<Vec<_>>().join(",")
}

fn operations(text: &str) -> Result<Vec<i32>, BuildError> {
    let number = |name| match name {
        "chat" => Ok(Operation::Chat.into()),
        "embeddings" => Ok(Operation::Embeddings.into()),
        other => Err(BuildError::Corrupt(format!("operation {other:?}"))),
    };
    text.split(',').map(number).collect()
}

fn request_defaults(encoded: &[u8]) -> Result<RequestDefaults, BuildError> {
    RequestDefaults::decode(encoded)
        .map_err(|cause| BuildError::Corrupt(format!("a model's request defaults: {cause}")))
}

impl TryFrom<ModelRow> for Model {
    type Error = BuildError;

    fn try_from(row: ModelRow) -> Result<Self, BuildError> {
        Ok(Self {
            operations: operations(&row.operations)?,
            id: row.id,
            name: row.name,
            enabled: row.enabled,
            price: Some(Price {
                input_nano_usd_per_1k_tokens: row.input_price,
                output_nano_usd_per_1k_tokens: row.output_price,
                cached_input_nano_usd_per_1k_tokens: row.cached_input_price,
                request_nano_usd: row.request_price,
            }),
            targets: Vec::new(),
            aliases: Vec::new(),
            description: row.description,
            metadata: serde_json::from_str(&row.metadata)
                .map_err(|cause| BuildError::Corrupt(format!("a model's metadata: {cause}")))?,
            max_output_tokens: unsigned(row.max_output_tokens)?,
            context_tokens: unsigned(row.context_tokens)?,
            engine: row.engine,
            request_defaults: row.request_defaults.as_deref().map(request_defaults).transpose()?,
            create_time: Some(timestamp(row.created_at_unix_ms)),
            update_time: Some(timestamp(row.updated_at_unix_ms.max(row.created_at_unix_ms))),
            etag: row.revision.to_string(),
        })
    }
}

impl TryFrom<TargetRow> for ModelTarget {
    type Error = BuildError;

    fn try_from(row: TargetRow) -> Result<Self, BuildError> {
        let price = row.input_price.zip(row.output_price).map(|(input, output)| Price {
            input_nano_usd_per_1k_tokens: input,
            output_nano_usd_per_1k_tokens: output,
            cached_input_nano_usd_per_1k_tokens: row.cached_input_price,
            request_nano_usd: row.request_price,
        });
        Ok(Self {
            id: row.id,
            provider_id: row.provider_id,
            upstream_model: row.upstream_model,
            weight: unsigned(row.weight)?,
            price,
        })
    }
}
