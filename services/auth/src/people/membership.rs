//! Who belongs to which tenant.

use headgate_access::Caller;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::page::Page;
use headgate_proto::common::v1::Role;
use secrecy::{ExposeSecret as _, SecretString};

use super::model::{Membership, User};
use super::{People, check_etag, email, store, void_and_update, vouch, written};
use crate::draft::Draft;

/// How many tenants one belongs to at most: an access token names them all, and a cookie must hold it.
pub(super) const MAX_MEMBERSHIPS: usize = 32;

/// A membership, as asked for.
pub(crate) struct NewMember {
    pub tenant_id: String,
    pub user_id: String,
    pub email: String,
    pub name: String,
    pub password: SecretString,
    pub role: Role,
}

/// Whom to make a member.
enum Whom {
    Id(String),
    /// Written if there is nobody with that address.
    Address {
        user: User,
        with_password: bool,
    },
}

impl People {
    pub(crate) async fn create_membership(
        &self,
        by: &Caller,
        new: NewMember,
    ) -> Result<(Membership, User), Failure> {
        let with_password = !new.password.expose_secret().is_empty();
        let whom = match (new.user_id.is_empty(), new.email.is_empty()) {
            (false, true) if with_password || !new.name.is_empty() => {
                let field = if with_password { "password" } else { "name" };
                return Err(Failure::invalid(field, format!("{field} is for a user who is made, by email")));
            }
            (false, true) => Whom::Id(new.user_id),
            (true, false) => {
                // Before the work of hashing: most are known.
                let address = email::login("email", &new.email)?;
                let known = store::user_with_email(&mut self.reading().await?, &address).await?;
                if known.is_some() && with_password {
                    return Err(has_password());
                }
                let mut user = self.draw_up("email", &new.email, new.name, new.password).await?;
                if with_password {
                    user.vouched_by = vouch::vouched_by(by, &new.tenant_id);
                }
                Whom::Address { user, with_password }
            }
            _ => return Err(Failure::invalid("user_id", "either user_id or email is required")),
        };
        let (tenant_id, role) = (new.tenant_id, new.role);
        let caller = by.clone();
        let work = async move |draft: &mut Draft| create(draft, &caller, tenant_id, whom, role).await;
        self.registry.draft(by, move |draft| Box::pin(async move { work(draft).await })).await
    }

    /// A page of a tenant's memberships by user, and the token of the next one.
    pub(crate) async fn list_memberships(
        &self,
        tenant_id: &str,
        page: &Page,
    ) -> Result<(Vec<(Membership, User)>, String), Failure> {
        let mut tx = self.reading().await?;
        let rows = store::memberships_of_tenant(&mut tx, tenant_id, (&page.after, page.rows())).await?;
        let (rows, token) = page.cut(rows.into_iter(), |membership| &membership.user_id);
        let mut members = Vec::with_capacity(rows.len());
        for membership in rows {
            // The database keeps a membership from being without its user.
            let user = store::user(&mut tx, &membership.user_id).await?;
            members.extend(user.map(|user| (membership, user)));
        }
        Ok((members, token))
    }

    /// Changes a role. A super admin may let a tenant lose its last owner.
    pub(crate) async fn update_membership(
        &self,
        by: &Caller,
        (tenant_id, user_id): (String, String),
        role: Role,
        etag: String,
    ) -> Result<(Membership, User), Failure> {
        let by_super = by.is_super_admin();
        let work = async move |draft: &mut Draft| {
            let (mut membership, mut user) = find(draft, &tenant_id, &user_id, &etag).await?;
            if membership.role == role {
                return Ok((membership, user));
            }
            keep_an_owner(draft, &membership, by_super).await?;
            membership.role = role;
            // From now on it is what was said by hand.
            membership.issuer = None;
            membership.revision = draft.revision();
            written::put_membership(draft, &membership, &user).await?;
            void_and_update(draft, &mut user).await?;
            Ok((membership, user))
        };
        self.registry.draft(by, move |draft| Box::pin(async move { work(draft).await })).await
    }

