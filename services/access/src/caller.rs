//! Who calls.

use headgate_proto::common::v1::Role;

use crate::claims::Claims;

/// Who made a call that the gate let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    who: Who,
    /// The role that the call takes.
    takes: Role,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Who presents the operator token.
    Operator,
    /// Who logged in.
    User(Claims),
}

impl Caller {
    pub(crate) const fn new(who: Who, takes: Role) -> Self {
        Self { who, takes }
    }

    /// For the record: the user's id, or "operator".
    #[must_use]
    pub fn subject(&self) -> &str {
        self.user_id().unwrap_or("operator")
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
