//! The gate: lets a call through, or says why not.

use std::sync::Arc;

use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::conn::Conn;
use headgate_kit::error::ErrorReason;
use headgate_kit::follow::follow;
use headgate_kit::identity::bearer;
use headgate_kit::origin::Origin;
use headgate_kit::tasks::Tasks;
use headgate_proto::auth::v1::access_watch_service_client::AccessWatchServiceClient;
use headgate_proto::auth::v1::{WatchAccessRequest, WatchAccessResponse};
use headgate_proto::common::v1::{Audience, Role};
use prost::Name;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::caller::{Caller, Who};
use crate::denial::{Denial, Denials};
use crate::rights::{self, Method};
use crate::role::role_name;
use crate::verify::{Refused, Verifier};

/// What every API key begins with.
const API_KEY: &str = "sk-";

/// Guards the calls that people and operators make. What a call takes, its request's type tells. Services of the
/// deployment have no right by being one.
///
/// Every check fails with UNAUTHENTICATED (MISSING_CREDENTIAL, INVALID_CREDENTIAL) for who presents nothing or nothing
/// good, with PERMISSION_DENIED for an API key, and with UNAVAILABLE while access tokens cannot be judged. Cheap to
/// clone; clones share what was heard of auth.
#[derive(Clone, Debug)]
pub struct Gate {
    operator: Arc<SecretString>,
    verifier: Verifier,
    denials: Denials,
}

impl Gate {
    /// One that knows the operator token, and no key of access tokens yet.
    #[must_use]
    pub fn new(operator_token: SecretString, clock: Clock) -> Self {
        let denials = Denials::default();
        Self { operator: Arc::new(operator_token), verifier: Verifier::new(clock), denials }
    }

    /// Has `listener` hear of what callers are kept from doing whom their credential makes known. It is called in the
    /// middle of a call, so it must not wait. One hears; a second does not.
    pub fn tell_denials(&self, listener: impl Fn(Denial) + Send + Sync + 'static) {
        self.denials.tell(listener);
    }

    /// Hears from auth who presents an access token, until the tasks are stopped.
    pub fn follow(&self, auth: Conn, tasks: &Tasks) {
        let client = AccessWatchServiceClient::new(auth);
        let open = move || {
            let mut client = client.clone();
            async move { client.watch_access(WatchAccessRequest {}).await }
        };
        let verifier = self.verifier.clone();
        follow(tasks, "access", open, move |message| verifier.apply(message));
    }

    /// Takes in what auth's watch says.
    pub fn apply(&self, message: WatchAccessResponse) {
        self.verifier.apply(message);
    }

    /// For calls about oneself, and for those of super admins.
    ///
    /// # Errors
    /// As every check; PERMISSION_DENIED for who has no right, and for the operator, who has no account, at calls about
    /// oneself.
    pub fn check<M: Name>(&self, request: &Request<M>) -> Result<Caller, Status> {
        Ok(self.check_one(&M::full_name(), request.metadata())?)
    }

    /// For calls about something of a tenant. `kind` names the thing, and `tenant_id` is its owner's id; `None` when
    /// there is no such thing.
    ///
    /// # Errors
    /// As every check; NOT_FOUND for something that does not exist and for something of a tenant that the caller does
    /// not belong to, PERMISSION_DENIED for who has too small a role in it.
    pub fn check_in<M: Name>(
        &self,
        request: &Request<M>,
        tenant_id: Option<&str>,
        kind: &str,
    ) -> Result<Caller, Status> {
        Ok(self.check_owned(&M::full_name(), request.metadata(), tenant_id, kind)?)
    }

    /// For calls about a tenant's things that name no tenant: whoever logged in may call, and the handler shows or does
    /// only what the caller [sees](Caller::sees).
    ///
    /// # Errors
    /// As every check.
    pub fn check_across<M: Name>(&self, request: &Request<M>) -> Result<Caller, Status> {
        Ok(self.check_some(&M::full_name(), request.metadata())?)
    }

