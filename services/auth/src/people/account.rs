//! What people do with an account of their own.

use headgate_access::Author;
use headgate_kit::error::ErrorReason;
use headgate_kit::{Failure, ids};
use headgate_proto::auth::v1::TenantStatus;
use headgate_proto::common::v1::Role;
use secrecy::{ExposeSecret as _, SecretString};

use super::model::{Membership, PasswordHash, User};
use super::session::{Issued, Opened};
use super::token::Kind;
use super::{People, email, log_out_and_update, not_known, password, store, written};
use crate::draft::Draft;
use crate::model::Tenant;
use crate::validate;

/// The first owner, as asked for.
pub(crate) struct Owner {
    pub username: String,
    pub password: SecretString,
    pub org_name: String,
}

impl People {
    /// Makes the first tenant and its owner; once, however many ask. Where tenants were made before, somebody runs this
    /// deployment already: then it takes `by_operator`.
    pub(crate) async fn bootstrap_owner(
        &self,
        owner: Owner,
        by_operator: bool,
        by: Author,
    ) -> Result<(User, Tenant), Failure> {
        let login = email::login("username", &owner.username)?;
        password::check("password", owner.password.expose_secret())?;
        validate::tenant_name("org_name", &owner.org_name)?;
        if store::any_user(&mut self.reading().await?).await? {
            return Err(taken());
        }
        self.throttle.begin(by.origin.address, None)?;
        let hash = self.hasher.hash(owner.password).await?;
        let clock = &self.registry.clock;
        let now_ms = clock.unix_millis();
        let mut user = User::new(ids::prefixed("user", clock), login, String::new(), now_ms);
        user.super_admin = true;
        user.password = Some(hash);
        let tenant = Tenant {
            id: ids::prefixed("tenant", clock),
            name: owner.org_name,
            status: TenantStatus::Active,
            created_ms: now_ms,
            revision: 0,
        };
        self.registry.draft(by, move |draft| Box::pin(make_owner(draft, user, tenant, by_operator))).await
    }

    /// Makes an account and logs it in.
    pub(crate) async fn register(
        &self,
        address: &str,
        name: String,
        password: SecretString,
        by: Author,
    ) -> Result<Opened, Failure> {
        if !self.config.registration {
            let message = "accounts are made by an administrator here";
            return Err(Failure::new(ErrorReason::PermissionDenied, message));
        }
        let address = email::address("email", address)?;
        validate::label("name", &name)?;
        password::check("password", password.expose_secret())?;
        // Never given back: each may be a new account.
        self.throttle.begin(by.origin.address, Some(&address))?;
        let hash = self.hasher.hash(password).await?;
        let now_ms = self.registry.clock.unix_millis();
        let mut user = User::new(ids::prefixed("user", &self.registry.clock), address, name, now_ms);
        user.password = Some(hash);
        let this = self.clone();
        let work = async move |draft: &mut Draft| {
            draft.turned_out(&user.id);
            let mut user = super::user::insert(draft, user).await?;
            let (tx, by) = draft.writing_by();
            let issued = this.begin_session(tx, &user, by, now_ms).await?;
            let issued =
                issued.ok_or_else(|| Failure::internal("a user changed in the change that made it"))?;
            user.last_login_ms = Some(now_ms);
            Ok(Opened { user, issued })
        };
        self.registry.draft(by, move |draft| Box::pin(async move { work(draft).await })).await
    }

    /// Changes the password of who knows the present one. Only the session that begins with the answer is left.
    pub(crate) async fn change_password(
        &self,
        user_id: &str,
        current: SecretString,
        new: SecretString,
        by: Author,
    ) -> Result<Issued, Failure> {
        password::check("new_password", new.expose_secret())?;
        let charged = self.throttle.begin(by.origin.address, Some(user_id))?;
        let known = store::user(&mut self.reading().await?, user_id).await?;
        let old = known.and_then(|user| user.password);
        if !self.hasher.verify(old.clone(), current).await? {
            self.tried_in_vain(&by, Some(user_id)).await?;
            return Err(not_known());
        }
        charged.forgive();
        let hash = self.hasher.hash(new).await?;
        let (this, user_id) = (self.clone(), user_id.to_owned());
        let work = async move |draft: &mut Draft| {
            let known = store::user(draft.reading(), &user_id).await?;
            // Of two who change it at the same time one no longer knows it.
            let still = known.filter(|user| user.is_active() && user.password == old);
            let user = set_password(draft, still.ok_or_else(not_known)?, hash).await?;
            let now_ms = draft.now_ms;
            let (tx, by) = draft.writing_by();
            let issued = this.begin_session(tx, &user, by, now_ms).await?;
            issued.ok_or_else(|| Failure::internal("a user changed in the change of their password"))
        };
        self.registry.draft(by, move |draft| Box::pin(async move { work(draft).await })).await
    }

