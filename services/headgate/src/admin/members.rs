//! `headgate admin membership`.

use clap::{Args, Subcommand, ValueEnum};
use headgate_proto::auth::v1::membership_service_client::MembershipServiceClient;
use headgate_proto::auth::v1::{
    CreateMembershipRequest, DeleteMembershipRequest, ListMembershipsRequest, Membership,
    UpdateMembershipRequest,
};
use headgate_proto::common::v1::Role as ProtoRole;

use super::link::Link;
use super::show::{Column, Shown};
use super::{PAGE, TaskError, all_pages};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List who belongs to a tenant.
    List {
        /// The tenant's id.
        #[arg(long)]
        tenant: String,
    },
    /// Make somebody a member. A user is made where nobody logs in with the e-mail address.
    Add {
        #[command(flatten)]
        who: Who,
        #[arg(long, value_enum)]
        /// What they may do there; each role may do what those before it may.
        role: Role,
    },
    /// Change a member's role.
    Set {
        #[command(flatten)]
        who: Who,
        #[arg(long, value_enum)]
        /// What they may do there; each role may do what those before it may.
        role: Role,
    },
    /// End a membership; the user stays.
    Remove {
        #[command(flatten)]
        who: Who,
    },
}

#[derive(Args)]
pub(super) struct Who {
    /// What they log in with. Of members, the user's id will do.
    user: String,
    /// The tenant's id.
    #[arg(long)]
    tenant: String,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Role {
    Viewer,
    Member,
    Admin,
    Owner,
}

impl From<Role> for i32 {
    fn from(role: Role) -> Self {
        let role = match role {
            Role::Viewer => ProtoRole::Viewer,
            Role::Member => ProtoRole::Member,
            Role::Admin => ProtoRole::Admin,
            Role::Owner => ProtoRole::Owner,
        };
        role.into()
    }
}

const COLUMNS: &[Column] = &[
    Column { title: "USER", at: "/user_id" },
    Column { title: "E-MAIL", at: "/email" },
    Column { title: "NAME", at: "/name" },
    Column { title: "ROLE", at: "/role" },
    Column { title: "SINCE", at: "/create_time" },
];

pub(super) async fn run(command: Command, link: Link) -> Result<Shown, TaskError> {
    let mut members = MembershipServiceClient::new(link);
    match command {
        Command::List { tenant } => Shown::rows(&list(&members, &tenant).await?, COLUMNS),
        Command::Add { who, role } => {
            let request = CreateMembershipRequest {
                tenant_id: who.tenant,
                email: who.user,
                role: role.into(),
                ..Default::default()
            };
            Shown::one(members.create_membership(request).await?.into_inner().membership.as_ref())
        }
        Command::Set { who, role } => {
            let user_id = id(&members, &who).await?;
            let role = role.into();
            let request =
                UpdateMembershipRequest { tenant_id: who.tenant, user_id, role, ..Default::default() };
            Shown::one(members.update_membership(request).await?.into_inner().membership.as_ref())
        }
        Command::Remove { who } => {
            let user_id = id(&members, &who).await?;
            let request = DeleteMembershipRequest { tenant_id: who.tenant, user_id, ..Default::default() };
            Shown::one(Some(&members.delete_membership(request).await?.into_inner()))
        }
    }
}

/// The id of the member who logs in with it, or else what is given. Who looks after a tenant need not see other users.
async fn id(members: &MembershipServiceClient<Link>, who: &Who) -> Result<String, TaskError> {
    let known = list(members, &who.tenant).await?;
    let found = known.into_iter().find(|member| member.email.eq_ignore_ascii_case(&who.user));
    Ok(found.map_or_else(|| who.user.clone(), |member| member.user_id))
}

async fn list(members: &MembershipServiceClient<Link>, tenant: &str) -> Result<Vec<Membership>, TaskError> {
    let page = |page_token| {
        let mut members = members.clone();
        async move {
            let request =
                ListMembershipsRequest { tenant_id: tenant.to_owned(), page_size: PAGE, page_token };
            let page = members.list_memberships(request).await?.into_inner();
            Ok((page.memberships, page.next_page_token))
        }
    };
    all_pages(page).await
}
