//! Users, as administrators manage them.

use headgate_access::Author;
use headgate_kit::error::ErrorReason;
use headgate_kit::page::Page;
use headgate_kit::{Failure, ids};
use headgate_proto::auth::v1::UserStatus;
use secrecy::{ExposeSecret as _, SecretString};

use super::model::User;
use super::{
    People, check_etag, email, log_out_and_update, password, personal_key, store, void_and_update, written,
};
use crate::draft::Draft;
use crate::validate;

/// How many users a lookup finds at most.
const FOUND: i64 = 20;

/// A user, as asked for.
pub(crate) struct NewUser {
    pub email: String,
    pub name: String,
    /// Empty for none.
    pub password: SecretString,
    pub super_admin: bool,
}

/// What to change of a user.
pub(crate) struct UserChange {
    pub id: String,
    pub name: Option<String>,
    pub status: Option<UserStatus>,
    pub super_admin: Option<bool>,
    pub etag: String,
}

impl People {
    pub(crate) async fn create_user(&self, by: impl Into<Author>, new: NewUser) -> Result<User, Failure> {
        let mut user = self.draw_up("email", &new.email, new.name, new.password).await?;
        user.super_admin = new.super_admin;
        self.registry.draft(by, move |draft| Box::pin(insert(draft, user))).await
    }

    /// A user who is not written yet. `field` names where the address comes from.
    pub(super) async fn draw_up(
        &self,
        field: &str,
        address: &str,
        name: String,
        password: SecretString,
    ) -> Result<User, Failure> {
        let address = email::login(field, address)?;
        validate::label("name", &name)?;
        let clock = &self.registry.clock;
        let mut user = User::new(ids::prefixed("user", clock), address, name, clock.unix_millis());
        if !password.expose_secret().is_empty() {
            password::check("password", password.expose_secret())?;
            user.password = Some(self.hasher.hash(password).await?);
        }
        Ok(user)
    }

    pub(crate) async fn user(&self, id: &str) -> Result<User, Failure> {
        store::user(&mut self.reading().await?, id).await?.ok_or_else(|| Failure::no_such("user"))
    }

    /// A page of users by id, and the token of the next one.
    pub(crate) async fn list_users(
        &self,
        page: &Page,
        email: &str,
        status: Option<UserStatus>,
    ) -> Result<(Vec<User>, String), Failure> {
        let email = Some(email::claimed(email)).filter(|email| !email.is_empty());
        let mut tx = self.reading().await?;
        let rows = store::list_users(&mut tx, (&page.after, page.rows()), email.as_deref(), status).await?;
        Ok(page.cut(rows.into_iter(), |user| &user.id))
    }

    /// Users to choose from.
    pub(crate) async fn find_users(&self, part: &str) -> Result<Vec<User>, Failure> {
        validate::name("query", part)?;
        store::find_users(&mut self.reading().await?, part.trim(), FOUND).await
    }

    pub(crate) async fn update_user(
        &self,
        by: impl Into<Author>,
        change: UserChange,
    ) -> Result<User, Failure> {
        if let Some(name) = &change.name {
            validate::label("name", name)?;
        }
        self.registry.draft(by, move |draft| Box::pin(update(draft, change))).await
    }
}

/// Writes a new user, whose address must be nobody's yet.
pub(super) async fn insert(draft: &mut Draft, mut user: User) -> Result<User, Failure> {
    if store::user_with_email(draft.reading(), &user.email).await?.is_some() {
        let message = "a user with this e-mail address exists";
        return Err(Failure::new(ErrorReason::AlreadyExists, message).with("field", "email"));
    }
    user.revision = draft.revision();
    written::insert_user(draft, &user).await?;
    Ok(user)
}

async fn update(draft: &mut Draft, change: UserChange) -> Result<User, Failure> {
    let old = store::user(draft.reading(), &change.id).await?.ok_or_else(|| Failure::no_such("user"))?;
    check_etag(&change.etag, old.revision)?;
    let mut user = old.clone();
    user.name = change.name.unwrap_or(user.name);
    user.status = change.status.unwrap_or(user.status);
    if let Some(super_admin) = change.super_admin.filter(|said| *said != user.super_admin) {
        (user.super_admin, user.super_admin_issuer) = (super_admin, None);
    }
    if user == old {
        return Ok(user);
    }
    let rules = |user: &User| user.super_admin && user.is_active();
    if rules(&old) && !rules(&user) && store::super_admins(draft.reading()).await? <= 1 {
        let message = "nobody would be left who is a super admin";
        return Err(Failure::new(ErrorReason::Conflict, message));
    }
    if !user.is_active() && old.is_active() {
        log_out_and_update(draft, &mut user).await?;
    } else if user.super_admin != old.super_admin {
        void_and_update(draft, &mut user).await?;
    } else {
        user.revision = draft.revision();
        written::update_user(draft, &user).await?;
        personal_key::settle(draft, &user).await?;
    }
    Ok(user)
}