    /// Whether the operator token is presented, for calls that answer anyone and operators more.
    #[must_use]
    pub fn is_operator<T>(&self, request: &Request<T>) -> bool {
        bearer(request.metadata()).is_some_and(|presented| self.knows_operator(presented))
    }

    fn knows_operator(&self, presented: &str) -> bool {
        presented.as_bytes().ct_eq(self.operator.expose_secret().as_bytes()).into()
    }

    fn check_one(&self, request: &str, metadata: &MetadataMap) -> Result<Caller, Failure> {
        let method = method(request, &[Audience::User, Audience::SuperAdmin])?;
        let caller = self.caller(method, metadata)?;
        let by_operator = caller.user_id().is_none();
        match method.audience {
            Audience::User if by_operator => {
                Err(denied("the operator token stands for nobody, log in instead"))
            }
            Audience::SuperAdmin if !caller.is_super_admin() => {
                self.denials.note(&caller, None, ErrorReason::PermissionDenied);
                Err(denied("this takes a super admin"))
            }
            _ => Ok(caller),
        }
    }

    fn check_owned(
        &self,
        request: &str,
        metadata: &MetadataMap,
        tenant_id: Option<&str>,
        kind: &str,
    ) -> Result<Caller, Failure> {
        let caller = self.check_some(request, metadata)?;
        let tenant_id = tenant_id.ok_or_else(|| Failure::no_such(kind))?;
        if caller.sees(tenant_id) {
            return Ok(caller);
        }
        let belongs = caller.role_in(tenant_id).is_some();
        let refusal = if belongs { too_small(caller.takes()) } else { Failure::no_such(kind) };
        self.denials.note(&caller, Some(tenant_id), refusal.reason);
        Err(refusal)
    }

    fn check_some(&self, request: &str, metadata: &MetadataMap) -> Result<Caller, Failure> {
        self.caller(method(request, &[Audience::Tenant])?, metadata)
    }

    fn caller(&self, method: &Method, metadata: &MetadataMap) -> Result<Caller, Failure> {
        Ok(Caller::new(self.who(metadata)?, method, Origin::read(metadata.as_ref())))
    }

    /// Who presents a credential.
    fn who(&self, metadata: &MetadataMap) -> Result<Who, Failure> {
        let Some(presented) = bearer(metadata) else {
            let message = "an access token or the operator token is required";
            return Err(Failure::new(ErrorReason::MissingCredential, message));
        };
        if self.knows_operator(presented) {
            return Ok(Who::Operator);
        }
        if presented.starts_with(API_KEY) {
            return Err(denied("API keys are for inference only; this takes an access token"));
        }
        match self.verifier.verify(presented) {
            Ok(claims) => Ok(Who::User(claims)),
            Err(refused @ Refused::Invalid) => {
                Err(Failure::new(ErrorReason::InvalidCredential, refused.to_string()))
            }
            Err(refused @ Refused::Unknowable) => Err(Failure::unavailable("auth", refused)),
        }
    }
}

/// The call that takes this request. Handlers that ask for another kind of call than theirs is refuse everyone.
fn method(request: &str, audiences: &[Audience]) -> Result<&'static Method, Failure> {
    let method = rights::of_request(request);
    let method = method.ok_or_else(|| Failure::internal(format!("no call takes {request}")))?;
    if audiences.contains(&method.audience) {
        return Ok(method);
    }
    Err(Failure::internal(format!("{} is guarded by the wrong check", method.name)))
}

fn denied(message: &str) -> Failure {
    Failure::new(ErrorReason::PermissionDenied, message)
}

fn too_small(takes: Role) -> Failure {
    let role = role_name(takes);
    denied(&format!("this takes the role {role} in the tenant")).with("role", role)
}

#[cfg(test)]
mod tests;
