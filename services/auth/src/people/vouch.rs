//! Who vouches for a user.
//!
//! An owner may make users and give them passwords, under any e-mail address. Such a user is good in that tenant only:
//! who is added to another by that address must not be somebody else's invention.

use headgate_access::Caller;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;

use super::model::User;
use super::{log_out_and_update, store};
use crate::draft::Draft;

/// The tenant that vouches for a user whom `by` makes with a password there.
pub(super) fn vouched_by(by: &Caller, tenant_id: &str) -> Option<String> {
    (!by.is_super_admin()).then(|| tenant_id.to_owned())
}

/// Refuses to let a user join for whom another tenant vouches. A super admin who lets them confirms them thereby.
pub(super) fn confirm(by: &Caller, tenant_id: &str, user: &mut User) -> Result<(), Failure> {
    if by.is_super_admin() {
        user.vouched_by = None;
    }
    if user.vouched_by.as_ref().is_none_or(|vouching| vouching == tenant_id) {
        return Ok(());
    }
    Err(Failure::new(ErrorReason::Conflict, "a super admin must confirm this account first"))
}

/// Whether the caller may know who a user is: super admins everybody, others whom they share a tenant with.
pub(super) async fn knows(draft: &mut Draft, by: &Caller, user: &User) -> Result<bool, Failure> {
    if by.is_super_admin() {
        return Ok(true);
    }
    let theirs = store::memberships_of_user(draft.reading(), &user.id).await?;
    Ok(theirs.iter().any(|membership| by.role_in(&membership.tenant_id).is_some()))
}

/// Takes note that an account elsewhere proves who a user is. What somebody else may know of them is good no more.
pub(super) async fn proved(draft: &mut Draft, user: &mut User) -> Result<(), Failure> {
    if user.vouched_by.take().is_none() {
        return Ok(());
    }
    user.password = None;
    log_out_and_update(draft, user).await
}
