//! Sessions: begun by logging in, kept up by refresh tokens, ended.

use headgate_access::{Author, Claims};
use headgate_audit::{Entry, Shown, Thing};
use headgate_kit::db::Tx;
use headgate_kit::error::ErrorReason::{self, InvalidCredential};
use headgate_kit::{Failure, ids};
use headgate_proto::auth::v1::TokenPair;
use headgate_proto::timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::model::{Membership, Session, User};
use super::store::{self, Rotated};
use super::token::Kind;
use super::{People, email, log_out_and_update, not_known, written};
use crate::audit;
use crate::draft::Draft;
use crate::voided::Voided;

/// How often a login begins anew when the user is changed under it.
const LOGIN_TRIES: usize = 3;

/// What a session is used with.
pub(crate) struct Issued {
    pub access_token: SecretString,
    pub access_expires_ms: i64,
    pub refresh_token: SecretString,
    pub refresh_expires_ms: i64,
}

/// A session that began.
pub(crate) struct Opened {
    pub user: User,
    pub issued: Issued,
}

impl Issued {
    pub(crate) fn to_proto(&self) -> TokenPair {
        TokenPair {
            access_token: self.access_token.expose_secret().to_owned(),
            access_expire_time: Some(timestamp(self.access_expires_ms)),
            refresh_token: self.refresh_token.expose_secret().to_owned(),
            refresh_expire_time: Some(timestamp(self.refresh_expires_ms)),
            token_type: "Bearer".to_owned(),
        }
    }
}

impl People {
    /// Begins a session for who knows the password, where passwords are good for that.
    pub(crate) async fn login(
        &self,
        claimed: &str,
        password: SecretString,
        by: &Author,
    ) -> Result<Opened, Failure> {
        if !self.config.password_login {
            let message = "nobody logs in with a password here; GET /admin/auth/methods tells where";
            return Err(Failure::new(ErrorReason::PermissionDenied, message));
        }
        let claimed = email::claimed(claimed);
        let charged = self.throttle.begin(by.origin.address, Some(&claimed))?;
        let known = store::user_with_email(&mut self.reading().await?, &claimed).await?;
        let hash = known.as_ref().and_then(|user| user.password.clone());
        let good = self.hasher.verify(hash.clone(), password).await?;
        if !good || known.as_ref().is_none_or(|user| !user.is_active()) {
            self.tried_in_vain(by, known.as_ref().map(|user| user.id.as_str())).await?;
            return Err(not_known());
        }
        let mut known = known;
        for _ in 0..LOGIN_TRIES {
            // Whoever is another now, or has another password, is not who was let in.
            let still = known.take().filter(|user| user.is_active() && user.password == hash);
            let user = still.ok_or_else(not_known)?;
            if let Some(opened) = self.open(user, by).await? {
                charged.forgive();
                return Ok(opened);
            }
            known = store::user_with_email(&mut self.reading().await?, &claimed).await?;
        }
        Err(Failure::unavailable("logging in", "the user is changed all the time"))
    }

    /// Begins a session in a transaction of its own. `None` when the user was changed since they were looked at.
    async fn open(&self, mut user: User, by: &Author) -> Result<Option<Opened>, Failure> {
        let now_ms = self.registry.clock.unix_millis();
        let mut tx = self.registry.db().begin().await.map_err(store::away)?;
        let Some(issued) = self.begin_session(&mut tx, &user, by, now_ms).await? else { return Ok(None) };
        tx.commit().await.map_err(store::away)?;
        user.last_login_ms = Some(now_ms);
        Ok(Some(Opened { user, issued }))
    }

    /// Begins a session. `None` when the user was changed since they were looked at.
    pub(super) async fn begin_session(
        &self,
        tx: &mut Tx,
        user: &User,
        by: &Author,
        now_ms: i64,
    ) -> Result<Option<Issued>, Failure> {
        // Takes the user's row, so that what is read after it belongs together.
        if !store::logged_in(tx, user, now_ms).await? {
            return Ok(None);
        }
        let session = Session {
            id: ids::prefixed("session", &self.registry.clock),
            user_id: user.id.clone(),
            created_ms: now_ms,
            expires_ms: now_ms + self.config.session_ms,
            user_agent: by.origin.user_agent.clone(),
            address: by.origin.address.map(|address| address.to_string()).unwrap_or_default(),
        };
        store::insert_session(tx, &session).await?;
        let by = by.clone().turned_out(&user.id);
        if let Some(entry) = Entry::of_change(&by, now_ms, thing(&session), None, Some(shown(&session))) {
            audit::write(tx, [entry.event()]).await.map_err(store::away)?;
        }
        self.issue(tx, user, &session, now_ms).await.map(Some)
    }

    /// The next pair of a session.
    async fn issue(
        &self,
        tx: &mut Tx,
        user: &User,
        session: &Session,
        now_ms: i64,
    ) -> Result<Issued, Failure> {
        let memberships = store::memberships_of_user(tx, &user.id).await?;
        let (refresh_token, hmac) = Kind::Refresh.make(&self.registry.pepper);
        store::insert_token(tx, hmac, &session.id).await?;
        let access_expires_ms = (now_ms + self.config.access_token_ms).min(session.expires_ms);
        let claims = Claims {
            user_id: user.id.clone(),
            session_id: session.id.clone(),
            generation: user.generation,
            issued_s: now_ms / 1000,
            expires_s: access_expires_ms / 1000,
            super_admin: user.super_admin,
            tenants: memberships.into_iter().map(|m| (m.tenant_id, m.role)).collect(),
        };
        let access_token = self.registry.access.sign(&claims)?;
        Ok(Issued { access_token, access_expires_ms, refresh_token, refresh_expires_ms: session.expires_ms })
    }

