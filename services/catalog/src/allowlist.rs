//! Which models a tenant may use: what changes of it take. Pure.

use headgate_kit::Failure;
use headgate_proto::catalog::v1::TenantModels;

use crate::change::{Change, Stamp};
use crate::plan::{check_etag, no_such};
use crate::state::State;

/// Sets a tenant's allowlist, whose names are sorted, each once; an empty change where it is the same. Answers how it is
/// then.
pub(crate) fn put(state: &State, list: TenantModels, stamp: &Stamp) -> (Change, TenantModels) {
    let present = state.tenant_models(&list.tenant_id);
    if present == (TenantModels { etag: present.etag.clone(), ..list.clone() }) {
        return (Change::default(), present);
    }
    let list = TenantModels { etag: stamp.etag(), ..list };
    (Change { tenant_models: vec![list.clone()], ..Change::default() }, list)
}

/// Sets it for whoever read it with this etag.
pub(crate) fn set(
    state: &State,
    list: TenantModels,
    etag: &str,
    stamp: &Stamp,
) -> Result<(Change, TenantModels), Failure> {
    check_etag(etag, &state.tenant_models(&list.tenant_id).etag)?;
    Ok(put(state, list, stamp))
}

/// Lifts the restriction that there is.
pub(crate) fn delete(state: &State, tenant_id: &str, etag: &str, stamp: &Stamp) -> Result<Change, Failure> {
    let present = state.tenant_models(tenant_id);
    check_etag(etag, &present.etag)?;
    if !present.restricted {
        return Err(no_such("allowlist"));
    }
    let lifted = TenantModels { tenant_id: present.tenant_id, ..TenantModels::default() };
    Ok(put(state, lifted, stamp).0)
}
