//! How keys are called: every one there is. Everything of a tenant has its id as hash tag, so that it lies in one slot of
//! a cluster. `headgate` stands for the prefix of the deployment.
//!
//! | key | holds | is kept |
//! |---|---|---|
//! | `headgate:{tenant}:c` | counters of the tenant | as long as the tenant may come back |
//! | `headgate:{tenant}:c:key` | counters of one of its keys | 31 days after the last request |
//! | `headgate:{tenant}:w` | when requests were let through, where the tenant has a sliding window | an hour longer than the window |
//! | `headgate:{tenant}:w:key` | the same of one of its keys | the same |
//! | `headgate:{tenant}:a:window` | account of the tenant in a window, named by its first millisecond | 40 days after the window |
//! | `headgate:{tenant}:a:window:key` | the same of one of its keys | 40 days after the window |
//! | `headgate:{tenant}:l:lease` | a lease | until its record is booked |
//! | `headgate:{tenant}:o` | leases by the time they must be looked at | while there are any |
//! | `headgate:{tenant}:r` | responses to replay, the oldest first | as long as the youngest |
//! | `headgate:{tenant}:i:length:key:idempotency key` | what became of it | while its response is |
//! | `headgate:tenants:{0..15}` | tenants that may have open leases | while there are any |
//! | `headgate:home:{key}` | whose tenant a key is | 40 days after the key's last entry |
//! | `headgate:reaper` | whose turn it is to reap | a second |

use uuid::Uuid;

use crate::replays::IdempotencyKey;
use crate::window::Window;

/// Lists of tenants to look after, so that no one node of a cluster has them all.
pub(super) const SHARDS: u8 = 16;

/// The names of a deployment.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
}

/// The names of one tenant.
#[derive(Clone, Debug)]
pub(super) struct TenantNames {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn tenant(&self, tenant_id: &str) -> TenantNames {
        TenantNames { prefix: format!("{}:{{{}}}:", self.prefix, tag(tenant_id)) }
    }

    /// The list that has a tenant.
    pub(super) fn list_of(&self, tenant_id: &str) -> String {
        let sum = tenant_id.bytes().fold(0u8, u8::wrapping_add);
        self.list(sum % SHARDS)
    }

    /// A list of tenants that may have open leases, with the time each was last entered.
    pub(super) fn list(&self, shard: u8) -> String {
        format!("{}:tenants:{{{shard}}}", self.prefix)
    }

    /// Whose tenant a key is.
    pub(super) fn home(&self, key_id: &str) -> String {
        format!("{}:home:{{{}}}", self.prefix, tag(key_id))
    }

    /// Held by the replica whose turn it is to reap.
    pub(super) fn reaper(&self) -> String {
        format!("{}:reaper", self.prefix)
    }
}

impl TenantNames {
    /// What every name of the tenant begins with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The counters of the tenant as a whole, or of one of its keys.
    pub(super) fn counters(&self, key_id: Option<&str>) -> String {
        match key_id {
            Some(id) => format!("{}c:{id}", self.prefix),
            None => format!("{}c", self.prefix),
        }
    }

    /// The account of the tenant as a whole, or of one of its keys.
    pub(super) fn account(&self, window: Window, key_id: Option<&str>) -> String {
        format!("{}a:{}", self.prefix, account_suffix(window.start, key_id))
    }

    /// A lease.
    pub(super) fn lease(&self, id: Uuid) -> String {
        format!("{}l:{id}", self.prefix)
    }

    /// Leases by the time they must be looked at.
    pub(super) fn open(&self) -> String {
        format!("{}o", self.prefix)
    }

    /// Responses to replay, the oldest first.
    pub(super) fn replays(&self) -> String {
        format!("{}r", self.prefix)
    }

    /// An idempotency key. Both parts may hold anything, so the first says where it ends.
    pub(super) fn idempotency(&self, key: &IdempotencyKey) -> String {
        format!("{}i:{}:{}:{}", self.prefix, key.key_id.len(), key.key_id, key.key)
    }
}

/// An account's name after the tenant's prefix and `a:`.
pub(super) fn account_suffix(window_start: i64, key_id: Option<&str>) -> String {
    match key_id {
        Some(id) => format!("{window_start}:{id}"),
        None => window_start.to_string(),
    }
}

/// An id within braces: a brace of its own would end the tag early, or leave it empty.
fn tag(id: &str) -> String {
    if !id.contains(['{', '}', '%']) {
        return id.to_owned();
    }
    id.replace('%', "%25").replace('{', "%7B").replace('}', "%7D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_tenant_is_called_its_names_share_a_tag_and_are_its_own() {
        let names = Names::new("headgate");
        assert_eq!(names.tenant("acme").prefix(), "headgate:{acme}:");
        assert_eq!(names.tenant("}a{%").prefix(), "headgate:{%7Da%7B%25}:");
        assert_ne!(names.tenant("%7D").prefix(), names.tenant("}").prefix());
        let key = |key_id: &str, key: &str| IdempotencyKey { key_id: key_id.into(), key: key.into() };
        let tenant = names.tenant("t");
        assert_ne!(tenant.idempotency(&key("a:b", "c")), tenant.idempotency(&key("a", "b:c")));
    }
}