    /// Ends a membership. A super admin may let a tenant lose its last owner.
    pub(crate) async fn delete_membership(
        &self,
        by: &Caller,
        (tenant_id, user_id): (String, String),
        etag: String,
    ) -> Result<(), Failure> {
        let by_super = by.is_super_admin();
        let work = async move |draft: &mut Draft| {
            let (membership, mut user) = find(draft, &tenant_id, &user_id, &etag).await?;
            keep_an_owner(draft, &membership, by_super).await?;
            written::delete_membership(draft, &membership, &user).await?;
            void_and_update(draft, &mut user).await
        };
        self.registry.draft(by, move |draft| Box::pin(async move { work(draft).await })).await
    }
}

async fn create(
    draft: &mut Draft,
    by: &Caller,
    tenant_id: String,
    whom: Whom,
    role: Role,
) -> Result<(Membership, User), Failure> {
    if draft.directory().tenant(&tenant_id).is_none() {
        return Err(Failure::no_such("tenant"));
    }
    let mut user = match whom {
        Whom::Id(id) => {
            let nobody = || Failure::no_such("user");
            let user = store::user(draft.reading(), &id).await?.ok_or_else(nobody)?;
            // The answer tells who they are.
            if vouch::knows(draft, by, &user).await? { user } else { return Err(nobody()) }
        }
        Whom::Address { user, with_password } => {
            match store::user_with_email(draft.reading(), &user.email).await? {
                Some(_) if with_password => return Err(has_password()),
                Some(known) => known,
                None => super::user::insert(draft, user).await?,
            }
        }
    };
    if store::membership(draft.reading(), &tenant_id, &user.id).await?.is_some() {
        let message = "the user belongs to the tenant already";
        return Err(Failure::new(ErrorReason::AlreadyExists, message));
    }
    vouch::confirm(by, &tenant_id, &mut user)?;
    let membership = join(draft, tenant_id, &mut user, role).await?;
    Ok((membership, user))
}

/// Makes a user a member, who is none yet.
pub(super) async fn join(
    draft: &mut Draft,
    tenant_id: String,
    user: &mut User,
    role: Role,
) -> Result<Membership, Failure> {
    if store::memberships_of_user(draft.reading(), &user.id).await?.len() >= MAX_MEMBERSHIPS {
        let message = format!("a user belongs to {MAX_MEMBERSHIPS} tenants at most");
        return Err(Failure::invalid("user_id", message));
    }
    let membership = Membership {
        tenant_id,
        user_id: user.id.clone(),
        role,
        created_ms: draft.now_ms,
        revision: draft.revision(),
        issuer: None,
    };
    written::put_membership(draft, &membership, user).await?;
    void_and_update(draft, user).await?;
    Ok(membership)
}

async fn find(
    draft: &mut Draft,
    tenant_id: &str,
    user_id: &str,
    etag: &str,
) -> Result<(Membership, User), Failure> {
    let membership = store::membership(draft.reading(), tenant_id, user_id).await?;
    let user = store::user(draft.reading(), user_id).await?;
    let (membership, user) = membership.zip(user).ok_or_else(|| Failure::no_such("membership"))?;
    check_etag(etag, membership.revision)?;
    Ok((membership, user))
}

/// Refuses to take the last owner away.
async fn keep_an_owner(draft: &mut Draft, membership: &Membership, by_super: bool) -> Result<(), Failure> {
    let is_owner = membership.role == Role::Owner;
    if !is_owner || by_super || store::owners(draft.reading(), &membership.tenant_id).await? > 1 {
        return Ok(());
    }
    Err(Failure::new(ErrorReason::Conflict, "the tenant would be left without an owner"))
}

fn has_password() -> Failure {
    Failure::invalid("password", "the user exists and keeps their password; leave password out")
}
