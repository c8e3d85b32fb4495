//! What can be done to a tenant: each a plan, made on the directory as it is. Pure.

use headgate_kit::error::ErrorReason;
use headgate_kit::{Failure, etag};
use headgate_proto::auth::v1::TenantStatus;

use crate::directory::{Batch, Directory};
use crate::model::Tenant;
use crate::rpc::no_such;

/// A new tenant, whose id and name are free.
pub(crate) fn create(directory: &Directory, tenant: Tenant) -> Result<(Batch, Tenant), Failure> {
    if directory.tenant(&tenant.id).is_some() {
        return Err(
            Failure::new(ErrorReason::AlreadyExists, "a tenant with this id exists").with("field", "id")
        );
    }
    free(directory, &tenant.name)?;
    Ok(planned(directory, tenant))
}

/// Gives a tenant another name, if one is given.
pub(crate) fn update(
    directory: &Directory,
    id: &str,
    read: &str,
    name: Option<String>,
) -> Result<(Batch, Tenant), Failure> {
    let old = changeable(directory, id, read)?;
    let Some(name) = name.filter(|name| *name != old.name) else {
        return Ok((Batch::default(), old.clone()));
    };
    free(directory, &name)?;
    Ok(planned(directory, Tenant { name, ..old.clone() }))
}

/// Gives a tenant another status. An archived one keeps it.
pub(crate) fn set_status(
    directory: &Directory,
    id: &str,
    read: &str,
    status: TenantStatus,
) -> Result<(Batch, Tenant), Failure> {
    let old = changeable(directory, id, read)?;
    if old.status == status {
        return Ok((Batch::default(), old.clone()));
    }
    if old.status == TenantStatus::Archived {
        return Err(Failure::new(ErrorReason::Conflict, "an archived tenant stays archived"));
    }
    Ok(planned(directory, Tenant { status, ..old.clone() }))
}

fn changeable<'a>(directory: &'a Directory, id: &str, read: &str) -> Result<&'a Tenant, Failure> {
    let tenant = directory.tenant(id).ok_or_else(|| no_such("tenant"))?;
    etag::check(read, &tenant.etag())?;
    Ok(tenant)
}

fn free(directory: &Directory, name: &str) -> Result<(), Failure> {
    if directory.tenant_named(name).is_none() {
        return Ok(());
    }
    let message = "a tenant with this name exists";
    Err(Failure::new(ErrorReason::AlreadyExists, message).with("field", "name"))
}

fn planned(directory: &Directory, tenant: Tenant) -> (Batch, Tenant) {
    let tenant = Tenant { revision: directory.next_revision(), ..tenant };
    (Batch::tenant(tenant.clone()), tenant)
}
