//! `headgate admin budget` and `headgate admin limits`: what a tenant or a key may spend, and how much at once.

use clap::{Args, Subcommand};
use headgate_proto::budget::v1::budget_service_client::BudgetServiceClient;
use headgate_proto::budget::v1::scope::Scope as Whom;
use headgate_proto::budget::v1::{
    Budget, DeleteBudgetRequest, GetBudgetRequest, GetLimitsRequest, Limits, Scope, SetBudgetRequest,
    SetLimitsRequest, SlidingWindow,
};

use tonic::Code;

use super::TaskError;
use super::budget_terms::Terms;
use super::link::Link;
use super::show::Shown;

#[derive(Subcommand)]
pub(super) enum BudgetCommand {
    /// Show where one stands.
    Get {
        #[command(flatten)]
        of: Of,
    },
    /// Set one, or change one: what is not given stays as it is.
    Set {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        terms: Terms,
    },
    /// Remove one; the default then holds, where there is one.
    Delete {
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Subcommand)]
pub(super) enum LimitsCommand {
    /// Show what holds.
    Get {
        #[command(flatten)]
        of: Of,
    },
    /// Change those that are given; others stay as they are set.
    #[command(mut_group("limits", |some| some.required(true)))]
    Set {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        limits: Given,
    },
}

/// Whom it covers.
#[derive(Args)]
#[group(id = "of", required = true, multiple = false)]
pub(super) struct Of {
    /// A tenant with all its keys, by id.
    #[arg(long)]
    tenant: Option<String>,
    /// An API key, by id.
    #[arg(long)]
    key: Option<String>,
}

/// Limits.
#[derive(Args)]
#[group(id = "limits", multiple = true)]
pub(super) struct Given {
    /// Requests per second.
    #[arg(long)]
    requests_per_second: Option<u32>,
    /// How many of them at once, before that refills.
    #[arg(long)]
    request_burst: Option<u32>,
    /// Requests per minute.
    #[arg(long)]
    requests_per_minute: Option<u32>,
    /// Tokens per minute.
    #[arg(long)]
    tokens_per_minute: Option<u32>,
    /// Requests running at the same time.
    #[arg(long)]
    parallel_requests: Option<u32>,
    /// Streamed answers running at the same time.
    #[arg(long)]
    parallel_streams: Option<u32>,
    /// Requests in any span of time, as REQUESTS/SECONDS, e.g. 100/60.
    #[arg(long, value_parser = sliding_window)]
    sliding_window: Option<SlidingWindow>,
}

impl From<Of> for Scope {
    fn from(of: Of) -> Self {
        let whom = of.tenant.map(Whom::TenantId).or(of.key.map(Whom::KeyId));
        Self { scope: whom }
    }
}

impl Given {
    /// What is set, with what is given in its place.
    pub(super) fn over(self, set: Limits) -> Limits {
        Limits {
            requests_per_second: self.requests_per_second.or(set.requests_per_second),
            request_burst: self.request_burst.or(set.request_burst),
            requests_per_minute: self.requests_per_minute.or(set.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.or(set.tokens_per_minute),
            parallel_requests: self.parallel_requests.or(set.parallel_requests),
            parallel_streams: self.parallel_streams.or(set.parallel_streams),
            sliding_window: self.sliding_window.or(set.sliding_window),
        }
    }
}

fn sliding_window(text: &str) -> Result<SlidingWindow, String> {
    let parsed = text.split_once('/').and_then(|(requests, seconds)| {
        Some(SlidingWindow { requests: requests.parse().ok()?, seconds: seconds.parse().ok()? })
    });
    parsed.ok_or_else(|| "must be REQUESTS/SECONDS, like 100/60".to_owned())
}

pub(super) async fn budget(command: BudgetCommand, link: Link) -> Result<Shown, TaskError> {
    let mut budgets = BudgetServiceClient::new(link);
    match command {
        BudgetCommand::Get { of } => {
            let request = GetBudgetRequest { scope: Some(of.into()), ..Default::default() };
            Shown::one(budgets.get_budget(request).await?.into_inner().status.as_ref())
        }
        BudgetCommand::Set { of, terms } => {
            let (set, etag) = own(&mut budgets, of.into()).await?;
            // With the etag, so that nobody's change in between is lost.
            let request = SetBudgetRequest { budget: Some(terms.over(set)), etag, ..Default::default() };
            Shown::one(budgets.set_budget(request).await?.into_inner().status.as_ref())
        }
        BudgetCommand::Delete { of } => {
            let request = DeleteBudgetRequest { scope: Some(of.into()), ..Default::default() };
            Shown::one(Some(&budgets.delete_budget(request).await?.into_inner()))
        }
    }
}

/// What is set of a scope's own, and its etag. Nothing where it has none.
async fn own(budgets: &mut BudgetServiceClient<Link>, scope: Scope) -> Result<(Budget, String), TaskError> {
    let request = GetBudgetRequest { scope: Some(scope.clone()), ..Default::default() };
    let status = match budgets.get_budget(request).await {
        Ok(answer) => answer.into_inner().status.filter(|status| !status.is_default),
        Err(refused) if refused.code() == Code::NotFound => None,
        Err(refused) => return Err(refused.into()),
    };
    let (budget, etag) = status.map(|status| (status.budget, status.etag)).unwrap_or_default();
    Ok((Budget { scope: Some(scope), ..budget.unwrap_or_default() }, etag))
}

pub(super) async fn limits(command: LimitsCommand, link: Link) -> Result<Shown, TaskError> {
    let mut budgets = BudgetServiceClient::new(link);
    match command {
        LimitsCommand::Get { of } => {
            let request = GetLimitsRequest { scope: Some(of.into()), ..Default::default() };
            Shown::one(Some(&budgets.get_limits(request).await?.into_inner()))
        }
        LimitsCommand::Set { of, limits } => {
            let scope = Some(Scope::from(of));
            let known = budgets
                .get_limits(GetLimitsRequest { scope: scope.clone(), ..Default::default() })
                .await?
                .into_inner();
            let limits = Some(limits.over(known.limits.unwrap_or_default()));
            // With the etag, so that nobody's change in between is lost.
            let request = SetLimitsRequest { scope, limits, etag: known.etag, ..Default::default() };
            Shown::one(Some(&budgets.set_limits(request).await?.into_inner()))
        }
    }
}