    /// Makes a token to set a password with, and tells until when it is good.
    pub(crate) async fn create_reset(
        &self,
        by: impl Into<Author>,
        user_id: String,
    ) -> Result<(SecretString, i64), Failure> {
        let (token, hmac) = Kind::Reset.make(&self.registry.pepper);
        let life_ms = self.config.password_reset_ms;
        let work = async move |draft: &mut Draft| {
            store::user(draft.reading(), &user_id).await?.ok_or_else(|| Failure::no_such("user"))?;
            let expires_ms = draft.now_ms + life_ms;
            store::put_reset(draft.writing(), &user_id, hmac, expires_ms).await?;
            draft.did(written::thing(&user_id));
            Ok(expires_ms)
        };
        let expires_ms =
            self.registry.draft(by, move |draft| Box::pin(async move { work(draft).await })).await?;
        Ok((token, expires_ms))
    }

    /// Sets a password with such a token, which is used up.
    pub(crate) async fn reset(&self, token: &str, new: SecretString, by: Author) -> Result<(), Failure> {
        password::check("new_password", new.expose_secret())?;
        let charged = self.throttle.begin(by.origin.address, None)?;
        let hmac = Kind::Reset.hash(&self.registry.pepper, token);
        let now_ms = self.registry.clock.unix_millis();
        if !store::is_reset(&mut self.reading().await?, hmac, now_ms).await? {
            self.tried_in_vain(&by, None).await?;
            return Err(spent());
        }
        charged.forgive();
        let hash = self.hasher.hash(new).await?;
        let work = async move |draft: &mut Draft| {
            let now_ms = draft.now_ms;
            let user_id = store::take_reset(draft.writing(), hmac, now_ms).await?.ok_or_else(spent)?;
            let mut user = store::user(draft.reading(), &user_id).await?.ok_or_else(spent)?;
            draft.turned_out(&user_id);
            // The token came from a super admin, and whoever knew the old password knows the new one no more.
            user.vouched_by = None;
            set_password(draft, user, hash).await.map(drop)
        };
        self.registry.draft(by, move |draft| Box::pin(async move { work(draft).await })).await
    }
}

async fn set_password(draft: &mut Draft, mut user: User, hash: PasswordHash) -> Result<User, Failure> {
    user.password = Some(hash);
    log_out_and_update(draft, &mut user).await?;
    Ok(user)
}

async fn make_owner(
    draft: &mut Draft,
    user: User,
    mut tenant: Tenant,
    by_operator: bool,
) -> Result<(User, Tenant), Failure> {
    if store::any_user(draft.reading()).await? {
        return Err(taken());
    }
    let (has_tenants, name_taken) = {
        let directory = draft.directory();
        (directory.tenants_after("").next().is_some(), directory.tenant_named(&tenant.name).is_some())
    };
    if has_tenants && !by_operator {
        let message = "there are tenants already: this takes the operator token";
        return Err(Failure::new(ErrorReason::PermissionDenied, message));
    }
    if name_taken {
        let message = "a tenant with this name exists";
        return Err(Failure::new(ErrorReason::AlreadyExists, message).with("field", "org_name"));
    }
    if !by_operator {
        draft.turned_out(&user.id);
    }
    tenant.revision = draft.directory().next_revision();
    draft.put_tenant(&tenant).await?;
    let user = super::user::insert(draft, user).await?;
    let membership = Membership {
        tenant_id: tenant.id.clone(),
        user_id: user.id.clone(),
        role: Role::Owner,
        created_ms: draft.now_ms,
        revision: draft.revision(),
        issuer: None,
    };
    written::put_membership(draft, &membership, &user).await?;
    Ok((user, tenant))
}

fn taken() -> Failure {
    Failure::new(ErrorReason::Conflict, "there are users already, one of whom can make others")
}

fn spent() -> Failure {
    Failure::new(ErrorReason::InvalidCredential, "the token is not good, or no longer")
}
