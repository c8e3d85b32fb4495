//! Writing what the audit log tells of: people, and where they belong. It is told what was there before.

use headgate_audit::{Shown, Thing};
use headgate_kit::Failure;

use super::model::{Membership, User};
use super::store;
use crate::draft::Draft;

/// A user, as entries name them.
pub(super) fn thing(user_id: &str) -> Thing {
    Thing::common("user", user_id)
}

/// Writes a new user.
pub(super) async fn insert_user(draft: &mut Draft, user: &User) -> Result<(), Failure> {
    store::insert_user(draft.writing(), user).await?;
    draft.became(thing(&user.id), None, Some(Shown::of(&user.to_proto())?));
    Ok(())
}

/// Writes a user who changed. A new password is told of, too.
pub(super) async fn update_user(draft: &mut Draft, user: &User) -> Result<(), Failure> {
    let before = store::user(draft.reading(), &user.id).await?;
    store::update_user(draft.writing(), user).await?;
    if before.as_ref().is_some_and(|before| before.password != user.password) {
        draft.did(thing(&user.id));
    }
    let before = before.map(|user| Shown::of(&user.to_proto())).transpose()?;
    draft.became(thing(&user.id), before, Some(Shown::of(&user.to_proto())?));
    Ok(())
}

/// Writes a membership, new or changed.
pub(super) async fn put_membership(
    draft: &mut Draft,
    membership: &Membership,
    user: &User,
) -> Result<(), Failure> {
    let before = store::membership(draft.reading(), &membership.tenant_id, &membership.user_id).await?;
    store::put_membership(draft.writing(), membership).await?;
    let before = before.map(|before| Shown::of(&before.to_proto(user))).transpose()?;
    draft.became(place(membership), before, Some(Shown::of(&membership.to_proto(user))?));
    Ok(())
}

/// Ends a membership.
pub(super) async fn delete_membership(
    draft: &mut Draft,
    membership: &Membership,
    user: &User,
) -> Result<(), Failure> {
    store::delete_membership(draft.writing(), &membership.tenant_id, &membership.user_id).await?;
    draft.became(place(membership), Some(Shown::of(&membership.to_proto(user))?), None);
    Ok(())
}

fn place(membership: &Membership) -> Thing {
    let Membership { tenant_id, user_id, .. } = membership;
    Thing::of(tenant_id.as_str(), "membership", format!("{tenant_id}/{user_id}"))
}
