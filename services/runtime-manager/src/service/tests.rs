use std::path::Path;

use headgate_kit::clock::Clock;

use super::*;
use crate::testing::llama;
use crate::{Config, Deps, RuntimeManager};

async fn api(data_dir: &Path, models_dir: Option<&Path>) -> LocalModelApi {
    let deps = Deps { data_dir: data_dir.to_owned(), gate: Gate::new("op-token".into(), Clock::manual(0)) };
    let config = Config { models_dir: models_dir.map(Path::to_owned) };
    RuntimeManager::build(config, deps).await.unwrap().api
}

async fn list(
    api: &LocalModelApi,
    page_size: u32,
    page_token: &str,
) -> Result<ListLocalModelsResponse, Failure> {
    let mut request = Request::new(ListLocalModelsRequest { page_size, page_token: page_token.into() });
    request.metadata_mut().insert("authorization", "Bearer op-token".parse().unwrap());
    let answer = api.list_local_models(request).await;
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status))
}

#[tokio::test]
async fn pages_hold_every_model_once_though_files_come_and_go() {
    let data = tempfile::tempdir().unwrap();
    let models = data.path().join("models");
    std::fs::create_dir(&models).unwrap();
    // Two of them share a name, so names alone could not tell where a page ended.
    let files = ["a.gguf", "b-00001-of-00002.gguf", "b.GGUF", "b.gguf", "c/x.gguf", "d.gguf", "e.gguf"];
    std::fs::create_dir(models.join("c")).unwrap();
    for file in files {
        std::fs::write(models.join(file), llama().bytes()).unwrap();
    }
    let api = api(data.path(), None).await;
    for size in 1..=8 {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = list(&api, size, &token).await.unwrap();
            seen.extend(page.models.into_iter().flat_map(|m| m.files));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, files, "pages of {size}");
    }
    let first = list(&api, 2, "").await.unwrap();
    std::fs::remove_file(models.join("b-00001-of-00002.gguf")).unwrap();
    std::fs::write(models.join("0.gguf"), "").unwrap();
    let second = list(&api, 2, &first.next_page_token).await.unwrap();
    assert_eq!(second.models[0].files, ["b.GGUF"]);
}

#[tokio::test]
async fn without_a_folder_it_is_unavailable_until_there_is_one() {
    let data = tempfile::tempdir().unwrap();
    let default = api(data.path(), None).await;
    let failure = list(&default, 0, "").await.unwrap_err();
    assert_eq!(failure.reason, ErrorReason::Unavailable);
    assert_eq!(failure.message, "no model folder is configured");
    let away = api(data.path(), Some(Path::new("/nonexistent/models"))).await;
    assert_eq!(list(&away, 0, "").await.unwrap_err().reason, ErrorReason::Unavailable);
    std::fs::create_dir(data.path().join("models")).unwrap();
    assert_eq!(list(&default, 0, "").await.unwrap(), ListLocalModelsResponse::default());
}

#[tokio::test]
async fn bad_values_and_strangers_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let api = api(data.path(), Some(data.path())).await;
    let failure = list(&api, 1001, "").await.unwrap_err();
    assert_eq!(failure.reason, ErrorReason::InvalidRequest);
    assert_eq!(failure.metadata["field"], "page_size");
    let stranger = api.list_local_models(Request::new(ListLocalModelsRequest::default())).await;
    assert_eq!(Failure::from_status(&stranger.unwrap_err()).reason, ErrorReason::MissingCredential);
}
