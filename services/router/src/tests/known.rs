//! Whether auth is asked for a key that nobody heard of.

use headgate_proto::inference::v1::{InferenceServiceStub, ListModelsRequest};
use tonic::Code;

use super::peers::KEY;
use super::world::World;

#[tokio::test]
async fn only_keys_known_already_are_let_in_where_too_many_were_none() {
    let world = World::new().await;
    let router = InferenceServiceStub::new(world.router.conn());
    let list = async |key: &str, known_only: bool| {
        let mut request = tonic::Request::new(ListModelsRequest::default());
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        if known_only {
            request.metadata_mut().insert("x-headgate-known-only", "1".parse().unwrap());
        }
        router.list_models(request).await.map(drop).map_err(|status| status.code())
    };
    // Auth finds every key good that it is asked for.
    assert_eq!(list("sk-unheard.of", false).await, Ok(()));
    assert_eq!(list("sk-unheard.of", true).await, Err(Code::Unauthenticated));
    assert_eq!(list(KEY, true).await, Ok(()));
    assert_eq!(list("sk-demo.new", true).await, Err(Code::Unauthenticated));
    assert_eq!(list("sk-demo.new", false).await, Ok(()), "it may have been rotated just now");
}
