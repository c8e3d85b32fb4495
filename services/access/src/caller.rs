//! Who calls.

use headgate_kit::origin::Origin;
use headgate_proto::common::v1::Role;

use crate::author::{Actor, Author};
use crate::claims::Claims;
use crate::rights::Method;

/// Who made a call that the gate let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    who: Who,
    /// The role that the call takes.
    takes: Role,
    author: Author,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Who presents the operator token.
    Operator,
    /// Who logged in.
    User(Claims),
}

impl Caller {
    pub(crate) fn new(who: Who, method: &Method, origin: Origin) -> Self {
        let actor = match &who {
            Who::Operator => Actor::Operator,
            Who::User(claims) => Actor::User(claims.user_id.clone()),
        };
        let author = Author { actor, origin, action: method.action().to_owned() };
        Self { who, takes: method.role, author }
    }

    /// For the record: the user's id, or "operator".
    #[must_use]
    pub fn subject(&self) -> &str {
        self.user_id().unwrap_or("operator")
    }

    /// Who calls from where, and what, for the audit log.
    #[must_use]
    pub fn author(&self) -> &Author {
        &self.author
    }

    /// The user's id. `None` for the operator, who is nobody in particular.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.claims().map(|claims| claims.user_id.as_str())
    }

    /// The login session. `None` for the operator.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.claims().map(|claims| claims.session_id.as_str())
    }

    /// Whether the caller may do everything, in every tenant.
    #[must_use]
    pub fn is_super_admin(&self) -> bool {
        self.claims().is_none_or(|claims| claims.super_admin)
    }

    /// The caller's own role in a tenant. `None` for who does not belong to it, super admins too.
    #[must_use]
    pub fn role_in(&self, tenant_id: &str) -> Option<Role> {
        self.claims()?.tenants.get(tenant_id).copied()
    }

    /// Whether what belongs to this tenant is among what the call may show: the caller has the role in it that the call
    /// takes, or is a super admin.
    #[must_use]
    pub fn sees(&self, tenant_id: &str) -> bool {
        self.is_super_admin() || self.role_in(tenant_id).is_some_and(|role| role >= self.takes)
    }

    /// The role that the call takes.
    pub(crate) const fn takes(&self) -> Role {
        self.takes
    }

    const fn claims(&self) -> Option<&Claims> {
        match &self.who {
            Who::Operator => None,
            Who::User(claims) => Some(claims),
        }
    }
}
