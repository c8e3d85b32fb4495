//! `headgate admin provider`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use headgate_proto::adapter::v1::ProviderKind;
use headgate_proto::catalog::v1::provider_service_client::ProviderServiceClient;
use headgate_proto::catalog::v1::{
    CreateProviderRequest, DeleteProviderRequest, GetProviderRequest, ListProvidersRequest,
    UpdateProviderRequest,
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
        /// How it is spoken to.
        #[arg(long, value_enum, default_value = "openai")]
        kind: Kind,
        /// The URL below which its API's paths stand, e.g. https://api.openai.com/v1.
        #[arg(long, default_value = "")]
        base_url: String,
        /// The file that holds the API key it wants; - reads standard input. Default: it wants none.
        #[arg(long)]
        api_key_file: Option<PathBuf>,
        /// The id to give it. Default: one is assigned.
        #[arg(long, default_value = "")]
        id: String,
    },
    /// Give it another API key.
    SetKey {
        /// Its id.
        id: String,
        /// The file that holds the API key; - reads standard input.
        #[arg(long)]
        api_key_file: PathBuf,
    },
    /// Use its targets.
    Enable {
        /// Its id.
        id: String,
    },
    /// Use its targets no more.
    Disable {
        /// Its id.
        id: String,
    },
    /// Remove one that no model has a target at.
    Delete {
        /// Its id.
        id: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    /// OpenAI's API at any base URL: OpenAI itself, vLLM, llama.cpp and many others.
    Openai,
    /// Built in: says back what it is told.
    Echo,
}

impl From<Kind> for ProviderKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Openai => Self::Openai,
            Kind::Echo => Self::Echo,
        }
    }
}

const COLUMNS: &[Column] = &[
    Column { title: "ID", at: "/id" },
    Column { title: "NAME", at: "/name" },
    Column { title: "KIND", at: "/kind" },
    Column { title: "BASE URL", at: "/base_url" },
    Column { title: "ACTIVE", at: "/is_active" },
    Column { title: "CREDENTIAL", at: "/has_credential" },
];

pub(super) async fn run(command: Command, link: Link) -> Result<Shown, TaskError> {
    let mut providers = ProviderServiceClient::new(link);
    let change = match command {
        Command::List => return list(&providers).await,
        Command::Get { id } => {
            let answer = providers.get_provider(GetProviderRequest { id }).await?.into_inner();
            return Shown::one(answer.provider.as_ref());
        }
        Command::Create { name, kind, base_url, api_key_file, id } => {
            let api_key = api_key_file.as_deref().map(secret).transpose()?.unwrap_or_default();
            let kind = ProviderKind::from(kind).into();
            let request = CreateProviderRequest { name, kind, base_url, api_key, id, ..Default::default() };
            return Shown::one(providers.create_provider(request).await?.into_inner().provider.as_ref());
        }
        Command::Delete { id } => {
            let request = DeleteProviderRequest { id, ..Default::default() };
            return Shown::one(Some(&providers.delete_provider(request).await?.into_inner()));
        }
        Command::SetKey { id, api_key_file } => {
            let api_key = Some(secret(&api_key_file)?);
            UpdateProviderRequest { id, api_key, ..Default::default() }
        }
        Command::Enable { id } => UpdateProviderRequest { id, is_active: Some(true), ..Default::default() },
        Command::Disable { id } => UpdateProviderRequest { id, is_active: Some(false), ..Default::default() },
    };
    Shown::one(providers.update_provider(change).await?.into_inner().provider.as_ref())
}

async fn list(providers: &ProviderServiceClient<Link>) -> Result<Shown, TaskError> {
    let page = |page_token| {
        let mut providers = providers.clone();
        async move {
            let request = ListProvidersRequest { page_size: PAGE, page_token };
            let page = providers.list_providers(request).await?.into_inner();
            Ok((page.providers, page.next_page_token))
        }
    };
    Shown::rows(&all_pages(page).await?, COLUMNS)
}

/// A secret from a file, so that it stands in no list of processes and no shell's history.
fn secret(file: &Path) -> Result<String, TaskError> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = read.map_err(|cause| TaskError::Value(format!("{}: {cause}", file.display())))?;
    match text.trim() {
        "" => Err(TaskError::Value(format!("{} is empty", file.display()))),
        secret => Ok(secret.to_owned()),
    }
}
