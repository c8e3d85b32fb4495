//! Roles by the names that tokens, configuration and people use.

use headgate_proto::common::v1::Role;

/// The name of a role, e.g. "viewer". Empty for the unspecified one, which nobody has.
#[must_use]
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "",
        Role::Viewer => "viewer",
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

/// The role of a name. `None` when there is none of this name.
#[must_use]
pub fn role_named(name: &str) -> Option<Role> {
    [Role::Viewer, Role::Member, Role::Admin, Role::Owner].into_iter().find(|role| role_name(*role) == name)
}

/// A map of tenants to roles, as a token has it.
pub(crate) mod by_tenant {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{Role, role_name, role_named};

    pub(crate) fn serialize<S: Serializer>(
        tenants: &BTreeMap<String, Role>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(tenants.iter().map(|(tenant, role)| (tenant, role_name(*role))))
    }

    /// Roles of a later version are left out: who has one has no right by it here.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, Role>, D::Error> {
        let named = BTreeMap::<String, String>::deserialize(deserializer)?;
        Ok(named.into_iter().filter_map(|(tenant, name)| Some((tenant, role_named(&name)?))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_a_name_and_each_may_more_than_the_one_before() {
        let named = ["viewer", "member", "admin", "owner"].map(|name| role_named(name).unwrap());
        assert!(named.is_sorted() && named[0] > Role::Unspecified);
        assert_eq!(named.len(), (1..).take_while(|n| Role::try_from(*n).is_ok()).count(), "extend the names");
        assert_eq!((role_named(""), role_named("Owner")), (None, None));
    }
}
