//! Table `model_prices`.

use std::collections::HashMap;

use headgate_kit::db::{self, Db, Tx};
use headgate_kit::{execute, fetch};
use headgate_proto::catalog::v1::{Model, ModelPrice, Price};
use headgate_proto::timestamp;
use prost::Message as _;

use super::{signed, unix_ms, unsigned};
use crate::BuildError;
use crate::price_list;

#[derive(sqlx::FromRow)]
struct Row {
    model_id: String,
    revision: i64,
    effective_from_unix_ms: i64,
    input_price: i64,
    output_price: i64,
    cached_input_price: Option<i64>,
    request_price: Option<i64>,
    target_prices: Vec<u8>,
}

/// What every model cost last.
const LATEST: &str = "SELECT p.model_id, p.revision, p.effective_from_unix_ms, p.input_price, p.output_price,
         p.cached_input_price, p.request_price, p.target_prices
     FROM model_prices p
     JOIN (SELECT model_id, MAX(revision) AS revision FROM model_prices GROUP BY model_id) l
         ON l.model_id = p.model_id AND l.revision = p.revision";

const OF_MODEL: &str = "SELECT model_id, revision, effective_from_unix_ms, input_price, output_price,
         cached_input_price, request_price, target_prices
     FROM model_prices WHERE model_id = $1 AND revision < $2 ORDER BY revision DESC LIMIT $3";

/// What a model cost before a revision, newest first.
pub(super) async fn list(
    db: &Db,
    model_id: &str,
    before: i64,
    rows: i64,
) -> Result<Vec<ModelPrice>, BuildError> {
    let rows: Vec<Row> = fetch!(db.read(), pool => {
        sqlx::query_as(OF_MODEL).bind(model_id).bind(before).bind(rows).fetch_all(pool)
    })
    .map_err(db::Error::from)?;
    rows.into_iter().map(TryFrom::try_from).collect()
}

/// What every model cost last, by its id.
pub(super) async fn latest(tx: &mut Tx) -> Result<HashMap<String, ModelPrice>, BuildError> {
    let rows: Vec<Row> =
        fetch!(tx.conn(), conn => sqlx::query_as(LATEST).fetch_all(conn)).map_err(db::Error::from)?;
    rows.into_iter().map(|row| Ok((row.model_id.clone(), row.try_into()?))).collect()
}

/// Notes what a model costs that costs something else than before.
pub(super) async fn note(tx: &mut Tx, model: &Model, revision: u64) -> Result<(), sqlx::Error> {
    let last: Option<Row> = fetch!(tx.conn(), conn => {
        sqlx::query_as(OF_MODEL).bind(&model.id).bind(i64::MAX).bind(1_i64).fetch_optional(conn)
    })?;
    // What cannot be read is as good as another price.
    let last = last.and_then(|row| ModelPrice::try_from(row).ok());
    if last.is_some_and(|last| price_list::is_of(&last, model)) {
        return Ok(());
    }
    put(tx, model, revision).await
}

/// Notes what a model costs.
pub(super) async fn put(tx: &mut Tx, model: &Model, revision: u64) -> Result<(), sqlx::Error> {
    let price = model.price.unwrap_or_default();
    let target_prices = ModelPrice { target_prices: price_list::of_targets(model), ..Default::default() };
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO model_prices (model_id, revision, effective_from_unix_ms, input_price, output_price,
                 cached_input_price, request_price, target_prices)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (model_id, revision) DO NOTHING",
        )
        .bind(&model.id)
        .bind(signed(revision)?)
        .bind(unix_ms(model.update_time.as_ref()))
        .bind(price.input_nano_usd_per_1k_tokens)
        .bind(price.output_nano_usd_per_1k_tokens)
        .bind(price.cached_input_nano_usd_per_1k_tokens)
        .bind(price.request_nano_usd)
        .bind(target_prices.encode_to_vec())
    .execute(conn)
    })?;
    Ok(())
}

impl TryFrom<Row> for ModelPrice {
    type Error = BuildError;

    fn try_from(row: Row) -> Result<Self, BuildError> {
        let targets = ModelPrice::decode(row.target_prices.as_slice());
        let targets = targets.map_err(|cause| BuildError::Corrupt(format!("prices of targets: {cause}")))?;
        Ok(Self {
            price: Some(Price {
                input_nano_usd_per_1k_tokens: row.input_price,
                output_nano_usd_per_1k_tokens: row.output_price,
                cached_input_nano_usd_per_1k_tokens: row.cached_input_price,
                request_nano_usd: row.request_price,
            }),
            target_prices: targets.target_prices,
            revision: unsigned(row.revision)?,
            effective_from: Some(timestamp(row.effective_from_unix_ms)),
            is_current: false,
        })
    }
}