    /// Exchanges a refresh token for the next pair. One that was used before ends its session: either that use or this
    /// one is a thief's.
    pub(crate) async fn refresh(&self, token: &str, by: Author) -> Result<Issued, Failure> {
        // Guessing is hopeless, but shall cost no transactions.
        let charged = self.throttle.begin(by.origin.address, None)?;
        let hmac = Kind::Refresh.hash(&self.registry.pepper, token);
        let now_ms = self.registry.clock.unix_millis();
        let mut tx = self.registry.db().begin().await.map_err(store::away)?;
        let session_id = match store::rotate(&mut tx, hmac, now_ms).await? {
            Rotated::Used(session_id) => session_id,
            Rotated::Reused(session_id) => {
                tx.rollback().await.map_err(store::away)?;
                tracing::warn!(session_id, "a refresh token was used twice, its session ends");
                self.end_stolen(by, session_id).await?;
                return Err(over());
            }
            Rotated::Unknown => return Err(over()),
        };
        let session = store::session(&mut tx, &session_id).await?.filter(|s| now_ms < s.expires_ms);
        let session = session.ok_or_else(over)?;
        let user = store::user(&mut tx, &session.user_id).await?.filter(User::is_active).ok_or_else(over)?;
        let issued = self.issue(&mut tx, &user, &session, now_ms).await?;
        tx.commit().await.map_err(store::away)?;
        charged.forgive();
        Ok(issued)
    }

    /// Ends the session of a refresh token or of a good access token, or every session of its user. Nothing happens where
    /// there is none.
    pub(crate) async fn logout(
        &self,
        refresh_token: Option<&str>,
        access_token: Option<&str>,
        everywhere: bool,
        by: Author,
    ) -> Result<(), Failure> {
        let mut tx = self.reading().await?;
        let mut session_id = None;
        if let Some(token) = refresh_token {
            let hmac = Kind::Refresh.hash(&self.registry.pepper, token);
            session_id = store::session_of_token(&mut tx, hmac).await?;
        }
        let of_access_token =
            || access_token.and_then(|token| self.registry.access.verify(token).ok()).map(|c| c.session_id);
        let Some(session_id) = session_id.or_else(of_access_token) else { return Ok(()) };
        let session = store::session(&mut tx, &session_id).await?;
        tx.rollback().await.map_err(store::away)?;
        let by = session.iter().fold(by, |by, session| by.turned_out(&session.user_id));
        match session.filter(|_| everywhere) {
            Some(session) => self.end_sessions_of(by, session.user_id).await,
            None => self.registry.draft(by, move |draft| Box::pin(end_session(draft, session_id))).await,
        }
    }

    /// Ends a session of which somebody has a token that they should not have.
    async fn end_stolen(&self, by: Author, id: String) -> Result<(), Failure> {
        let work = async move |draft: &mut Draft| {
            let thing = Thing::common("session", id.as_str());
            let entry = Entry::of_failure(draft.by(), draft.now_ms, thing, InvalidCredential);
            audit::write(draft.writing(), [entry.event()]).await.map_err(store::away)?;
            end_session(draft, id).await
        };
        self.registry.draft(by, move |draft| Box::pin(async move { work(draft).await })).await
    }

    async fn end_sessions_of(&self, by: Author, user_id: String) -> Result<(), Failure> {
        let work = async move |draft: &mut Draft| {
            let Some(mut user) = store::user(draft.reading(), &user_id).await? else { return Ok(()) };
            draft.did(written::thing(&user_id));
            log_out_and_update(draft, &mut user).await
        };
        self.registry.draft(by, move |draft| Box::pin(async move { work(draft).await })).await
    }

    /// Who has an account, and where they belong. An account that is gone is no credential.
    pub(crate) async fn me(&self, user_id: &str) -> Result<(User, Vec<Membership>), Failure> {
        let mut tx = self.reading().await?;
        let user = store::user(&mut tx, user_id).await?.ok_or_else(not_known)?;
        let memberships = store::memberships_of_user(&mut tx, user_id).await?;
        Ok((user, memberships))
    }
}

async fn end_session(draft: &mut Draft, id: String) -> Result<(), Failure> {
    if let Some(session) = store::session(draft.reading(), &id).await? {
        draft.became(thing(&session), Some(shown(&session)), None);
    }
    store::delete_session(draft.writing(), &id).await?;
    let voided = Voided::session(id, draft.now_ms);
    draft.batch.voided.push(voided);
    Ok(())
}

fn thing(session: &Session) -> Thing {
    Thing::common("session", session.id.as_str())
}

/// A session as the audit log shows it.
fn shown(session: &Session) -> Shown {
    let texts = [("id", &session.id), ("user_id", &session.user_id), ("user_agent", &session.user_agent)];
    let texts = texts.into_iter().chain([("address", &session.address)]);
    Shown::facts(texts.map(|(name, text)| (name, Value::from(text.as_str()))))
}

/// Whatever is wrong with a refresh token.
fn over() -> Failure {
    Failure::new(InvalidCredential, "the session is over, log in again")
}
