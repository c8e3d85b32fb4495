//! Two who change the same thing: one of them succeeds, the other is told what it is now.

use headgate_proto::catalog::v1::{
    DeleteModelRequest, DeleteProviderRequest, GetProviderRequest, UpdateModelRequest, UpdateProviderRequest,
};

use super::*;

on_both_engines!(
    of_two_changes_of_one_provider_one_succeeds,
    of_two_changes_of_one_model_one_succeeds,
    what_was_read_is_given_back_with_the_etag_in_it,
    an_etag_outlives_a_restart_and_never_comes_back,
    there_is_no_last_revision,
);

/// The etag that a refused change was told.
pub(super) fn present(refusal: Status) -> String {
    assert_eq!(refusal.code(), tonic::Code::Aborted);
    let failure = failure(refusal);
    assert_eq!(failure.reason, ErrorReason::Conflict);
    failure.metadata["etag"].clone()
}

fn rename(etag: &str, name: &str) -> UpdateProviderRequest {
    let (etag, name) = (etag.to_owned(), Some(name.to_owned()));
    UpdateProviderRequest { id: "p".into(), etag, name, ..Default::default() }
}

async fn of_two_changes_of_one_provider_one_succeeds(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let made = fixture.provider("p", "").await;
    let (mut one, mut other) = (fixture.providers(), fixture.providers());
    let both = tokio::join!(
        one.update_provider(rename(&made.etag, "one")),
        other.update_provider(rename(&made.etag, "other"))
    );
    let (changed, refusal) = match both {
        (Ok(changed), Err(refusal)) | (Err(refusal), Ok(changed)) => (changed, refusal),
        both => panic!("{both:?}"),
    };
    let changed = changed.into_inner().provider.unwrap();
    assert_eq!(present(refusal), changed.etag);
    let read = one.get_provider(GetProviderRequest { id: "p".into() }).await.unwrap().into_inner();
    assert_eq!(read.provider.as_ref(), Some(&changed));

    let delete = |etag: &str| DeleteProviderRequest { id: "p".into(), etag: etag.into() };
    let before = fixture.everything();
    assert_eq!(present(one.delete_provider(delete(&made.etag)).await.unwrap_err()), changed.etag);
    assert_eq!(fixture.everything(), before);
    one.delete_provider(delete(&changed.etag)).await.unwrap();
}

async fn of_two_changes_of_one_model_one_succeeds(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let made = fixture.model(chat_model("m", &[("p", "a")])).await.unwrap();
    let change = |tokens| {
        let model = Some(Model { max_output_tokens: tokens, ..made.clone() });
        UpdateModelRequest { model, etag: made.etag.clone() }
    };
    let (mut one, mut other) = (fixture.models(), fixture.models());
    let both = tokio::join!(one.update_model(change(1)), other.update_model(change(2)));
    let (changed, refusal) = match both {
        (Ok(changed), Err(refusal)) | (Err(refusal), Ok(changed)) => (changed, refusal),
        both => panic!("{both:?}"),
    };
    let changed = changed.into_inner().model.unwrap();
    assert_eq!(present(refusal), changed.etag);
    assert_eq!(fixture.everything().models, std::slice::from_ref(&changed));

    let delete = |etag: &str| DeleteModelRequest { name: "m".into(), etag: etag.into() };
    assert_eq!(present(one.delete_model(delete(&made.etag)).await.unwrap_err()), changed.etag);
    one.delete_model(delete(&changed.etag)).await.unwrap();
}

async fn what_was_read_is_given_back_with_the_etag_in_it(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    let read = fixture.model(chat_model("m", &[("p", "a")])).await.unwrap();
    let replace = async |given: &Model, tokens, etag: &str| {
        let model = Some(Model { max_output_tokens: tokens, ..given.clone() });
        let request = UpdateModelRequest { model, etag: etag.into() };
        fixture.models().update_model(request).await.map(|replaced| replaced.into_inner().model.unwrap())
    };
    let replaced = replace(&read, 1, "").await.unwrap();
    let before = fixture.everything();
    assert_eq!(present(replace(&read, 2, "").await.unwrap_err()), replaced.etag);
    assert_eq!(present(replace(&read, 2, &read.etag).await.unwrap_err()), replaced.etag);
    let refusal = replace(&read, 2, &replaced.etag).await.unwrap_err();
    assert_eq!(field(refusal), (ErrorReason::InvalidRequest, "etag".into()));
    assert_eq!(fixture.everything(), before);

    let replaced = replace(&replaced, 2, &replaced.etag).await.unwrap();
    let without = Model { etag: String::new(), ..replaced.clone() };
    let replaced = replace(&without, 3, &replaced.etag).await.unwrap();
    assert_eq!(replace(&without, 4, "").await.unwrap().max_output_tokens, 4, "whatever it was");
    assert_eq!(present(replace(&replaced, 5, "").await.unwrap_err()), fixture.everything().models[0].etag);
}

async fn there_is_no_last_revision(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    fixture.provider("p", "").await;
    drop(fixture);
    db.run("catalog", "UPDATE meta SET revision = 9223372036854775806").await;
    let fixture = Fixture::start(&db).await;
    let last = fixture.providers().update_provider(rename("", "last")).await.unwrap().into_inner();
    assert_eq!(last.provider.as_ref().unwrap().etag, i64::MAX.to_string());
    // Another change would have the etag of this one.
    let before = fixture.everything();
    let refusal = fixture.providers().update_provider(rename("", "other")).await.unwrap_err();
    assert_eq!(failure(refusal).reason, ErrorReason::Internal);
    assert_eq!(fixture.everything(), before);
    drop(fixture);
    assert_eq!(Fixture::start(&db).await.everything(), before);
}

async fn an_etag_outlives_a_restart_and_never_comes_back(db: TestDb) {
    let fixture = Fixture::start(&db).await;
    let made = fixture.provider("p", "").await;
    drop(fixture);
    let fixture = Fixture::start(&db).await;
    let mut providers = fixture.providers();
    providers.update_provider(rename(&made.etag, "other")).await.unwrap();
    // As it was, but not the same.
    let back = providers.update_provider(rename("", "p")).await.unwrap().into_inner().provider.unwrap();
    assert_eq!(present(providers.update_provider(rename(&made.etag, "q")).await.unwrap_err()), back.etag);
}
