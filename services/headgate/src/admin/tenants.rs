//! `headgate admin tenant`.

use clap::Subcommand;
use headgate_proto::auth::v1::tenant_service_client::TenantServiceClient;
use headgate_proto::auth::v1::{
    CreateTenantRequest, GetTenantRequest, ListTenantsRequest, SetTenantStatusRequest, TenantStatus,
};

use super::link::Link;
use super::show::{Column, Shown};
use super::{PAGE, TaskError, all_pages};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List them all.
    List,
    /// Show one.
    Get {
        /// Its id.
        id: String,
    },
    /// Make one.
    Create {
        /// For people; unique.
        name: String,
        /// The id to give it. Default: one is assigned.
        #[arg(long, default_value = "")]
        id: String,
    },
    /// Refuse its requests until it is activated.
    Suspend {
        /// Its id.
        id: String,
    },
    /// Take its requests again.
    Activate {
        /// Its id.
        id: String,
    },
    /// Refuse its requests for good; it stays for its records.
    Archive {
        /// Its id.
        id: String,
    },
}

const COLUMNS: &[Column] = &[
    Column { title: "ID", at: "/id" },
    Column { title: "NAME", at: "/name" },
    Column { title: "STATUS", at: "/status" },
    Column { title: "BUDGET USD", at: "/budget/budget/limit_usd" },
    Column { title: "SPENT USD", at: "/budget/spent_usd" },
    Column { title: "CREATED", at: "/create_time" },
];

pub(super) async fn run(command: Command, link: Link) -> Result<Shown, TaskError> {
    let mut tenants = TenantServiceClient::new(link);
    let (id, status) = match command {
        Command::List => return list(&tenants).await,
        Command::Get { id } => {
            let answer = tenants.get_tenant(GetTenantRequest { id }).await?.into_inner();
            return Shown::one(answer.tenant.as_ref());
        }
        Command::Create { name, id } => {
            let answer = tenants.create_tenant(CreateTenantRequest { name, id }).await?.into_inner();
            return Shown::one(answer.tenant.as_ref());
        }
        Command::Suspend { id } => (id, TenantStatus::Suspended),
        Command::Activate { id } => (id, TenantStatus::Active),
        Command::Archive { id } => (id, TenantStatus::Archived),
    };
    let request = SetTenantStatusRequest { id, status: status.into(), ..Default::default() };
    Shown::one(tenants.set_tenant_status(request).await?.into_inner().tenant.as_ref())
}

async fn list(tenants: &TenantServiceClient<Link>) -> Result<Shown, TaskError> {
    let page = |page_token| {
        let mut tenants = tenants.clone();
        async move {
            let request = ListTenantsRequest { page_size: PAGE, page_token };
            let page = tenants.list_tenants(request).await?.into_inner();
            Ok((page.tenants, page.next_page_token))
        }
    };
    Shown::rows(&all_pages(page).await?, COLUMNS)
}
