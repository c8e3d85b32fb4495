//! `headgate admin`: the everyday tasks of operators, over gRPC as anyone else would do them.

mod ask;
mod budget_terms;
mod budgets;
mod environment;
mod keys;
pub(crate) mod link;
mod login;
mod members;
mod models;
mod providers;
mod session;
mod show;
mod tenants;
mod tls;
mod users;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use headgate_kit::Failure;
use headgate_kit::error::reason_name;
use tonic::Status;

use crate::cli::{complain, say};
use link::LinkError;
pub(crate) use login::{login, logout};
use show::Shown;

/// Whom to speak to, and how to show what it says.
#[derive(Args)]
pub(crate) struct Admin {
    #[command(flatten)]
    link: link::Options,
    /// Print JSON, as REST has it, instead of a table.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Organisations, teams or projects that own keys and are billed. Served by auth.
    #[command(subcommand)]
    Tenant(tenants::Command),
    /// API keys. Served by auth.
    #[command(subcommand)]
    Key(keys::Command),
    /// People who can log in. Served by auth.
    #[command(subcommand)]
    User(users::Command),
    /// Who belongs to a tenant, and what they may do there. Served by auth.
    #[command(subcommand, alias = "member")]
    Membership(members::Command),
    /// What a tenant or a key may spend. Served by budget.
    #[command(subcommand)]
    Budget(budgets::BudgetCommand),
    /// How much a tenant or a key may do at once. Served by budget.
    #[command(subcommand)]
    Limits(budgets::LimitsCommand),
    /// Parties that run models. Served by catalog.
    #[command(subcommand)]
    Provider(providers::Command),
    /// Names that requests ask for, and where they go. Served by catalog.
    #[command(subcommand)]
    Model(models::Command),
}

/// Why a task was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A value of the command line, or a file that it names.
    #[error("{0}")]
    Value(String),
    #[error("{} ({})", .0.message, reason_name(.0.reason))]
    Refused(Failure),
    /// The answer lacks what its contract promises.
    #[error("the answer is incomplete")]
    Incomplete,
}

impl From<Status> for TaskError {
    fn from(status: Status) -> Self {
        // What broke on the way is said by the transport, and is no secret of the server's.
        if headgate_kit::conn::is_broken_off(&status) {
            return Self::Value(format!("nobody answers: {}", status.message()));
        }
        Self::Refused(Failure::from_status(&status))
    }
}

pub(crate) fn run(admin: Admin) -> ExitCode {
    let is_json = admin.json;
    match block_on(perform(admin)) {
        Ok(shown) => {
            say(if is_json { shown.json() } else { shown.table() });
            ExitCode::SUCCESS
        }
        Err(cause) => {
            complain(cause);
            ExitCode::FAILURE
        }
    }
}

/// Does what a command is about.
pub(crate) fn block_on<T>(task: impl Future<Output = Result<T, TaskError>>) -> Result<T, TaskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|cause| TaskError::Value(format!("no runtime: {cause}")))?.block_on(task)
}

async fn perform(admin: Admin) -> Result<Shown, TaskError> {
    let link = link::open(&admin.link).await?;
    match admin.task {
        Task::Tenant(command) => tenants::run(command, link).await,
        Task::Key(command) => keys::run(command, link).await,
        Task::User(command) => users::run(command, link).await,
        Task::Membership(command) => members::run(command, link).await,
        Task::Budget(command) => budgets::budget(command, link).await,
        Task::Limits(command) => budgets::limits(command, link).await,
        Task::Provider(command) => providers::run(command, link).await,
        Task::Model(command) => models::run(command, link).await,
    }
}

/// Every row of a list that comes in pages: `page` is asked for each with the token of the one before.
async fn all_pages<T, P>(page: impl Fn(String) -> P) -> Result<Vec<T>, TaskError>
where
    P: Future<Output = Result<(Vec<T>, String), Status>>,
{
    let (mut rows, mut token) = (Vec::new(), String::new());
    loop {
        let (more, next) = page(token).await?;
        rows.extend(more);
        if next.is_empty() {
            return Ok(rows);
        }
        token = next;
    }
}

/// Rows of a page.
const PAGE: u32 = 1000;
