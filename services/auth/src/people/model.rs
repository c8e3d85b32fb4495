//! What the service knows of people, and how the contract shows it.

use headgate_proto::auth::v1::{self as proto, UserStatus};
use headgate_proto::common::v1::Role;
use headgate_proto::timestamp;

/// A user, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub id: String,
    /// In lower case.
    pub email: String,
    pub name: String,
    pub status: UserStatus,
    pub super_admin: bool,
    /// The issuer by whose groups they are. `None` where that was said by hand.
    pub super_admin_issuer: Option<String>,
    /// Access tokens of a smaller one are void.
    pub generation: u64,
    pub password: Option<PasswordHash>,
    /// The tenant whose owner gave them that, and which alone vouches for who they are. `None` where no doubt is.
    pub vouched_by: Option<String>,
    pub created_ms: i64,
    pub last_login_ms: Option<i64>,
    /// The change that last touched it. Set by the store.
    pub revision: i64,
}

/// An Argon2id hash in the PHC string form. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash(pub String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A membership, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub tenant_id: String,
    pub user_id: String,
    pub role: Role,
    pub created_ms: i64,
    /// The change that last touched it. Set by the store.
    pub revision: i64,
    /// The issuer by whose groups they have it. `None` where it was given by hand.
    pub issuer: Option<String>,
}

/// A login that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub id: String,
    pub user_id: String,
    pub created_ms: i64,
    pub expires_ms: i64,
    pub user_agent: String,
    pub address: String,
}

impl User {
    /// An active user without a password.
    pub(crate) fn new(id: String, email: String, name: String, now_ms: i64) -> Self {
        Self {
            id,
            email,
            name,
            status: UserStatus::Active,
            super_admin: false,
            super_admin_issuer: None,
            generation: 1,
            password: None,
            vouched_by: None,
            created_ms: now_ms,
            last_login_ms: None,
            revision: 0,
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == UserStatus::Active
    }

    pub(crate) fn to_proto(&self) -> proto::User {
        proto::User {
            id: self.id.clone(),
            email: self.email.clone(),
            name: self.name.clone(),
            status: self.status.into(),
            super_admin: self.super_admin,
            create_time: Some(timestamp(self.created_ms)),
            last_login_time: self.last_login_ms.map(timestamp),
            etag: self.revision.to_string(),
        }
    }
}

impl Membership {
    pub(crate) fn to_proto(&self, user: &User) -> proto::Membership {
        proto::Membership {
            tenant_id: self.tenant_id.clone(),
            user_id: self.user_id.clone(),
            role: self.role.into(),
            email: user.email.clone(),
            name: user.name.clone(),
            create_time: Some(timestamp(self.created_ms)),
            etag: self.revision.to_string(),
            issuer: self.issuer.clone().unwrap_or_default(),
        }
    }
}
