//! `headgate admin key`.

use clap::Subcommand;
use headgate_kit::clock::Clock;
use headgate_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use headgate_proto::auth::v1::{
    CreateApiKeyRequest, GetApiKeyRequest, ListApiKeysRequest, RevokeApiKeyRequest, RotateApiKeyRequest,
};
use headgate_proto::budget::v1::{Budget, BudgetWindow, Limits};
use headgate_proto::timestamp;

use super::budgets::Given;
use super::link::Link;
use super::show::{Column, Shown};
use super::{PAGE, TaskError, all_pages};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List a tenant's, revoked and expired ones too.
    List {
        /// The tenant's id.
        #[arg(long)]
        tenant: String,
    },
    /// Show one.
    Get {
        /// Its id.
        id: String,
    },
    /// Make one, and show its secret, this once.
    Create {
        /// For people.
        name: String,
        /// The tenant's id.
        #[arg(long)]
        tenant: String,
        /// Operations it may do, separated by commas: chat, embeddings. Default: all.
        #[arg(long, value_delimiter = ',')]
        scopes: Vec<String>,
        /// Models it may ask for, separated by commas. Default: all that its tenant may.
        #[arg(long, value_delimiter = ',')]
        models: Vec<String>,
        /// Addresses and networks it may be used from, separated by commas, e.g. 10.0.0.0/8. Default: all.
        #[arg(long, value_delimiter = ',')]
        ip_allowlist: Vec<String>,
        /// After how many days it stops working. Default: never.
        #[arg(long)]
        expires_in_days: Option<u32>,
        /// How much it may spend in each calendar month, in USD, e.g. 100.00. Default: what its tenant may.
        #[arg(long)]
        budget_usd: Option<String>,
        /// From which share of that answers carry a warning, in percent. Default: 80.
        #[arg(long, default_value = "0", requires = "budget_usd")]
        warning_percent: u32,
        /// Its own. Default: those that are configured.
        #[command(flatten)]
        limits: Option<Given>,
    },
    /// Give one a new secret, and show it, this once.
    Rotate {
        /// Its id.
        id: String,
        /// For how long the old secret works yet, in seconds: 30 days at most. Default: not at all.
        #[arg(long, default_value = "0")]
        overlap_seconds: u32,
    },
    /// End one for good.
    Revoke {
        /// Its id.
        id: String,
    },
}

const COLUMNS: &[Column] = &[
    Column { title: "ID", at: "/id" },
    Column { title: "NAME", at: "/name" },
    Column { title: "PREFIX", at: "/prefix" },
    Column { title: "SCOPES", at: "/scopes" },
    Column { title: "EXPIRES", at: "/expire_time" },
    Column { title: "REVOKED", at: "/revoke_time" },
    Column { title: "CREATED", at: "/create_time" },
];

pub(super) async fn run(command: Command, link: Link) -> Result<Shown, TaskError> {
    let mut keys = ApiKeyServiceClient::new(link);
    match command {
        Command::List { tenant } => list(&keys, &tenant).await,
        Command::Get { id } => {
            Shown::one(keys.get_api_key(GetApiKeyRequest { id }).await?.into_inner().api_key.as_ref())
        }
        Command::Create {
            name,
            tenant,
            scopes,
            models,
            ip_allowlist,
            expires_in_days,
            budget_usd,
            warning_percent,
            limits,
        } => {
            let budget = |limit_usd| Budget {
                limit_usd,
                warning_percent,
                window: BudgetWindow::CalendarMonth.into(),
                ..Default::default()
            };
            let in_days = |days| timestamp(Clock::system().unix_millis() + i64::from(days) * DAY_MS);
            let expire_time = expires_in_days.map(in_days);
            let request = CreateApiKeyRequest {
                tenant_id: tenant,
                name,
                scopes,
                models,
                ip_allowlist,
                expire_time,
                budget: budget_usd.map(budget),
                limits: limits.map(|given| given.over(Limits::default())),
                ..Default::default()
            };
            Shown::one(Some(&keys.create_api_key(request).await?.into_inner()))
        }
        Command::Rotate { id, overlap_seconds } => {
            let request = RotateApiKeyRequest { id, overlap_seconds, ..Default::default() };
            Shown::one(Some(&keys.rotate_api_key(request).await?.into_inner()))
        }
        Command::Revoke { id } => {
            let request = RevokeApiKeyRequest { id, ..Default::default() };
            Shown::one(keys.revoke_api_key(request).await?.into_inner().api_key.as_ref())
        }
    }
}

async fn list(keys: &ApiKeyServiceClient<Link>, tenant: &str) -> Result<Shown, TaskError> {
    let page = |page_token| {
        let mut keys = keys.clone();
        async move {
            let request = ListApiKeysRequest { tenant_id: tenant.to_owned(), page_size: PAGE, page_token };
            let page = keys.list_api_keys(request).await?.into_inner();
            Ok((page.api_keys, page.next_page_token))
        }
    };
    Shown::rows(&all_pages(page).await?, COLUMNS)
}
