//! The matrix of callers and calls: every call of the contract, with real tokens.

use headgate_proto::auth::v1::{GetTenantRequest, ListTenantsRequest};
use headgate_proto::catalog::v1::ListProvidersRequest;

use super::*;
use crate::methods;
use crate::testing::{Issuer, bearing};

const OPERATOR: &str = "the operator token";
const ROLES: [Role; 4] = [Role::Viewer, Role::Member, Role::Admin, Role::Owner];

struct Setting {
    gate: Gate,
    issuer: Issuer,
}

/// How a call went: whether it was let through, or why not.
type Answer = Result<(), ErrorReason>;

impl Setting {
    fn new() -> Self {
        let setting = Self::unheard();
        setting.gate.apply(setting.issuer.snapshot(Vec::new()));
        setting
    }

    fn unheard() -> Self {
        let clock = Clock::manual(1_700_000_000_000_000);
        Self { gate: Gate::new(OPERATOR.into(), clock.clone()), issuer: Issuer::new("one", clock) }
    }

    fn user(&self, tenants: &[(&str, Role)]) -> String {
        self.issuer.token("ada", tenants)
    }

    fn super_admin(&self) -> String {
        let mut claims = self.issuer.claims("root", &[]);
        claims.super_admin = true;
        self.issuer.sign(&claims)
    }

    /// At something of tenant `acme`.
    fn in_acme(&self, method: &Method, credential: Option<&str>) -> Answer {
        reason(self.gate.check_owned(&method.request, &presenting(credential), Some("acme"), "thing"))
    }

    fn in_none(&self, method: &Method, credential: Option<&str>) -> Answer {
        reason(self.gate.check_owned(&method.request, &presenting(credential), None, "thing"))
    }

    fn across(&self, method: &Method, credential: Option<&str>) -> Answer {
        reason(self.gate.check_some(&method.request, &presenting(credential)))
    }

    fn alone(&self, method: &Method, credential: Option<&str>) -> Answer {
        reason(self.gate.check_one(&method.request, &presenting(credential)))
    }
}

fn presenting(credential: Option<&str>) -> MetadataMap {
    credential.map(|credential| bearing((), credential).metadata().clone()).unwrap_or_default()
}

fn reason(checked: Result<Caller, Failure>) -> Answer {
    checked.map(drop).map_err(|failure| failure.reason)
}

fn calls(audience: Audience) -> impl Iterator<Item = &'static Method> {
    let found: Vec<_> = methods().iter().filter(|method| method.audience == audience).collect();
    assert!(!found.is_empty(), "no call answers {audience:?}");
    found.into_iter()
}

#[test]
fn nobody_and_impostors_pass_no_check() {
    let setting = Setting::new();
    let thief = Issuer::new("one", Clock::manual(1_700_000_000_000_000));
    let forged = thief.sign(&thief.claims("root", &[("acme", Role::Owner)]));
    let impostors = [
        (None, ErrorReason::MissingCredential),
        (Some("guess"), ErrorReason::InvalidCredential),
        (Some(""), ErrorReason::InvalidCredential),
        (Some("the operator"), ErrorReason::InvalidCredential),
        (Some("the operator token."), ErrorReason::InvalidCredential),
        (Some(forged.as_str()), ErrorReason::InvalidCredential),
        (Some("sk-acme.secret"), ErrorReason::PermissionDenied),
    ];
    for (credential, reason) in impostors {
        for method in calls(Audience::Tenant) {
            assert_eq!(setting.in_acme(method, credential), Err(reason), "{credential:?} at {}", method.name);
            assert_eq!(setting.in_none(method, credential), Err(reason), "{credential:?} at {}", method.name);
            assert_eq!(setting.across(method, credential), Err(reason), "{credential:?} at {}", method.name);
        }
        for method in calls(Audience::SuperAdmin) {
            assert_eq!(setting.alone(method, credential), Err(reason), "{credential:?} at {}", method.name);
        }
    }
}

#[test]
fn a_tenants_call_takes_its_role_in_that_tenant() {
    let setting = Setting::new();
    let stranger = setting.user(&[]);
    let neighbour = setting.user(&[("globex", Role::Owner), ("acme2", Role::Owner), ("ACME", Role::Owner)]);
    for method in calls(Audience::Tenant) {
        for role in ROLES {
            let enough = role as i32 >= method.role as i32;
            let answer = setting.in_acme(method, Some(&setting.user(&[("acme", role)])));
            let expected = if enough { Ok(()) } else { Err(ErrorReason::PermissionDenied) };
            assert_eq!(answer, expected, "{role:?} at {}", method.name);
        }
        for outsider in [&stranger, &neighbour] {
            assert_eq!(
                setting.in_acme(method, Some(outsider)),
                Err(ErrorReason::NotFound),
                "{}",
                method.name
            );
        }
        for all in [setting.super_admin(), OPERATOR.to_owned()] {
            assert_eq!(setting.in_acme(method, Some(&all)), Ok(()), "{}", method.name);
            assert_eq!(setting.in_none(method, Some(&all)), Err(ErrorReason::NotFound), "{}", method.name);
        }
    }
}

#[test]
fn a_super_admins_call_takes_a_super_admin() {
    let setting = Setting::new();
    for method in calls(Audience::SuperAdmin) {
        let owner = setting.user(&[("acme", Role::Owner)]);
        assert_eq!(
            setting.alone(method, Some(&owner)),
            Err(ErrorReason::PermissionDenied),
            "{}",
            method.name
        );
        for all in [setting.super_admin(), OPERATOR.to_owned()] {
            assert_eq!(setting.alone(method, Some(&all)), Ok(()), "{}", method.name);
        }
    }
}

