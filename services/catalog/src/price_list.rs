//! All that a model costs, whoever runs it. Pure.

use headgate_proto::catalog::v1::{Model, ModelPrice, ModelTarget, TargetPrice};

/// The targets that have a price of their own, by id.
pub(crate) fn of_targets(model: &Model) -> Vec<TargetPrice> {
    let own = |target: &ModelTarget| {
        Some(TargetPrice {
            target_id: target.id.clone(),
            provider_id: target.provider_id.clone(),
            upstream_model: target.upstream_model.clone(),
            price: Some(target.price?),
        })
    };
    let mut prices: Vec<_> = model.targets.iter().filter_map(own).collect();
    prices.sort_by(|a, b| a.target_id.cmp(&b.target_id));
    prices
}

/// Whether this is what the model costs.
pub(crate) fn is_of(list: &ModelPrice, model: &Model) -> bool {
    list.price.unwrap_or_default() == model.price.unwrap_or_default()
        && list.target_prices == of_targets(model)
}
