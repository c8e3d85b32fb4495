//! What a configuration wants set, and what it says thing by thing, to tell what was applied of it before. Pure.

use headgate_kit::Failure;
use headgate_kit::seeds::Entry;
use secrecy::SecretString;

use super::{Bootstrap, BudgetTerms, form};
use crate::policy::Scope;
use crate::store::seed::{BUDGET, LIMITS, Wanted, name};

impl Bootstrap {
    /// Everything it says.
    pub(super) fn wanted(&self) -> Result<Wanted, Failure> {
        let mut wanted = Wanted { entries: Vec::new(), limits: Vec::new(), budgets: Vec::new() };
        for said in self.all_limits() {
            let scope = said.scope()?;
            wanted.entries.push(Entry::new(LIMITS, &name(Some(&scope)), &said.what, &[])?);
            wanted.limits.push((scope, said.what));
        }
        for said in self.all_budgets() {
            wanted.budget(Some(said.scope()?), &said.at, &said.what)?;
        }
        if let Some(default) = &self.default_budget {
            wanted.budget(None, form::DEFAULT_BUDGET, default)?;
        }
        Ok(wanted)
    }
}

impl Wanted {
    fn budget(&mut self, scope: Option<Scope>, at: &str, terms: &BudgetTerms) -> Result<(), Failure> {
        let urls: Vec<_> = terms.webhook_urls().map(Some).collect();
        self.entries.push(Entry::new(BUDGET, &name(scope.as_ref()), terms, &urls)?);
        self.budgets.push((scope, terms.checked(at)?));
        Ok(())
    }
}

impl BudgetTerms {
    fn webhook_urls(&self) -> impl Iterator<Item = &SecretString> {
        self.alerts.iter().flat_map(|alerts| &alerts.webhooks).map(|webhook| &webhook.url)
    }
}
