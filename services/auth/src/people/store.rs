//! People on disk. Every function runs in a transaction, its caller's.

mod memberships;
mod oidc;
mod resets;
mod sessions;
mod users;

pub(crate) use memberships::{
    delete_membership, membership, memberships_of_tenant, memberships_of_user, owners, put_membership,
};
pub(crate) use oidc::{
    Handle, Pending, has_identity, insert_identity, insert_login, take_login, user_of_identity,
};
pub(crate) use resets::{is_reset, put_reset, take_reset};
pub(crate) use sessions::{
    Rotated, any_expired, delete_expired, delete_session, delete_sessions_of, insert_session, insert_token,
    rotate, session, session_of_token,
};
pub(crate) use users::{
    any_user, find_users, insert_user, list_users, logged_in, super_admins, update_user, user,
    user_with_email,
};

use headgate_kit::Failure;

/// What the database answers where it does not.
pub(crate) fn away(cause: sqlx::Error) -> Failure {
    Failure::unavailable("the user store", cause)
}
