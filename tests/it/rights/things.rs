//! What calls about something of a tenant are about.

use headgate_access::Method;
use headgate_proto::auth::v1::CreateApiKeyRequest;
use headgate_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use headgate_tests::cluster::Headgate;
use headgate_tests::setup::TENANT;

/// The field in which a call says what it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About {
    /// The tenant's id in this field.
    Tenant(&'static str),
    /// The id of an API key of the tenant in this field.
    Key(&'static str),
    /// Nothing: it lists what the caller sees.
    All,
}

/// Something of every kind that belongs to the tenant [`TENANT`].
pub(crate) struct Things {
    key_id: String,
}

impl Things {
    pub(crate) async fn make(headgate: &Headgate) -> Self {
        let mut keys = ApiKeyServiceClient::new(headgate.operator("auth").await);
        let request = CreateApiKeyRequest { tenant_id: TENANT.into(), ..Default::default() };
        let made = keys.create_api_key(request).await.expect("a key is made").into_inner();
        Self { key_id: made.api_key.expect("a key").id }
    }

    /// The field that says what a call is about, and its value for something of this tenant: [`TENANT`], or one that
    /// does not exist. `None` for a call that is about nothing in particular.
    pub(crate) fn of(&self, about: About, tenant: &str) -> Option<(&'static str, String)> {
        match about {
            About::Tenant(field) => Some((field, tenant.to_owned())),
            About::Key(field) if tenant == TENANT => Some((field, self.key_id.clone())),
            About::Key(field) => Some((field, "key_none".to_owned())),
            About::All => None,
        }
    }
}

/// Everything that a call may be about.
pub(crate) fn abouts(method: &Method) -> Vec<About> {
    let short = method.name.strip_prefix("headgate.").expect("a call of ours");
    match short {
        "auth.v1.TenantService.ListTenants"
        | "auth.v1.TenantService.LookupTenants"
        | "auth.v1.PersonalKeyService.ListPersonalKeys"
        | "budget.v1.BudgetService.ListTenantBudgets" => vec![About::All],
        "auth.v1.TenantService.GetTenant" => vec![About::Tenant("id")],
        "auth.v1.ApiKeyService.CreateApiKey"
        | "auth.v1.ApiKeyService.ListApiKeys"
        | "auth.v1.PersonalKeyService.CreatePersonalKey" => vec![About::Tenant("tenant_id")],
        "budget.v1.BudgetService.SetBudget" => {
            vec![About::Tenant("budget.scope.tenant_id"), About::Key("budget.scope.key_id")]
        }
        _ => match short.rsplit_once('.').expect("a full name").0 {
            "auth.v1.ApiKeyService" | "auth.v1.PersonalKeyService" => vec![About::Key("id")],
            "auth.v1.MembershipService" | "catalog.v1.ModelService" => vec![About::Tenant("tenant_id")],
            "budget.v1.BudgetService" => vec![About::Tenant("scope.tenant_id"), About::Key("scope.key_id")],
            "auth.v1.AuditService" | "usage.v1.UsageService" => vec![About::Tenant("filter.tenant_id")],
            _ => panic!("what is {short} about?"),
        },
    }
}
