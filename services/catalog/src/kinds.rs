//! The kinds of providers that can be spoken to.

use headgate_proto::adapter::v1::ProviderKind;
use headgate_proto::catalog::v1::{Operation, ProviderKindInfo};

/// All of them, as the contract numbers them.
pub(crate) fn all() -> Vec<ProviderKindInfo> {
    (1..).map_while(|number| ProviderKind::try_from(number).ok()).filter_map(described).collect()
}

fn described(kind: ProviderKind) -> Option<ProviderKindInfo> {
    let (name, description, is_built_in) = match kind {
        ProviderKind::Unspecified => return None,
        ProviderKind::Openai => {
            ("openai", "OpenAI's API at any base URL: OpenAI, vLLM, llama.cpp and others", false)
        }
        ProviderKind::Echo => ("echo", "Built in: says back what it is told", true),
    };
    Some(ProviderKindInfo {
        kind: kind.into(),
        name: name.to_owned(),
        description: description.to_owned(),
        is_built_in,
        operations: vec![Operation::Chat.into(), Operation::Embeddings.into()],
    })
}
