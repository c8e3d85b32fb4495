//! Settings of logins with an account elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use headgate_access::role_named;
use headgate_kit::config::Problem;
use headgate_kit::trust;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::validate;

/// Where a provider sends the browser back to, unless its own settings say otherwise.
const CALLBACK: &str = "/admin/auth/oidc/callback";
/// What must be asked for, or the answer is not of OpenID Connect.
const OPENID: &str = "openid";

/// The section `auth.oidc` of the configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcConfig {
    /// What browsers reach this deployment by, e.g. `https://gate.example.com`. Providers send them back there.
    pub public_url: Option<String>,
    /// Certificates (PEM) of authorities that providers' may come from, too, beside the public ones. Unset: none.
    pub ca_file: Option<PathBuf>,
    /// By a name of 1 to 64 letters, digits, `_` and `-`.
    pub providers: BTreeMap<String, OidcProvider>,
}

/// A provider of accounts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcProvider {
    /// For people. Empty: the name.
    pub display_name: String,
    /// Its issuer, e.g. `https://login.example.com/realms/staff`, letter by letter as it says it itself.
    pub issuer: String,
    /// Whether it may be spoken to in clear, where it is not on this machine.
    pub allow_http: bool,
    /// What it knows this deployment by.
    pub client_id: String,
    /// What this deployment proves that with. Unset: nothing, as a public client.
    #[serde(skip_serializing)]
    pub client_secret: Option<SecretString>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Where it sends browsers back to, if that is not `/admin/auth/oidc/callback` of `public_url`.
    pub redirect_url: Option<String>,
    /// The claim that lists somebody's groups. Dots lead into claims within claims.
    pub groups_claim: String,
    /// Whether its e-mail addresses count as verified where it does not say so.
    pub trust_email: bool,
    /// Only accounts with an address of one of these may log in. Empty: all.
    pub email_domains: Vec<String>,
    /// Who may log in for the first time.
    pub first_login: FirstLogin,
    /// What groups may do.
    pub role_mappings: Vec<RoleMapping>,
    /// Groups that may do everything, in every tenant.
    pub super_admin_groups: Vec<String>,
}

/// What happens when an account logs in that nobody here has yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstLogin {
    /// It is refused.
    Deny,
    /// It becomes that of the user with its verified e-mail address; without one it is refused.
    #[default]
    Existing,
    /// A user is made; it is refused where somebody has its e-mail address.
    Create,
    /// It becomes that of the user with its verified e-mail address, or a user is made.
    ExistingOrCreate,
}

/// What a group stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleMapping {
    /// The group.
    pub group: String,
    /// The tenant.
    pub tenant_id: String,
    /// What members of the group may do there: `viewer`, `member`, `admin` or `owner`.
    pub role: String,
}

impl Default for OidcProvider {
    fn default() -> Self {
        Self {
            display_name: String::new(),
            issuer: String::new(),
            allow_http: false,
            client_id: String::new(),
            client_secret: None,
            scopes: [OPENID, "email", "profile"].map(str::to_owned).to_vec(),
            redirect_url: None,
            groups_claim: "groups".to_owned(),
            trust_email: false,
            email_domains: Vec::new(),
            first_login: FirstLogin::default(),
            role_mappings: Vec::new(),
            super_admin_groups: Vec::new(),
        }
    }
}

impl FirstLogin {
    /// Whether an account can become that of a user who is there.
    pub(crate) fn links(self) -> bool {
        matches!(self, Self::Existing | Self::ExistingOrCreate)
    }

    /// Whether a user can be made.
    pub(crate) fn creates(self) -> bool {
        matches!(self, Self::Create | Self::ExistingOrCreate)
    }
}

impl OidcConfig {
    /// What is wrong, by path. Empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add =
            |path: &str, message: String| problems.push(Problem::new(format!("auth.oidc.{path}"), message));
        if let Some(wrong) = self.public_url.as_deref().and_then(|url| web_address(url, true).err()) {
            add("public_url", wrong);
        }
        if let Some((field, wrong)) = trust::problem(self.ca_file.as_deref()) {
            add(field, wrong);
        }
        let mut issuers = BTreeMap::new();
        for (name, provider) in &self.providers {
            if validate::id("name", name).is_err() {
                add("providers", "names must be 1 to 64 letters, digits, '_' or '-'".to_owned());
            }
            for (field, wrong) in provider.problems(self.public_url.is_some()) {
                add(&format!("providers.{name}.{field}"), wrong);
            }
            if let Some(other) = issuers.insert(&provider.issuer, name) {
                add(&format!("providers.{name}.issuer"), format!("is that of {other}, too"));
            }
        }
        problems
    }

    /// Where a provider sends browsers back to. Empty where nothing says it.
    pub(crate) fn redirect_url(&self, provider: &OidcProvider) -> String {
        let own = |url: &String| format!("{}{CALLBACK}", url.trim_end_matches('/'));
        provider.redirect_url.clone().or_else(|| self.public_url.as_ref().map(own)).unwrap_or_default()
    }
}

