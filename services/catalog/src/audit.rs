//! What the audit log is told of a change, given the catalog as it was before. Pure.

use headgate_access::{Actor, Author};
use headgate_audit::{Entry, Shown, Thing};
use headgate_kit::Failure;
use headgate_proto::adapter::v1::SealedSecret;
use headgate_proto::catalog::v1::TenantModels;
use prost::Name;

use crate::change::{Change, Provider};
use crate::state::State;

/// What changes with every change of a thing, whatever else does.
const STAMPS: [&str; 3] = ["etag", "update_time", "updated_at"];

/// What there is to tell of a change that is yet to be taken in. Of what probes find by themselves there is nothing.
pub(crate) fn entries(
    by: &Author,
    now_ms: i64,
    state: &State,
    change: &Change,
) -> Result<Vec<Entry>, Failure> {
    let mut told = Told { by, now_ms, entries: Vec::new() };
    told.providers(state, change)?;
    told.models(state, change)?;
    if by.actor != Actor::Service {
        told.health(state, change)?;
    }
    Ok(told.entries)
}

struct Told<'a> {
    by: &'a Author,
    now_ms: i64,
    entries: Vec<Entry>,
}

impl Told<'_> {
    fn providers(&mut self, state: &State, change: &Change) -> Result<(), Failure> {
        for provider in &change.providers {
            let id = &provider.shown.id;
            let before = state.provider(id);
            self.became(common("provider", id), before.map(|old| &old.shown), Some(&provider.shown))?;
            self.credential(id, before.and_then(|old| old.credential.as_ref()), provider.credential.as_ref());
        }
        for id in &change.removed_provider_ids {
            let before = state.provider(id);
            self.became(common("provider", id), before.map(|old| &old.shown), None)?;
            self.credential(id, before.and_then(|old| old.credential.as_ref()), None);
        }
        Ok(())
    }

    /// Shows by which master key a credential is sealed, and nothing of the credential, also where that is all that is
    /// another now.
    fn credential(&mut self, id: &str, before: Option<&SealedSecret>, after: Option<&SealedSecret>) {
        if before == after {
            return;
        }
        let shown = |sealed: &SealedSecret| Shown::facts([("master_key_id", sealed.key_id.as_str().into())]);
        let (before, after) = (before.map(shown), after.map(shown));
        let thing = common("provider_credential", id);
        let entry = Entry::of_change(self.by, self.now_ms, thing.clone(), before, after);
        self.entries.push(entry.unwrap_or_else(|| Entry::of_deed(self.by, self.now_ms, thing)));
    }

    fn models(&mut self, state: &State, change: &Change) -> Result<(), Failure> {
        for model in &change.models {
            self.became(common("model", &model.id), state.model(&model.id), Some(model))?;
        }
        for id in &change.removed_model_ids {
            self.became(common("model", id), state.model(id), None)?;
        }
        for list in &change.tenant_models {
            let id = &list.tenant_id;
            let before = state.tenant_models(id);
            let restricting = |list: &TenantModels| list.restricted.then(|| list.clone());
            let thing = Thing::of(id, "tenant_models", id);
            self.became(thing, restricting(&before).as_ref(), restricting(list).as_ref())?;
        }
        if let Some(default) = &change.default_model {
            let after = Some(default).filter(|default| !default.model_id.is_empty());
            self.became(common("default_model", "default"), state.default_model().as_ref(), after)?;
        }
        Ok(())
    }

    fn health(&mut self, state: &State, change: &Change) -> Result<(), Failure> {
        for (id, health) in &change.health {
            let Some(Provider { shown: before, .. }) = state.provider(id) else { continue };
            let mut after = before.clone();
            health.clone().show(&mut after);
            self.became(common("provider", id), Some(before), Some(&after))?;
        }
        Ok(())
    }

    /// That a thing became another, unless nothing but its stamps did.
    fn became<M: Name>(
        &mut self,
        thing: Thing,
        before: Option<&M>,
        after: Option<&M>,
    ) -> Result<(), Failure> {
        let before = before.map(Shown::of).transpose()?;
        let after = after.map(Shown::of).transpose()?;
        if bare(before.clone()) != bare(after.clone()) {
            self.entries.extend(Entry::of_change(self.by, self.now_ms, thing, before, after));
        }
        Ok(())
    }
}

fn common(kind: &'static str, id: &str) -> Thing {
    Thing::common(kind, id)
}

fn bare(shown: Option<Shown>) -> Option<Shown> {
    shown.map(|shown| STAMPS.into_iter().fold(shown, Shown::without))
}
