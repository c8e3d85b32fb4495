//! Who does something, from where and by which call: what the audit log tells of whoever it was.

use headgate_kit::origin::Origin;
use headgate_proto::common::v1 as pb;
use pb::author as told;
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

impl From<&Author> for pb::Author {
    fn from(author: &Author) -> Self {
        let Author { actor, origin, action } = author.clone();
        let actor = match actor {
            Actor::User(id) => Some(told::Actor::UserId(id)),
            Actor::Operator => Some(told::Actor::Operator(told::Operator {})),
            Actor::Service => Some(told::Actor::Service(told::Service {})),
            Actor::Anonymous => None,
        };
        let address = origin.address.map(|address| address.to_string()).unwrap_or_default();
        Self { actor, address, user_agent: origin.user_agent, request_id: origin.request_id, action }
    }
}

impl From<pb::Author> for Author {
    fn from(author: pb::Author) -> Self {
        let pb::Author { actor, address, user_agent, request_id, action } = author;
        let actor = match actor {
            Some(told::Actor::UserId(id)) => Actor::User(id),
            Some(told::Actor::Operator(_)) => Actor::Operator,
            Some(told::Actor::Service(_)) => Actor::Service,
            None => Actor::Anonymous,
        };
        Self { actor, origin: Origin { address: address.parse().ok(), user_agent, request_id }, action }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_service_tells_another_all_of_an_author() {
        let origin = Origin {
            address: Some([192, 0, 2, 1].into()),
            user_agent: "curl/8".into(),
            request_id: "req-1".into(),
        };
        let user = Actor::User("user_1".into());
        for (actor, origin) in [
            (user, origin.clone()),
            (Actor::Operator, origin),
            (Actor::Service, Origin::default()),
            (Actor::Anonymous, Origin::default()),
        ] {
            let author = Author { actor, origin, action: "auth.v1.ApiKeyService.CreateApiKey".into() };
            assert_eq!(Author::from(pb::Author::from(&author)), author);
        }
    }
}
