//! What models cost, and when.

use std::time::Duration;

use headgate_proto::catalog::v1::{
    DeleteModelRequest, ListModelPricesRequest, ListModelPricesResponse, ModelPrice, PatchModelRequest,
    TargetPrice, UpdateModelRequest,
};

use super::*;

on_both_engines!(
    a_price_that_is_followed_by_another_stays_in_the_history,
    what_a_target_costs_is_in_the_history_too,
    the_history_is_read_in_pages_and_outlives_its_model,
    what_models_cost_before_there_was_a_history_begins_it,
    a_price_that_another_version_set_is_noted,
);

impl Fixture {
    async fn page(&self, model: &str, size: u32, token: &str) -> Result<ListModelPricesResponse, Status> {
        let request =
            ListModelPricesRequest { model: model.into(), page_size: size, page_token: token.into() };
        self.prices().list_model_prices(request).await.map(tonic::Response::into_inner)
    }

    async fn history(&self, model: &str) -> Vec<ModelPrice> {
        self.page(model, 0, "").await.unwrap().prices
    }

    /// Sets what the prompt's tokens cost, a second later.
    async fn reprice(&self, model: &str, nano: i64) -> Model {
        self.clock.advance(Duration::from_secs(1));
        let request =
            PatchModelRequest { name: model.into(), price: Some(by_input(nano)), ..Default::default() };
        self.models().patch_model(request).await.unwrap().into_inner().model.unwrap()
    }

    async fn delete(&self, model: &str) {
        let request = DeleteModelRequest { name: model.into(), etag: String::new() };
        self.models().delete_model(request).await.unwrap();
    }
}

fn by_input(nano: i64) -> Price {
    Price { input_nano_usd_per_1k_tokens: nano, ..Default::default() }
}

fn of(model: &Model, is_current: bool) -> ModelPrice {
    ModelPrice {
        price: model.price,
        target_prices: Vec::new(),
        revision: model.etag.parse().unwrap(),
        effective_from: model.update_time,
        is_current,
    }
}

fn inputs(prices: &[ModelPrice]) -> Vec<i64> {
    prices.iter().map(|row| row.price.unwrap().input_nano_usd_per_1k_tokens).collect()
}

async fn a_price_that_is_followed_by_another_stays_in_the_history(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let first = fixture.model(chat_model("org/m", &[("p", "a")])).await.unwrap();
    let request =
        PatchModelRequest { name: "org/m".into(), description: Some("x".into()), ..Default::default() };
    fixture.models().patch_model(request).await.unwrap();
    assert_eq!(fixture.history("org/m").await, [of(&first, true)], "it costs the same");
    let second = fixture.reprice("org/m", 7).await;
    assert_eq!(fixture.history("org/m").await, [of(&second, true), of(&first, false)]);
    // The same price again is another time of it.
    let third = fixture.reprice("org/m", 150_000).await;
    assert_eq!(third.price, first.price);
    let all = [of(&third, true), of(&second, false), of(&first, false)];
    assert_eq!(fixture.history(&first.id).await, all);
    drop(fixture);
    assert_eq!(Fixture::start(&db).await.history("org/m").await, all, "a restart adds nothing");
}

async fn what_a_target_costs_is_in_the_history_too(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let mut model = chat_model("m", &[("p", "a"), ("p", "b")]);
    model.targets[1].price = Some(by_input(3));
    let made = fixture.model(model).await.unwrap();
    let own = |price| TargetPrice {
        target_id: made.targets[1].id.clone(),
        provider_id: "p".into(),
        upstream_model: "b".into(),
        price: Some(price),
    };
    let first = ModelPrice { target_prices: vec![own(by_input(3))], ..of(&made, true) };
    assert_eq!(fixture.history("m").await, std::slice::from_ref(&first));
    let update = async |price| {
        let mut model = made.clone();
        // In another order, which is no other price.
        model.targets.reverse();
        model.targets[0].price = price;
        model.etag.clear();
        let request = UpdateModelRequest { model: Some(model), etag: String::new() };
        fixture.models().update_model(request).await.unwrap().into_inner().model.unwrap()
    };
    update(Some(by_input(3))).await;
    assert_eq!(fixture.history("m").await.len(), 1);
    let dearer = Price { request_nano_usd: Some(0), ..by_input(4) };
    let second = update(Some(dearer)).await;
    let second = ModelPrice { target_prices: vec![own(dearer)], ..of(&second, false) };
    let third = of(&update(None).await, true);
    let first = ModelPrice { is_current: false, ..first };
    assert_eq!(fixture.history("m").await, [third, second, first]);
}

async fn the_history_is_read_in_pages_and_outlives_its_model(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let made = fixture.model(chat_model("m", &[("p", "a")])).await.unwrap();
    for nano in 1..=3 {
        fixture.reprice("m", nano).await;
    }
    let newest = fixture.page("m", 3, "").await.unwrap();
    assert_eq!(inputs(&newest.prices), [3, 2, 1]);
    let oldest = fixture.page("m", 3, &newest.next_page_token).await.unwrap();
    assert_eq!((oldest.prices, oldest.next_page_token.as_str()), (vec![of(&made, false)], ""));
    // "eA" is what a list of names would have returned.
    for token in ["eA", "-"] {
        let refusal = fixture.page("m", 0, token).await.unwrap_err();
        assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "page_token".into()));
    }
    assert_eq!(failure(fixture.page("none", 0, "").await.unwrap_err()).reason, ErrorReason::NotFound);

    fixture.delete("m").await;
    assert_eq!(failure(fixture.page("m", 0, "").await.unwrap_err()).reason, ErrorReason::NotFound);
    let prices = fixture.history(&made.id).await;
    assert_eq!(inputs(&prices), [3, 2, 1, 150_000]);
    assert!(prices.iter().all(|price| !price.is_current));
    fixture.model(chat_model("m", &[("p", "a")])).await.unwrap();
    assert_eq!(fixture.history("m").await.len(), 1, "another model of this name has another history");
}

async fn what_models_cost_before_there_was_a_history_begins_it(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let mut dear = chat_model("dear", &[("p", "a")]);
    dear.targets[0].price = Some(by_input(9));
    fixture.model(dear).await.unwrap();
    fixture.model(chat_model("m", &[("p", "a")])).await.unwrap();
    let (before, dear, m) = (fixture.everything(), fixture.history("dear").await, fixture.history("m").await);
    drop(fixture);
    db.run("catalog", "DELETE FROM model_prices").await;
    let fixture = Fixture::start(&db).await;
    assert_eq!((fixture.history("dear").await, fixture.history("m").await), (dear, m));
    assert_eq!(fixture.everything(), before, "that is no change of the catalog");
}

async fn a_price_that_another_version_set_is_noted(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let made = fixture.model(chat_model("m", &[("p", "a")])).await.unwrap();
    // As an earlier version does, which knows of no history.
    let set = async |nano: i64| {
        let model =
            format!("UPDATE models SET input_price = {nano}, revision = (SELECT revision + 1 FROM meta)");
        db.run("catalog", &model).await;
        db.run("catalog", "UPDATE meta SET revision = revision + 1").await;
    };
    set(1).await;
    fixture.reprice("m", 2).await;
    assert_eq!(inputs(&fixture.history("m").await), [2, 1, 150_000]);
    set(3).await;
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    let prices = fixture.history("m").await;
    assert_eq!((inputs(&prices), prices[0].is_current), (vec![3, 2, 1, 150_000], true));
    set(4).await;
    fixture.delete("m").await;
    assert_eq!(inputs(&fixture.history(&made.id).await), [4, 3, 2, 1, 150_000]);
}
