//! Whether a presented key is good. Pure.

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::auth::v1::{KeyRecord, TenantStatus};

use crate::directory::Directory;
use crate::key::{self, SecretHmac};
use crate::model::Key;
use crate::pepper::Pepper;

/// Verifies a key. Whoever holds no good key learns only that; a disabled tenant is told to holders of a good one.
pub(crate) fn verify(
    directory: &Directory,
    pepper: &Pepper,
    presented: &str,
    now_ms: i64,
) -> Result<KeyRecord, Failure> {
    let good = key::parse(presented).and_then(|parts| {
        let known = directory.key_with_prefix(parts.prefix)?;
        (is_secret(known, &pepper.hash(parts.secret), now_ms) && in_force(known, now_ms)).then_some(known)
    });
    let invalid = || Failure::new(ErrorReason::InvalidCredential, "the API key is not valid");
    let record = directory.record(good.ok_or_else(invalid)?);
    if record.tenant_status() != TenantStatus::Active {
        return Err(Failure::new(ErrorReason::TenantDisabled, "the tenant is not active"));
    }
    Ok(record)
}

/// `==` of hashes takes the same time wherever they differ.
fn is_secret(key: &Key, presented: &SecretHmac, now_ms: i64) -> bool {
    let previous = key.previous.filter(|previous| now_ms < previous.expires_ms);
    key.secret_hmac == *presented || previous.is_some_and(|previous| previous.hmac == *presented)
}

fn in_force(key: &Key, now_ms: i64) -> bool {
    key.is_let_in() && key.is_left(now_ms)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::directory::Batch;
    use crate::model::{PreviousSecret, Tenant};

    const GOOD: &str = "sk-demo.my-secret";
    /// What it was before, good until 5.
    const OLD: &str = "sk-demo.old-secret";

    fn check(presented: &str, now_ms: i64, alter: impl Fn(&mut Tenant, &mut Key)) -> Result<String, Failure> {
        let pepper = Pepper::new([1; 32]).unwrap();
        let mut tenant = Tenant {
            id: "tenant_a".into(),
            name: "A".into(),
            status: TenantStatus::Active,
            created_ms: 0,
            revision: 1,
        };
        let mut key = Key {
            id: "key_a".into(),
            tenant_id: "tenant_a".into(),
            name: String::new(),
            prefix: "demo".into(),
            secret_hmac: pepper.hash("my-secret"),
            previous: Some(PreviousSecret { hmac: pepper.hash("old-secret"), expires_ms: 5 }),
            scopes: vec![],
            models: vec![],
            ip_allowlist: vec![],
            metadata: BTreeMap::new(),
            disabled: false,
            user_id: String::new(),
            personal: false,
            owner_barred: false,
            expires_ms: None,
            revoked_ms: None,
            created_ms: 0,
            revision: 1,
        };
        alter(&mut tenant, &mut key);
        let mut directory = Directory::default();
        directory.apply(&Batch { tenants: vec![tenant], keys: vec![key], ..Batch::default() }, 1);
        verify(&directory, &pepper, presented, now_ms).map(|record| record.key_id)
    }

    #[test]
    fn a_good_key_is_recognised() {
        assert_eq!(check(GOOD, 5, |_, _| ()), Ok("key_a".into()));
        assert_eq!(check(GOOD, 5, |_, key| key.expires_ms = Some(6)), Ok("key_a".into()));
        assert_eq!(check(OLD, 4, |_, _| ()), Ok("key_a".into()));
    }

    #[test]
    fn every_bad_key_gets_the_same_answer() {
        let refusals = [
            check("sk-demo", 5, |_, _| ()),
            check("sk-other.my-secret", 5, |_, _| ()),
            check("sk-demo.my-secreT", 5, |_, _| ()),
            check("sk-demo.my-secret ", 5, |_, _| ()),
            check(GOOD, 5, |_, key| key.revoked_ms = Some(9)),
            check(GOOD, 5, |_, key| key.expires_ms = Some(5)),
            check(GOOD, 5, |_, key| key.disabled = true),
            check(GOOD, 5, |_, key| key.owner_barred = true),
            check(OLD, 5, |_, _| ()),
            check(OLD, 4, |_, key| key.revoked_ms = Some(9)),
            check("sk-demo.wrong", 5, |tenant, _| tenant.status = TenantStatus::Suspended),
        ];
        let wanted = Err(Failure::new(ErrorReason::InvalidCredential, "the API key is not valid"));
        assert!(refusals.iter().all(|refusal| *refusal == wanted), "{refusals:?}");
    }

    #[test]
    fn a_good_key_of_a_tenant_that_is_not_active_is_refused() {
        for status in [TenantStatus::Suspended, TenantStatus::Archived] {
            let refusal = check(GOOD, 5, |tenant, _| tenant.status = status).unwrap_err();
            assert_eq!(refusal.reason, ErrorReason::TenantDisabled);
        }
    }
}
