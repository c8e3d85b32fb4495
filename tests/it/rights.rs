//! The matrix of callers and calls, end to end: every call of the contract answers whom its option says.

mod call;
mod people;
mod things;

use std::time::Duration;

use headgate_access::{Audience, Method, methods};
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_tests::cluster::Headgate;
use headgate_tests::dynamic::service_of;
use headgate_tests::setup::{KEY, Setup, TENANT};
use headgate_tests::wait::eventually;
use tonic::transport::{Channel, Endpoint};

use call::{Answer, call};
use people::People;
use things::{About, Things, abouts};

/// How long a change may take to be heard of on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// A tenant that there is not.
const NONE: &str = "none";

/// Where calls go, and about what.
struct Setting {
    headgate: Headgate,
    things: Things,
}

impl Setting {
    async fn new() -> Self {
        let headgate = Headgate::start(&Setup::new()).await;
        let things = Things::make(&headgate).await;
        Self { headgate, things }
    }

    async fn channel(&self, method: &Method) -> Channel {
        let address = self.headgate.node(service_of(&method.name)).grpc();
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        endpoint.connect().await.expect("gRPC is served")
    }

    /// A call that is about nothing.
    async fn bare(&self, method: &Method, credential: Option<&str>) -> Answer {
        call(self.channel(method).await, credential, method, None).await
    }

    /// A call about something of a tenant; about something that does not exist for the tenant [`NONE`].
    async fn about(
        &self,
        (method, about): (&Method, About),
        tenant: &str,
        credential: Option<&str>,
    ) -> Answer {
        let said = self.things.of(about, tenant);
        let said = said.as_ref().map(|(field, value)| (*field, value.as_str()));
        call(self.channel(method).await, credential, method, said).await
    }

    /// A call about the first thing that it may be about.
    async fn about_or_bare(&self, method: &Method, token: &str) -> Answer {
        match method.audience {
            Audience::Tenant => self.about((method, abouts(method)[0]), TENANT, Some(token)).await,
            _ => self.bare(method, Some(token)).await,
        }
    }
}

fn reason(answer: &Answer) -> Option<ErrorReason> {
    answer.as_ref().err().map(|failure| failure.reason)
}

#[tokio::test]
async fn who_presents_nothing_good_is_answered_by_public_calls_only() {
    let setting = Setting::new().await;
    let strangers = [
        (None, ErrorReason::MissingCredential),
        (Some("guess"), ErrorReason::InvalidCredential),
        (Some("a.guessed.token"), ErrorReason::InvalidCredential),
        (Some(KEY), ErrorReason::PermissionDenied),
    ];
    for method in methods() {
        for (credential, refused) in strangers {
            let answer = setting.bare(method, credential).await;
            let expected = match method.audience {
                Audience::Public => {
                    let fault = [ErrorReason::Internal, ErrorReason::Unsupported];
                    let went_wrong = reason(&answer).is_some_and(|reason| fault.contains(&reason));
                    assert!(!went_wrong, "{credential:?} at {}: {answer:?}", method.name);
                    continue;
                }
                // Nothing that a client sends makes it a service.
                Audience::Peer => ErrorReason::MissingCredential,
                Audience::Consumer if credential == Some(KEY) => continue,
                _ => refused,
            };
            assert_eq!(reason(&answer), Some(expected), "{credential:?} at {}: {answer:?}", method.name);
        }
    }
}

fn calls(audience: Audience) -> impl Iterator<Item = &'static Method> {
    methods().iter().filter(move |method| method.audience == audience)
}

