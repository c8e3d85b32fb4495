//! Builds the configuration a test wants: two tenants with a key each, and what it adds.

use std::path::Path;

use serde_json::{Value, json};

use crate::upstream::Upstream;

/// The key of the tenant `acme`, whose id is [`KEY_ID`].
pub const KEY: &str = "sk-acme.acme-client-secret";
/// The id of [`KEY`].
pub const KEY_ID: &str = "key_acme";
/// A key of the tenant `globex`.
pub const OTHER_KEY: &str = "sk-globex.globex-client-secret";
/// The tenant of [`KEY`].
pub const TENANT: &str = "acme";

/// What every provider is told unless a test says otherwise.
pub const PROVIDER_KEY: &str = "sk-provider-of-the-mock";

/// A configuration under construction.
#[derive(Clone, Debug)]
pub struct Setup {
    config: Value,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// Two tenants with a key each, no model.
    #[must_use]
    pub fn new() -> Self {
        let listen = json!({"listen": "127.0.0.1:0"});
        let config = json!({
            "edge": listen, "grpc": listen, "ops": listen,
            // Upstreams are asked what a test asks, and nothing else.
            "catalog": {"probe_interval_ms": 0},
            "bootstrap": {
                "tenants": [{"id": TENANT, "name": "Acme"}, {"id": "globex", "name": "Globex"}],
                "api_keys": [
                    {"tenant_id": TENANT, "name": "test", "key": KEY, "scopes": []},
                    {"tenant_id": "globex", "name": "test", "key": OTHER_KEY, "scopes": []},
                ],
                "admin_users": [], "memberships": [],
                "providers": [], "models": [], "limits": [], "budgets": [],
            },
        });
        Self { config }
    }

    /// One model with one upstream: what most tests need.
    #[must_use]
    pub fn with_model(name: &str, upstream: &Upstream) -> Self {
        Self::new().provider("mock", &upstream.url()).model(name, &["mock"])
    }

    /// Adds a provider of OpenAI's kind.
    #[must_use]
    pub fn provider(self, id: &str, base_url: &str) -> Self {
        self.seed(
            "providers",
            json!({"id": id, "name": id, "kind": "openai", "base_url": base_url, "api_key": PROVIDER_KEY}),
        )
    }

    /// Adds members to the provider that was added last.
    #[must_use]
    pub fn provider_with(mut self, members: &Value) -> Self {
        merge(last(&mut self.config, "providers"), members);
        self
    }

    /// Adds a model for chat and embeddings with a target of weight 1 at each provider, under the same name there,
    /// at $3 and $15 per 1M tokens.
    #[must_use]
    pub fn model(self, name: &str, providers: &[&str]) -> Self {
        let targets: Vec<Value> = providers
            .iter()
            .map(|provider| json!({"provider": provider, "upstream_model": name, "weight": 1}))
            .collect();
        self.seed(
            "models",
            json!({
                "name": name, "operations": ["chat", "embeddings"],
                "price": {"input_usd_per_1m_tokens": "3", "output_usd_per_1m_tokens": "15"},
                "targets": targets, "max_output_tokens": 4096, "context_tokens": 32768,
            }),
        )
    }

    /// Adds members to the model that was added last.
    #[must_use]
    pub fn model_with(mut self, members: &Value) -> Self {
        merge(last(&mut self.config, "models"), members);
        self
    }

    /// Makes the model that was added last try its targets in the order in which they were given.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        // A target of weight 0 is tried when all that have a weight have failed, the earlier one first.
        for target in last(&mut self.config, "models")["targets"].as_array_mut().into_iter().flatten().skip(1)
        {
            target["weight"] = json!(0);
        }
        self
    }

    /// Two providers, `broken` and `sound`, and the model `m`, which tries them in this order.
    #[must_use]
    pub fn broken_then_sound(broken: &Upstream, sound: &Upstream) -> Self {
        let both = Self::new().provider("broken", &broken.url()).provider("sound", &sound.url());
        both.model("m", &["broken", "sound"]).in_order()
    }

    /// Adds limits of a key or tenant.
    #[must_use]
    pub fn limits(self, limits: Value) -> Self {
        self.seed("limits", limits)
    }

    /// Adds the budget of a key or tenant.
    #[must_use]
    pub fn budget(self, budget: Value) -> Self {
        self.seed("budgets", budget)
    }

    /// Adds to a list of the bootstrap.
    #[must_use]
    pub fn seed(mut self, list: &str, item: Value) -> Self {
        self.config["bootstrap"][list].as_array_mut().expect("a list of the bootstrap").push(item);
        self
    }

    /// Adds members to a section.
    #[must_use]
    pub fn section(mut self, name: &str, members: &Value) -> Self {
        if self.config[name].is_null() {
            self.config[name] = json!({});
        }
        merge(&mut self.config[name], members);
        self
    }

    /// Lets whoever presents a bad key do so for ever: for tests that ask again and again.
    #[must_use]
    pub fn patient_with_strangers(self) -> Self {
        self.section("edge", &json!({"failed_authentications": {"per_second": null}}))
    }

    /// Sets a value at the top.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.config[name] = value.into();
        self
    }

    /// Sets a value at the top that was not set before.
    pub(crate) fn set_unless_set(self, name: &str, value: &str) -> Self {
        if self.config[name].is_null() { self.set(name, value) } else { self }
    }

    /// The configuration of a process with this data folder.
    ///
    /// # Panics
    /// Never: it can be written.
    #[must_use]
    pub fn render(&self, data_dir: &Path) -> String {
        let mut config = self.config.clone();
        config["data_dir"] = json!(data_dir);
        serde_json::to_string_pretty(&config).unwrap()
    }
}

fn last<'a>(config: &'a mut Value, list: &str) -> &'a mut Value {
    config["bootstrap"][list].as_array_mut().and_then(|items| items.last_mut()).expect("one was added")
}

fn merge(into: &mut Value, members: &Value) {
    let into = into.as_object_mut().expect("an object");
    into.extend(members.as_object().expect("an object").clone());
}
