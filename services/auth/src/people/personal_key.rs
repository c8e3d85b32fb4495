//! API keys that people make for themselves.

use headgate_access::{Caller, role_name};
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::common::v1::Role;

use super::model::User;
use super::{People, store};
use crate::draft::Draft;
use crate::key_change;
use crate::model::Key;

/// The least role that has keys of its own.
const LEAST: Role = Role::Member;

impl People {
    /// Makes a key that is its user's own, if they may have one more.
    pub(crate) async fn create_personal_key(&self, by: &Caller, key: Key) -> Result<Key, Failure> {
        let most = self.config.personal_keys;
        if most == 0 {
            return Err(denied("API keys are made by administrators here"));
        }
        self.registry.draft(by, move |draft| Box::pin(create(draft, key, most))).await
    }
}

async fn create(draft: &mut Draft, key: Key, most: u32) -> Result<Key, Failure> {
    // Asked of the database, as the token may tell what was.
    let user = store::user(draft.reading(), &key.user_id).await?;
    let membership = store::membership(draft.reading(), &key.tenant_id, &key.user_id).await?;
    let is_member = membership.is_some_and(|membership| membership.role >= LEAST);
    if !is_member || !user.is_some_and(|user| user.is_active()) {
        let role = role_name(LEAST);
        let message = format!("API keys of one's own take the role {role} in the tenant");
        return Err(denied(&message).with("role", role));
    }
    let (batch, key) = {
        let (directory, now_ms) = (draft.directory(), draft.now_ms);
        let own = directory.personal_keys_after(&key.user_id, "");
        let left = own.filter(|own| own.tenant_id == key.tenant_id && own.is_left(now_ms)).count();
        if u32::try_from(left).is_ok_and(|left| left < most) {
            key_change::create(&directory, key)?
        } else {
            let message = format!("you have {most} API keys of your own in this tenant; revoke one first");
            return Err(Failure::new(ErrorReason::Conflict, message));
        }
    };
    draft.batch.keys.extend(batch.keys);
    Ok(key)
}

/// Brings a user's own keys to what the user may do now. Those of a tenant that they left end for good.
pub(super) async fn settle(draft: &mut Draft, user: &User) -> Result<(), Failure> {
    let own: Vec<Key> = draft.directory().personal_keys_after(&user.id, "").cloned().collect();
    if own.is_empty() {
        return Ok(());
    }
    let memberships = store::memberships_of_user(draft.reading(), &user.id).await?;
    let (now_ms, revision) = (draft.now_ms, draft.directory().next_revision());
    // What an earlier step of the same change made of them does not count.
    draft.batch.keys.retain(|key| own.iter().all(|own| own.id != key.id));
    for key in own.into_iter().filter(|key| key.revoked_ms.is_none()) {
        let membership = memberships.iter().find(|membership| membership.tenant_id == key.tenant_id);
        let settled = match membership {
            Some(membership) => {
                Key { owner_barred: !user.is_active() || membership.role < LEAST, ..key.clone() }
            }
            None => Key { revoked_ms: Some(now_ms), ..key.clone() },
        };
        if settled != key {
            draft.batch.keys.push(Key { revision, ..settled });
        }
    }
    Ok(())
}

fn denied(message: &str) -> Failure {
    Failure::new(ErrorReason::PermissionDenied, message)
}