/// Also the matrix of handlers: one that asks for another kind of call than its own is would answer nobody.
#[test]
fn the_wrong_check_lets_nobody_through() {
    let setting = Setting::new();
    for method in methods() {
        let (alone, owned) = match method.audience {
            Audience::Tenant => (false, true),
            Audience::User | Audience::SuperAdmin => (true, false),
            _ => (false, false),
        };
        let root = setting.super_admin();
        let wrong = Err(ErrorReason::Internal);
        if !alone {
            assert_eq!(setting.alone(method, Some(&root)), wrong, "{}", method.name);
        }
        if !owned {
            assert_eq!(setting.in_acme(method, Some(&root)), wrong, "{}", method.name);
            assert_eq!(setting.across(method, Some(&root)), wrong, "{}", method.name);
        }
    }
}

#[test]
fn a_strangers_answer_is_the_answer_for_what_does_not_exist() {
    let setting = Setting::new();
    let neighbour = setting.user(&[("globex", Role::Owner)]);
    let ask = |tenant_id| {
        let request = bearing(GetTenantRequest { id: "acme".into() }, &neighbour);
        let status = setting.gate.check_in(&request, tenant_id, "tenant").unwrap_err();
        (status.code(), status.message().to_owned(), status.details().to_vec())
    };
    assert_eq!(ask(Some("acme")), ask(None));
    assert_eq!(ask(None).1, "there is no such tenant");
}

#[test]
fn who_has_too_small_a_role_is_told_which_one_it_takes() {
    let setting = Setting::new();
    let viewer = setting.user(&[("acme", Role::Viewer)]);
    let method = calls(Audience::Tenant).find(|method| method.role == Role::Admin).unwrap();
    let metadata = presenting(Some(&viewer));
    let failure = setting.gate.check_owned(&method.request, &metadata, Some("acme"), "thing").unwrap_err();
    assert_eq!(
        (failure.message.as_str(), failure.metadata["role"].as_str()),
        ("this takes the role admin in the tenant", "admin")
    );
}

#[test]
fn a_list_shows_the_callers_own_tenants() {
    let setting = Setting::new();
    let own = [("acme", Role::Viewer), ("globex", Role::Owner)];
    let list = |credential: &str| {
        setting.gate.check_across(&bearing(ListTenantsRequest::default(), credential)).unwrap()
    };
    let caller = list(&setting.user(&own));
    assert!(caller.sees("acme") && caller.sees("globex") && !caller.sees("initech"));
    assert_eq!((caller.subject(), caller.session_id()), ("ada", Some("session-of-ada")));
    assert!(list(&setting.super_admin()).sees("initech") && list(OPERATOR).sees("initech"));
    assert_eq!(list(OPERATOR).subject(), "operator");
    let method = calls(Audience::Tenant).find(|method| method.role == Role::Admin).unwrap();
    let metadata = presenting(Some(&setting.user(&own)));
    let caller = setting.gate.check_some(&method.request, &metadata).unwrap();
    assert!(!caller.sees("acme") && caller.sees("globex"), "by the role that the call takes");
}

#[test]
fn what_known_callers_are_kept_from_is_told_and_nothing_else() {
    let setting = Setting::new();
    let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    setting.gate.tell_denials(move |denial| heard.lock().push(denial));
    let viewer = setting.user(&[("acme", Role::Viewer)]);
    let admins = calls(Audience::Tenant).find(|method| method.role == Role::Admin).unwrap();
    let supers = calls(Audience::SuperAdmin).next().unwrap();
    let neighbour = setting.user(&[("globex", Role::Owner)]);
    for unknown in [None, Some("guess"), Some("sk-acme.secret")] {
        setting.in_acme(admins, unknown).unwrap_err();
    }
    setting.in_none(admins, Some(&viewer)).unwrap_err();
    setting.in_acme(admins, Some(OPERATOR)).unwrap();
    assert_eq!(*told.lock(), [], "who is nobody, what is nothing, and what is allowed");
    setting.in_acme(admins, Some(&viewer)).unwrap_err();
    setting.in_acme(admins, Some(&neighbour)).unwrap_err();
    setting.alone(supers, Some(&viewer)).unwrap_err();
    let denials = std::mem::take(&mut *told.lock());
    let shown: Vec<_> = denials.iter().map(|d| (d.tenant_id.as_deref(), d.belongs, d.reason)).collect();
    let expected = [
        (Some("acme"), true, ErrorReason::PermissionDenied),
        (Some("acme"), false, ErrorReason::NotFound),
        (None, false, ErrorReason::PermissionDenied),
    ];
    assert_eq!(shown, expected);
    assert_eq!(denials[0].author.action, admins.action());
    assert_eq!(denials[2].author.actor, crate::Actor::User("ada".into()));
}

#[test]
fn tokens_wait_for_auth_and_the_operator_does_not() {
    let setting = Setting::unheard();
    let token = setting.super_admin();
    let ask = |credential: &str| {
        let checked = setting.gate.check(&bearing(ListProvidersRequest::default(), credential));
        checked.map(drop).map_err(|status| Failure::from_status(&status).reason)
    };
    assert_eq!(ask(&token), Err(ErrorReason::Unavailable));
    assert_eq!(ask(OPERATOR), Ok(()));
    setting.gate.apply(setting.issuer.snapshot(Vec::new()));
    assert_eq!(ask(&token), Ok(()));
}

#[test]
fn no_credential_is_shown() {
    let setting = Setting::new();
    assert!(!format!("{:?}", setting.gate).contains(OPERATOR));
    let token = setting.user(&[("acme", Role::Viewer)]);
    for credential in [token.as_str(), "guess-of-a-secret", "sk-acme.secret"] {
        let refused = setting.gate.check(&bearing(ListProvidersRequest::default(), credential)).unwrap_err();
        assert!(!format!("{refused:?}").contains(credential));
    }
}