#[tokio::test]
async fn people_do_in_a_tenant_what_their_roles_allow() {
    let setting = Setting::new().await;
    let people = People::log_in(&setting.headgate).await;
    let operator = setting.headgate.operator_token();
    let calls = calls(Audience::Tenant);
    for (method, about) in
        calls.flat_map(|method| abouts(method).into_iter().map(move |about| (method, about)))
    {
        let name = &format!("{} about {about:?}", method.name);
        // What whoever may make it is told.
        let expected = setting.about((method, about), TENANT, Some(&operator)).await;
        let faults = [ErrorReason::Internal, ErrorReason::Unsupported, ErrorReason::Unavailable];
        assert!(reason(&expected).is_none_or(|reason| !faults.contains(&reason)), "{name}: {expected:?}");
        let ask = async |token: &str| settled(|| setting.about((method, about), TENANT, Some(token))).await;
        for (role, person) in &people.own {
            let answer = ask(&person.token).await;
            if *role >= method.role {
                assert_eq!(answer, expected, "{role:?} at {name}");
            } else {
                assert_eq!(reason(&answer), Some(ErrorReason::PermissionDenied), "{role:?} at {name}");
            }
        }
        assert_eq!(ask(&people.super_admin.token).await, expected, "a super admin at {name}");
        for outsider in [&people.neighbour, &people.stranger] {
            let seen = ask(&outsider.token).await;
            let none = setting.about((method, about), NONE, Some(&outsider.token)).await;
            assert_eq!(seen, none, "{name} tells that there is something");
            if setting.things.of(about, TENANT).is_some() {
                assert_eq!(reason(&seen), Some(ErrorReason::NotFound), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_of_no_tenant_is_for_those_it_names() {
    let setting = Setting::new().await;
    let people = People::log_in(&setting.headgate).await;
    let operator = setting.headgate.operator_token();
    for method in methods().iter().filter(|method| method.audience != Audience::Tenant) {
        let name = &method.name;
        let by_operator = setting.bare(method, Some(&operator)).await;
        for (who, person) in people.all() {
            // Not at public calls: one of them ends the session.
            let refused = match method.audience {
                Audience::Public => continue,
                Audience::Consumer => Some(ErrorReason::InvalidCredential),
                Audience::Peer => Some(ErrorReason::MissingCredential),
                Audience::SuperAdmin if who != "super admin" => Some(ErrorReason::PermissionDenied),
                _ => None,
            };
            let answer = settled(|| setting.bare(method, Some(&person.token))).await;
            match (refused, method.audience) {
                (Some(_), _) => assert_eq!(reason(&answer), refused, "{who} at {name}"),
                (None, Audience::SuperAdmin) => assert_eq!(answer, by_operator, "{who} at {name}"),
                (None, _) => assert!(
                    !matches!(reason(&answer), Some(ErrorReason::PermissionDenied | ErrorReason::Internal)),
                    "{who} at {name}: {answer:?}"
                ),
            }
        }
        let refused = match method.audience {
            Audience::User => Some(ErrorReason::PermissionDenied),
            Audience::Consumer => Some(ErrorReason::InvalidCredential),
            Audience::Peer => Some(ErrorReason::MissingCredential),
            _ => continue,
        };
        assert_eq!(reason(&by_operator), refused, "the operator at {name}");
    }
}

#[tokio::test]
async fn a_suspended_user_may_do_nothing_anywhere() {
    let setting = Setting::new().await;
    let people = People::log_in(&setting.headgate).await;
    let (_, owner) = people.own.last().expect("an owner");
    for method in calls(Audience::Tenant) {
        let answer = settled(|| setting.about_or_bare(method, &owner.token)).await;
        assert_ne!(reason(&answer), Some(ErrorReason::InvalidCredential), "{}", method.name);
    }
    people::suspend(&setting.headgate, owner).await;
    let refused = Some(ErrorReason::InvalidCredential);
    for method in calls(Audience::Tenant).chain(calls(Audience::SuperAdmin)).chain(calls(Audience::User)) {
        eventually(SOON, &format!("{} refuses", method.name), || async {
            let answer = setting.about_or_bare(method, &owner.token).await;
            (reason(&answer) == refused).then_some(())
        })
        .await;
    }
}

/// The answer of a service that has heard of auth.
async fn settled<F: Future<Output = Answer>>(ask: impl Fn() -> F) -> Answer {
    eventually(SOON, "a service that knows access tokens", || async {
        let answer = ask().await;
        let unheard = |failure: &Failure| {
            failure.reason == ErrorReason::Unavailable && failure.message.starts_with("auth ")
        };
        (!answer.as_ref().is_err_and(unheard)).then_some(answer)
    })
    .await
}
