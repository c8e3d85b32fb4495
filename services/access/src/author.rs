//! Who does something, from where and by which call: what the audit log tells of whoever it was.

use headgate_kit::origin::Origin;
use prost::Name;
use tonic::Request;

use crate::caller::Caller;
use crate::rights;

/// Whose doing something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: Actor,
    /// From where.
    pub origin: Origin,
    /// By what: the call, e.g. "auth.v1.TenantService.CreateTenant", or a word for what a service does by itself.
    pub action: String,
}

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user, by id.
    User(String),
    /// Who presents the operator token.
    Operator,
    /// The deployment itself.
    Service,
    /// Nobody knows who.
    Anonymous,
}

impl Author {
    /// Of what the deployment does by itself: "bootstrap", "upkeep".
    #[must_use]
    pub fn own(action: &str) -> Self {
        Self { actor: Actor::Service, origin: Origin::default(), action: action.to_owned() }
    }

    /// Of a call that answers anyone. Who it is may turn out in its course.
    #[must_use]
    pub fn anyone<M: Name>(request: &Request<M>) -> Self {
        let action = rights::of_request(&M::full_name()).map_or_else(M::full_name, |m| m.action().to_owned());
        Self { actor: Actor::Anonymous, origin: Origin::read(request.metadata().as_ref()), action }
    }

    /// The same doing, of a user who turned out to be its author.
    #[must_use]
    pub fn turned_out(self, user_id: &str) -> Self {
        Self { actor: Actor::User(user_id.to_owned()), ..self }
    }
}

impl From<&Caller> for Author {
    fn from(caller: &Caller) -> Self {
        caller.author().clone()
    }
}