impl OidcProvider {
    /// What is wrong, as field and reason.
    fn problems(&self, has_public_url: bool) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut add = |field: &str, message: &str| problems.push((field.to_owned(), message.to_owned()));
        if let Err(wrong) = web_address(&self.issuer, self.allow_http) {
            add("issuer", &wrong);
        }
        match &self.redirect_url {
            Some(url) => {
                web_address(url, true).err().into_iter().for_each(|wrong| add("redirect_url", &wrong))
            }
            None if has_public_url => {}
            None => add("redirect_url", "must be set, or auth.oidc.public_url"),
        }
        if self.client_id.is_empty() {
            add("client_id", "must be set");
        }
        if self.client_secret.as_ref().is_some_and(|secret| secret.expose_secret().is_empty()) {
            add("client_secret", "must not be empty; leave it out for a public client");
        }
        if !self.scopes.iter().any(|scope| scope == OPENID) {
            add("scopes", "must have openid");
        }
        if self.scopes.iter().any(|scope| scope.is_empty() || !scope.bytes().all(|b| b.is_ascii_graphic())) {
            add("scopes", "must be words");
        }
        if self.groups_claim.is_empty() {
            add("groups_claim", "must not be empty");
        }
        if self.email_domains.iter().any(|domain| domain.is_empty() || domain.contains('@')) {
            add("email_domains", "must be what stands behind the @ of an address");
        }
        if self.super_admin_groups.iter().any(String::is_empty) {
            add("super_admin_groups", "must not name an empty group");
        }
        for (at, mapping) in self.role_mappings.iter().enumerate() {
            if mapping.group.is_empty() {
                add(&format!("role_mappings[{at}].group"), "must not be empty");
            }
            if validate::id("tenant_id", &mapping.tenant_id).is_err() {
                add(&format!("role_mappings[{at}].tenant_id"), "must be the id of a tenant");
            }
            if role_named(&mapping.role).is_none() {
                add(&format!("role_mappings[{at}].role"), "must be viewer, member, admin or owner");
            }
        }
        problems
    }

    /// Whether an address may be asked on behalf of this provider.
    pub(crate) fn may_ask(&self, url: &str) -> bool {
        address(url, self.allow_http).is_ok()
    }
}

/// An address as issuers and this deployment have them: without query or fragment.
fn web_address(text: &str, allow_http: bool) -> Result<(), String> {
    let url = address(text, allow_http)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have neither query nor fragment".to_owned());
    }
    Ok(())
}

fn address(text: &str, allow_http: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "must be a URL, e.g. https://login.example.com".to_owned())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must have neither user nor password".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allow_http || is_here(&url) => Ok(url),
        "http" => Err("must be https, unless allow_http is set".to_owned()),
        _ => Err("must be https".to_owned()),
    }
}

/// Whether it is this machine's.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(provider: OidcProvider) -> OidcConfig {
        let providers = [("corp".to_owned(), provider)].into();
        OidcConfig { public_url: Some("https://gate.example.com/".into()), ca_file: None, providers }
    }

    fn good() -> OidcProvider {
        let mapping = RoleMapping { group: "staff".into(), tenant_id: "acme".into(), role: "viewer".into() };
        OidcProvider {
            issuer: "https://login.example.com/realms/staff".into(),
            client_id: "headgate".into(),
            client_secret: Some("planted".into()),
            role_mappings: vec![mapping],
            ..OidcProvider::default()
        }
    }

    fn faults(config: &OidcConfig) -> Vec<String> {
        config.problems().into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn a_good_one_has_no_fault_and_is_come_back_to_at_the_public_url() {
        let config = with(good());
        assert_eq!(config.problems(), []);
        assert_eq!(OidcConfig::default().problems(), []);
        let url = config.redirect_url(&config.providers["corp"]);
        assert_eq!(url, "https://gate.example.com/admin/auth/oidc/callback");
        let shown = serde_json::to_string(&config).unwrap() + &format!("{config:?}");
        assert!(!shown.contains("planted"), "{shown}");
    }

    #[test]
    fn every_fault_is_told_with_its_path() {
        let mapping = RoleMapping { group: String::new(), tenant_id: "a b".into(), role: "king".into() };
        let bad = OidcProvider {
            issuer: "http://login.example.com".into(),
            client_secret: Some(String::new().into()),
            scopes: vec!["email".into()],
            groups_claim: String::new(),
            email_domains: vec!["a@b".into()],
            super_admin_groups: vec![String::new()],
            role_mappings: vec![mapping],
            ..OidcProvider::default()
        };
        let mut config = with(bad);
        config.public_url = None;
        let at = |field: &str| format!("auth.oidc.providers.corp.{field}");
        let wanted = [
            "issuer",
            "redirect_url",
            "client_id",
            "client_secret",
            "scopes",
            "groups_claim",
            "email_domains",
            "super_admin_groups",
            "role_mappings[0].group",
            "role_mappings[0].tenant_id",
            "role_mappings[0].role",
        ];
        assert_eq!(faults(&config), wanted.map(at));
        let mut twice = with(good());
        twice.providers.insert("bad name".into(), good());
        assert_eq!(faults(&twice), ["auth.oidc.providers", "auth.oidc.providers.corp.issuer"]);
    }

    #[test]
    fn only_this_machine_and_who_says_so_is_spoken_to_in_clear() {
        for (url, allow_http, good) in [
            ("https://a.example", false, true),
            ("http://127.0.0.1:8080", false, true),
            ("http://localhost/x", false, true),
            ("http://[::1]:1", false, true),
            ("http://10.0.0.1", false, false),
            ("http://10.0.0.1", true, true),
            ("http://localhost.example.com", false, false),
            ("ftp://127.0.0.1", true, false),
            ("https://u:p@a.example", false, false),
            ("https://a.example?x", false, false),
            ("a.example", false, false),
        ] {
            assert_eq!(web_address(url, allow_http).is_ok(), good, "{url} {allow_http}");
        }
    }
}
