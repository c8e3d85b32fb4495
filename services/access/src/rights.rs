//! What each call takes, read once from the contract.

use std::collections::HashMap;
use std::sync::LazyLock;

use headgate_proto::common::v1::{Access, Audience, Role};
use prost_reflect::{ExtensionDescriptor, MethodDescriptor};

/// What the packages of the contract begin with.
const PREFIX: &str = "headgate.";
const EXTENSION: &str = "headgate.common.v1.access";

/// A call of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its full name, e.g. "headgate.auth.v1.TenantService.GetTenant".
    pub name: String,
    /// The full name of its request, which no other call takes.
    pub request: String,
    /// Whom it answers.
    pub audience: Audience,
    /// The least role it takes. Unspecified where the audience is not a tenant's people.
    pub role: Role,
}

impl Method {
    /// Its name as records show it, e.g. "auth.v1.TenantService.GetTenant".
    #[must_use]
    pub fn action(&self) -> &str {
        self.name.strip_prefix(PREFIX).unwrap_or(&self.name)
    }
}

/// Empty if the contract cannot be read, so that nobody may do anything; a test shows that it can.
static RIGHTS: LazyLock<Rights> = LazyLock::new(|| Rights::read().unwrap_or_default());

#[derive(Default)]
struct Rights {
    methods: Vec<Method>,
    by_request: HashMap<String, usize>,
}

/// Every call of the contract, in its order.
#[must_use]
pub fn methods() -> &'static [Method] {
    &RIGHTS.methods
}

/// The call that takes this request.
pub(crate) fn of_request(full_name: &str) -> Option<&'static Method> {
    RIGHTS.by_request.get(full_name).map(|index| &RIGHTS.methods[*index])
}

impl Rights {
    fn read() -> Option<Self> {
        let pool = headgate_proto::descriptors().ok()?;
        let extension = pool.get_extension_by_name(EXTENSION)?;
        let methods: Vec<_> = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| described(&method, &extension))
            .collect();
        let requests = methods.iter().enumerate().map(|(index, method)| (method.request.clone(), index));
        Some(Self { by_request: requests.collect(), methods })
    }
}

fn described(method: &MethodDescriptor, extension: &ExtensionDescriptor) -> Method {
    let options = method.options();
    let said = options.get_extension(extension);
    let access = said.as_message().and_then(|message| message.transcode_to::<Access>().ok());
    let access = access.unwrap_or_default();
    Method {
        name: method.full_name().to_owned(),
        request: method.input().full_name().to_owned(),
        audience: access.audience(),
        role: access.role(),
    }
}

#[cfg(test)]
mod tests {
    use headgate_proto::auth::v1::GetTenantRequest;
    use prost::Name as _;

    use super::*;

    #[test]
    fn every_call_says_whom_it_answers() {
        let methods = methods();
        assert!(methods.len() > 40, "the contract was read: {}", methods.len());
        for method in methods {
            assert_ne!(method.audience, Audience::Unspecified, "{}", method.name);
            let of_tenants = method.audience == Audience::Tenant;
            assert_eq!(method.role != Role::Unspecified, of_tenants, "{}: a role", method.name);
        }
    }

    #[test]
    fn a_call_is_known_by_its_request() {
        for method in methods() {
            assert_eq!(of_request(&method.request), Some(method), "two calls take {}", method.request);
        }
        let method = of_request(&GetTenantRequest::full_name()).unwrap();
        assert_eq!(method.name, "headgate.auth.v1.TenantService.GetTenant");
        assert_eq!((method.audience, method.role), (Audience::Tenant, Role::Viewer));
        assert_eq!(of_request("headgate.auth.v1.Tenant"), None);
    }
}
