//! `headgate admin model`.

use clap::{Args, Subcommand, ValueEnum};
use headgate_kit::money::Usd;
use headgate_proto::catalog::v1::model_service_client::ModelServiceClient;
use headgate_proto::catalog::v1::{
    CreateModelRequest, DeleteModelRequest, GetModelRequest, ListModelsRequest, Model, ModelTarget,
    Operation as ProtoOperation, Price, UpdateModelRequest,
};

use super::link::Link;
use super::show::{Column, Shown};
use super::{PAGE, TaskError, all_pages};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List them all, disabled ones too.
    List,
    /// Show one.
    Get {
        /// Its name.
        name: String,
    },
    /// Make one that runs at one provider.
    Create(New),
    /// Take requests for it.
    Enable {
        /// Its name.
        name: String,
    },
    /// Refuse requests for it.
    Disable {
        /// Its name.
        name: String,
    },
    /// Remove one.
    Delete {
        /// Its name.
        name: String,
    },
}

#[derive(Args)]
pub(super) struct New {
    /// As requests give it; unique.
    name: String,
    /// The id of the provider that runs it.
    #[arg(long)]
    provider: String,
    /// Its name there. Default: the same.
    #[arg(long)]
    upstream_model: Option<String>,
    /// What it is for, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "chat")]
    operations: Vec<Operation>,
    /// What a million prompt tokens cost, in USD, e.g. 0.15.
    #[arg(long, value_parser = per_million, default_value = "0")]
    input_usd_per_1m_tokens: i64,
    /// What a million tokens of answer cost, in USD, e.g. 0.60.
    #[arg(long, value_parser = per_million, default_value = "0")]
    output_usd_per_1m_tokens: i64,
    /// The longest answer, in tokens. Must be given for chat.
    #[arg(long, default_value = "0")]
    max_output_tokens: u32,
    /// Prompt and answer together, in tokens. Default: not known.
    #[arg(long, default_value = "0")]
    context_tokens: u32,
    /// What runs it, e.g. vllm. Default: not known.
    #[arg(long, default_value = "")]
    engine: String,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Operation {
    Chat,
    Embeddings,
}

impl From<Operation> for ProtoOperation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Chat => Self::Chat,
            Operation::Embeddings => Self::Embeddings,
        }
    }
}

const COLUMNS: &[Column] = &[
    Column { title: "NAME", at: "/name" },
    Column { title: "ENABLED", at: "/enabled" },
    Column { title: "OPERATIONS", at: "/operations" },
    Column { title: "PROVIDER", at: "/targets/0/provider_id" },
    Column { title: "UPSTREAM MODEL", at: "/targets/0/upstream_model" },
    Column { title: "MAX OUTPUT", at: "/max_output_tokens" },
    Column { title: "CONTEXT", at: "/context_tokens" },
];

pub(super) async fn run(command: Command, link: Link) -> Result<Shown, TaskError> {
    let mut models = ModelServiceClient::new(link);
    match command {
        Command::List => list(&models).await,
        Command::Get { name } => Shown::one(get(&mut models, name).await?.as_ref()),
        Command::Create(new) => {
            let request = CreateModelRequest { model: Some(new.into()) };
            Shown::one(models.create_model(request).await?.into_inner().model.as_ref())
        }
        Command::Enable { name } => enable(&mut models, name, true).await,
        Command::Disable { name } => enable(&mut models, name, false).await,
        Command::Delete { name } => {
            let request = DeleteModelRequest { name, ..Default::default() };
            Shown::one(Some(&models.delete_model(request).await?.into_inner()))
        }
    }
}

async fn get(models: &mut ModelServiceClient<Link>, name: String) -> Result<Option<Model>, TaskError> {
    Ok(models.get_model(GetModelRequest { name }).await?.into_inner().model)
}

async fn enable(
    models: &mut ModelServiceClient<Link>,
    name: String,
    enabled: bool,
) -> Result<Shown, TaskError> {
    let known = get(models, name).await?.ok_or(TaskError::Incomplete)?;
    let etag = known.etag.clone();
    let request = UpdateModelRequest { model: Some(Model { enabled, ..known }), etag };
    Shown::one(models.update_model(request).await?.into_inner().model.as_ref())
}

async fn list(models: &ModelServiceClient<Link>) -> Result<Shown, TaskError> {
    let page = |page_token| {
        let mut models = models.clone();
        async move {
            let request = ListModelsRequest { page_size: PAGE, page_token, ..Default::default() };
            let page = models.list_models(request).await?.into_inner();
            Ok((page.models, page.next_page_token))
        }
    };
    Shown::rows(&all_pages(page).await?, COLUMNS)
}

impl From<New> for Model {
    fn from(new: New) -> Self {
        let upstream_model = new.upstream_model.unwrap_or_else(|| new.name.clone());
        let target =
            ModelTarget { provider_id: new.provider, upstream_model, weight: 1, ..Default::default() };
        let price = Price {
            input_nano_usd_per_1k_tokens: new.input_usd_per_1m_tokens,
            output_nano_usd_per_1k_tokens: new.output_usd_per_1m_tokens,
            ..Price::default()
        };
        Self {
            name: new.name,
            enabled: true,
            operations: new.operations.into_iter().map(|one| ProtoOperation::from(one).into()).collect(),
            price: Some(price),
            targets: vec![target],
            max_output_tokens: new.max_output_tokens,
            context_tokens: new.context_tokens,
            engine: new.engine,
            ..Self::default()
        }
    }
}

/// USD per 1M tokens as nano-USD per 1,000: the contract's unit.
fn per_million(text: &str) -> Result<i64, String> {
    let usd = Usd::parse(text).ok_or("must be an amount in USD like 0.15")?;
    if usd.nano % 1000 == 0 {
        Ok(usd.nano / 1000)
    } else {
        Err("must not be finer than a millionth of a USD".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact_or_refused() {
        assert_eq!(per_million("0.15"), Ok(150_000));
        assert_eq!(per_million("0.000001"), Ok(1));
        assert!(per_million("0.0000001").is_err());
        assert!(per_million("-1").is_err() && per_million("cheap").is_err());
    }
}
