//! Whom an account elsewhere lets in here, and what its groups let them do.

use std::collections::{BTreeMap, BTreeSet};

use headgate_access::role_named;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::common::v1::Role;

use super::person::Person;
use crate::config::{OidcProvider, RoleMapping};
use crate::draft::Draft;
use crate::people::membership::MAX_MEMBERSHIPS;
use crate::people::model::{Membership, User};
use crate::people::{store, user, void_and_update, vouch, written};

/// The user who may go on. `new_id` is that of one who is made.
pub(super) async fn admit(
    draft: &mut Draft,
    person: &Person,
    provider: &OidcProvider,
    new_id: String,
) -> Result<User, Failure> {
    if !person.is_of(&provider.email_domains) {
        return Err(refused("accounts with this e-mail address may not log in here"));
    }
    let known = store::user_of_identity(draft.reading(), &provider.issuer, &person.subject).await?;
    let mut user = match known {
        Some(id) => store::user(draft.reading(), &id).await?.ok_or_else(nobody)?,
        None => meet(draft, person, provider, new_id).await?,
    };
    if !user.is_active() {
        return Err(refused("the account is suspended here"));
    }
    follow_groups(draft, &mut user, person, provider).await?;
    Ok(user)
}

/// The user of an account that logs in for the first time.
async fn meet(
    draft: &mut Draft,
    person: &Person,
    provider: &OidcProvider,
    new_id: String,
) -> Result<User, Failure> {
    let policy = provider.first_login;
    if !policy.links() && !policy.creates() {
        return Err(nobody());
    }
    // What nobody vouches for may be somebody else's.
    let Some(email) = &person.email else {
        return Err(refused("the login provider does not vouch for an e-mail address of the account"));
    };
    let user = match store::user_with_email(draft.reading(), email).await? {
        Some(mut user) if policy.links() => {
            // Addresses are given to others in time: this is another person than the one who had it before.
            if store::has_identity(draft.reading(), &provider.issuer, &user.id).await? {
                return Err(refused("the user with this e-mail address has another account at the provider"));
            }
            vouch::proved(draft, &mut user).await?;
            user
        }
        Some(_) => {
            return Err(refused(
                "a user with the e-mail address of the account exists, who logs in otherwise",
            ));
        }
        None if policy.creates() => {
            let user = User::new(new_id, email.clone(), person.name.clone(), draft.now_ms);
            user::insert(draft, user).await?
        }
        None => return Err(nobody()),
    };
    let now_ms = draft.now_ms;
    let identity = (provider.issuer.as_str(), person.subject.as_str());
    store::insert_identity(draft.writing(), identity, &user.id, now_ms).await?;
    Ok(user)
}

/// Gives, changes and takes away what groups stand for, and nothing that was given otherwise.
async fn follow_groups(
    draft: &mut Draft,
    user: &mut User,
    person: &Person,
    provider: &OidcProvider,
) -> Result<(), Failure> {
    let issuer = Some(&provider.issuer);
    let mut wanted = roles(&person.groups, &provider.role_mappings);
    wanted.retain(|tenant_id, _| {
        let exists = draft.directory().tenant(tenant_id).is_some();
        if !exists {
            tracing::warn!(tenant_id, "auth.oidc maps a group to a tenant that does not exist");
        }
        exists
    });
    let (mut changed, mut count) = (false, 0);
    for mut membership in store::memberships_of_user(draft.reading(), &user.id).await? {
        let role = wanted.remove(&membership.tenant_id);
        if membership.issuer.as_ref() != issuer || role == Some(membership.role) {
            count += 1;
            continue;
        }
        changed = true;
        let Some(role) = role else {
            written::delete_membership(draft, &membership, user).await?;
            continue;
        };
        count += 1;
        (membership.role, membership.revision) = (role, draft.revision());
        written::put_membership(draft, &membership, user).await?;
    }
    for (tenant_id, role) in wanted {
        if count >= MAX_MEMBERSHIPS {
            tracing::warn!(user_id = user.id, "groups stand for more tenants than a user may belong to");
            break;
        }
        (changed, count) = (true, count + 1);
        let membership = Membership {
            tenant_id,
            user_id: user.id.clone(),
            role,
            created_ms: draft.now_ms,
            revision: draft.revision(),
            issuer: issuer.cloned(),
        };
        written::put_membership(draft, &membership, user).await?;
    }
    let rules = provider.super_admin_groups.iter().any(|group| person.groups.contains(group));
    if rules != user.super_admin && (rules || user.super_admin_issuer.as_ref() == issuer) {
        (user.super_admin, user.super_admin_issuer) = (rules, issuer.filter(|_| rules).cloned());
        changed = true;
    }
    if changed { void_and_update(draft, user).await } else { Ok(()) }
}

/// What groups stand for: the highest role in each tenant.
fn roles(groups: &BTreeSet<String>, mappings: &[RoleMapping]) -> BTreeMap<String, Role> {
    let mut roles = BTreeMap::new();
    for mapping in mappings.iter().filter(|mapping| groups.contains(&mapping.group)) {
        // Checked with the configuration.
        let Some(role) = role_named(&mapping.role) else { continue };
        let highest = roles.entry(mapping.tenant_id.clone()).or_insert(role);
        *highest = role.max(*highest);
    }
    roles
}

fn nobody() -> Failure {
    refused("nobody here has this account; an administrator can let its owner in")
}

pub(super) fn refused(why: &str) -> Failure {
    Failure::new(ErrorReason::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stand_for_the_highest_role_in_each_tenant() {
        let mapping = |group: &str, tenant_id: &str, role: &str| RoleMapping {
            group: group.into(),
            tenant_id: tenant_id.into(),
            role: role.into(),
        };
        let mappings = [
            mapping("dev", "a", "member"),
            mapping("lead", "a", "admin"),
            mapping("all", "a", "viewer"),
            mapping("all", "b", "viewer"),
            mapping("none", "c", "owner"),
        ];
        let groups = ["dev", "lead", "all", "other"].map(str::to_owned).into();
        let wanted = [("a".to_owned(), Role::Admin), ("b".to_owned(), Role::Viewer)];
        assert_eq!(roles(&groups, &mappings), wanted.into());
        assert!(roles(&BTreeSet::new(), &mappings).is_empty());
    }
}
