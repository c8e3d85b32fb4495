//! Whether a presented key is good. Pure.

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::auth::v1::{KeyRecord, TenantStatus};

use crate::directory::Directory;
use crate::key;
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
        // `==` of hashes takes the same time wherever they differ.
        (known.secret_hmac == pepper.hash(parts.secret) && in_force(known, now_ms)).then_some(known)
    });
    let invalid = || Failure::new(ErrorReason::InvalidCredential, "the API key is not valid");
    let record = directory.record(good.ok_or_else(invalid)?);
    if record.tenant_status() != TenantStatus::Active {
        return Err(Failure::new(ErrorReason::TenantDisabled, "the tenant is not active"));
    }
    Ok(record)
}

fn in_force(key: &Key, now_ms: i64) -> bool {
    key.revoked_ms.is_none() && key.expires_ms.is_none_or(|expiry| now_ms < expiry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Batch;
    use crate::model::Tenant;

    const GOOD: &str = "sk-demo.my-secret";

    fn check(presented: &str, now_ms: i64, alter: impl Fn(&mut Tenant, &mut Key)) -> Result<String, Failure> {
        let pepper = Pepper::new([1; 32]).unwrap();
        let mut tenant =
            Tenant { id: "tenant_a".into(), name: "A".into(), status: TenantStatus::Active, created_ms: 0 };
        let mut key = Key {
            id: "key_a".into(),
            tenant_id: "tenant_a".into(),
            name: String::new(),
            prefix: "demo".into(),
            secret_hmac: pepper.hash("my-secret"),
            scopes: vec![],
            expires_ms: None,
            revoked_ms: None,
            created_ms: 0,
        };
        alter(&mut tenant, &mut key);
        let mut directory = Directory::default();
        directory.apply(&Batch { tenants: vec![tenant], keys: vec![key] }, 1);
        verify(&directory, &pepper, presented, now_ms).map(|record| record.key_id)
    }

    #[test]
    fn a_good_key_is_recognised() {
        assert_eq!(check(GOOD, 5, |_, _| ()), Ok("key_a".into()));
        assert_eq!(check(GOOD, 5, |_, key| key.expires_ms = Some(6)), Ok("key_a".into()));
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
