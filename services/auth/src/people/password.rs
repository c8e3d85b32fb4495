//! Passwords: Argon2id, with the parameters that OWASP names first for it.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHash as Phc, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params};
use headgate_kit::Failure;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use super::model::PasswordHash;

const MIN_CHARS: usize = 8;
const MAX_CHARS: usize = 256;
/// What a hash that somebody brings along may cost at most: memory in KiB, and passes.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
/// Hashes under way at most, each of which takes 19 MiB, and how many wait for their turn.
const AT_ONCE: usize = 4;
const WAITING: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);

/// Hashes passwords on threads of its own, a few at a time. Cheap to clone; clones share the turns.
#[derive(Clone)]
pub(crate) struct Hasher {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

/// Whether a password may be set.
pub(crate) fn check(field: &str, password: &str) -> Result<(), Failure> {
    let chars = password.chars().count();
    if (MIN_CHARS..=MAX_CHARS).contains(&chars) {
        return Ok(());
    }
    Err(Failure::invalid(field, format!("{field} must have {MIN_CHARS} to {MAX_CHARS} characters")))
}

/// A hash that somebody brings along: Argon2id in the PHC string form.
pub(crate) fn check_hash(field: &str, text: &str) -> Result<PasswordHash, Failure> {
    let affordable = |hash: &Phc<'_>| {
        let params = Params::try_from(hash).ok()?;
        let cheap = params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES;
        (cheap && hash.algorithm == Algorithm::Argon2id.ident() && hash.hash.is_some()).then_some(())
    };
    let good = Phc::new(text).ok().as_ref().and_then(affordable);
    let fault = || Failure::invalid(field, format!("{field} must be $argon2id$..., of at most 256 MiB"));
    good.map(|()| PasswordHash(text.to_owned())).ok_or_else(fault)
}

impl Hasher {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = Arc::new(Semaphore::new(cores.min(AT_ONCE)));
        Self { turns, queue: Arc::new(Semaphore::new(WAITING)) }
    }

    /// What is stored of a password.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<PasswordHash, Failure> {
        self.run(move || hash(password.expose_secret())).await?.map_err(Failure::internal)
    }

    /// Whether it is the password of a hash. Without one the same work is done for nothing.
    pub(crate) async fn verify(
        &self,
        known: Option<PasswordHash>,
        password: SecretString,
    ) -> Result<bool, Failure> {
        self.run(move || match known {
            Some(known) => verify(&known, password.expose_secret()),
            None => {
                let _for_nothing = hash(password.expose_secret());
                false
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let busy = || Failure::unavailable("logging in", "too many passwords wait to be hashed");
        let _place = self.queue.try_acquire().map_err(|_| busy())?;
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(Failure::internal)?;
        let work = move || {
            let done = work();
            // Also where the caller went away meanwhile.
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(Failure::internal)
    }
}

fn hash(password: &str) -> Result<PasswordHash, argon2::password_hash::Error> {
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>())?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt)?;
    Ok(PasswordHash(hash.to_string()))
}

fn verify(known: &PasswordHash, password: &str) -> bool {
    Phc::new(&known.0)
        .is_ok_and(|known| Argon2::default().verify_password(password.as_bytes(), &known).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other() {
        let hasher = Hasher::new();
        let (one, two) =
            tokio::join!(hasher.hash("correct horse".into()), hasher.hash("correct horse".into()));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!(one.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && one != two, "{}", one.0);
        assert_eq!(hasher.verify(Some(one.clone()), "correct horse".into()).await, Ok(true));
        assert_eq!(hasher.verify(Some(two), "correct horsE".into()).await, Ok(false));
        assert_eq!(hasher.verify(None, "correct horse".into()).await, Ok(false));
        assert_eq!(format!("{one:?}"), "[redacted]");
        assert!(check_hash("password_hash", &one.0).is_ok());
    }

    #[tokio::test]
    async fn more_than_can_wait_are_turned_away_at_once() {
        let hasher = Hasher::new();
        let _all =
            Arc::clone(&hasher.queue).acquire_many_owned(u32::try_from(WAITING).unwrap()).await.unwrap();
        let refusal = hasher.verify(None, "x".into()).await.unwrap_err();
        assert_eq!(refusal.reason, headgate_kit::error::ErrorReason::Unavailable);
    }

    #[test]
    fn passwords_and_hashes_have_bounds() {
        assert!(check("password", "1234567").is_err() && check("password", "12345678").is_ok());
        assert!(check("password", &"ü".repeat(256)).is_ok() && check("password", &"ü".repeat(257)).is_err());
        let tail = "c2FsdHNhbHRzYWx0$1EPc8XqLbRvq0TsqqBqQbVqYJ5wCqV0N2qrSFEXgGUI";
        for (head, good) in [
            ("$argon2id$v=19$m=65536,t=3,p=4$", true),
            ("$argon2id$v=19$m=999999999,t=3,p=4$", false),
            ("$argon2id$v=19$m=65536,t=99,p=4$", false),
            ("$argon2i$v=19$m=65536,t=3,p=4$", false),
            ("", false),
        ] {
            assert_eq!(check_hash("password_hash", &format!("{head}{tail}")).is_ok(), good, "{head}");
        }
    }
}
