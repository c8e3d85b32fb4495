//! An admission that nobody uses is given back, and no other.

use std::sync::atomic::Ordering;

use futures_util::poll;
use headgate_kit::error::{ErrorReason, Failure};
use headgate_proto::budget::v1::admit_response::Outcome;
use headgate_proto::budget::v1::{AdmitResponse, Admitted, Refused, Replay};
use headgate_proto::inference::v1::InferenceServiceStub;
use tonic::{Response, Status};
use uuid::Uuid;

use super::ask::{question, request};
use super::world::World;
use crate::release::Pending;

#[tokio::test]
async fn a_consumer_who_hangs_up_while_admission_is_asked_leaves_nothing() {
    let world = World::new().await;
    world.peers.undecided.store(true, Ordering::Relaxed);
    let router = InferenceServiceStub::new(world.router.conn());
    let mut call = Box::pin(router.chat(request(question())));
    assert!(poll!(&mut call).is_pending());
    drop(call);
    let seen = std::mem::take(&mut *world.peers.seen.lock());
    let admitted = seen.admits[0].0.intent.as_ref().unwrap();
    assert_eq!(seen.releases.len(), 1);
    assert_eq!(seen.releases[0].lease_id, admitted.lease_id);
    assert_eq!(seen.releases[0].tenant_id, admitted.tenant_id);
    assert_eq!((seen.settles.len(), world.unread()), (0, 0), "it never ran");

    world.peers.undecided.store(false, Ordering::Relaxed);
    router.chat(request(question())).await.unwrap();
    let seen = world.peers.seen.lock();
    assert_eq!((seen.releases.len(), seen.settles.len()), (0, 1), "one that ran is settled");
}

#[tokio::test]
async fn only_an_answer_that_leaves_no_doubt_is_believed() {
    let world = World::new().await;
    let decided = |outcome| Ok(Response::new(AdmitResponse { outcome: Some(outcome), budget: None }));
    let said = Status::from(Failure::new(ErrorReason::Unavailable, "the counters are away"));
    let answers = [
        // The answer; whether it is given back, and whether it is where a call before broke off.
        (decided(Outcome::Admitted(Admitted::default())), false, false),
        (decided(Outcome::Refused(Refused::default())), false, true),
        (decided(Outcome::Replay(Replay::default())), false, true),
        (Err(said), false, true),
        (Err(Status::unavailable("the service went away")), true, true),
        (Err(Status::deadline_exceeded("the deadline passed")), true, true),
    ];
    for (answer, alone, after_another) in answers {
        for (breaks_off, released) in [(false, alone), (true, after_another)] {
            let mut pending = Pending::new(&world.router.0, Uuid::from_u128(7), "tenant_1");
            if breaks_off {
                pending.broke_off();
            }
            pending.answered(&answer);
            let releases = std::mem::take(&mut world.peers.seen.lock().releases);
            assert_eq!(releases.len(), usize::from(released), "{answer:?}, {breaks_off}");
        }
    }
}
