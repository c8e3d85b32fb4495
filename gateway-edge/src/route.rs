//! The paths the edge knows.

use http::Method;
use percent_encoding::percent_decode_str;

/// What a path stands for. The unit of metrics, so the list is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    ChatCompletions,
    Completions,
    Embeddings,
    Models,
    Model,
    ModelsStatus,
    ModelsSearch,
    Health,
    Ping,
    OpenApi,
    Docs,
    DocsScript,
    DocsStyle,
    /// No path of ours.
    Other,
}

/// Before a model's name in a path.
const MODEL_PREFIX: &str = "/v1/models/";

impl Route {
    pub(crate) const COUNT: usize = 14;
    const ALL: [Self; Self::COUNT] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Models,
        Self::Model,
        Self::ModelsStatus,
        Self::ModelsSearch,
        Self::Health,
        Self::Ping,
        Self::OpenApi,
        Self::Docs,
        Self::DocsScript,
        Self::DocsStyle,
        Self::Other,
    ];

    /// Every route, each at its own `index`.
    pub(crate) fn all() -> [Self; Self::COUNT] {
        Self::ALL
    }

    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v1/chat/completions" => Self::ChatCompletions,
            "/v1/completions" => Self::Completions,
            "/v1/embeddings" => Self::Embeddings,
            "/v1/models" | "/models" => Self::Models,
            "/v1/models/status" => Self::ModelsStatus,
            "/v1/models/search" => Self::ModelsSearch,
            "/health" | "/healthz" | "/api/health" => Self::Health,
            "/ping" => Self::Ping,
            "/openapi.json" => Self::OpenApi,
            "/docs" => Self::Docs,
            "/docs/page.js" => Self::DocsScript,
            "/docs/page.css" => Self::DocsStyle,
            _ if path.strip_prefix(MODEL_PREFIX).is_some_and(|name| !name.is_empty()) => Self::Model,
            _ => Self::Other,
        }
    }

    /// Its place in arrays that have one entry per route.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The path as metrics show it, never what a client sent.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Models => "/v1/models",
            Self::Model => "/v1/models/{id}",
            Self::ModelsStatus => "/v1/models/status",
            Self::ModelsSearch => "/v1/models/search",
            Self::Health => "/health",
            Self::Ping => "/ping",
            Self::OpenApi => "/openapi.json",
            Self::Docs => "/docs",
            Self::DocsScript => "/docs/page.js",
            Self::DocsStyle => "/docs/page.css",
            Self::Other => "other",
        }
    }

    /// Whether who calls must present a key.
    pub(crate) fn asks_for_key(self) -> bool {
        matches!(
            self,
            Self::ChatCompletions
                | Self::Completions
                | Self::Embeddings
                | Self::Models
                | Self::Model
                | Self::ModelsStatus
                | Self::ModelsSearch
        )
    }

    /// The value of `Allow`.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Embeddings => "POST",
            _ => "GET, HEAD",
        }
    }

    pub(crate) fn allows(self, method: &Method) -> bool {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Embeddings => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// The model's name in the path of [`Route::Model`], which may hold slashes, escaped or not. `None` when it is not
/// UTF-8: no model has such a name.
pub(crate) fn model_name(path: &str) -> Option<String> {
    let escaped = path.strip_prefix(MODEL_PREFIX)?;
    Some(percent_decode_str(escaped).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_positions() {
        for (position, route) in Route::all().into_iter().enumerate() {
            assert_eq!(route.index(), position);
        }
    }

    #[test]
    fn paths_match_whole_or_not_at_all() {
        assert_eq!(Route::of("/v1/models"), Route::Models);
        assert_eq!(Route::of("/models"), Route::Models);
        assert_eq!(Route::of("/v1/models/"), Route::Other);
        assert_eq!(Route::of("/v1/models/status"), Route::ModelsStatus);
        assert_eq!(Route::of("/v1/models/search"), Route::ModelsSearch);
        assert_eq!(Route::of("/v1/models/a/b"), Route::Model);
        assert_eq!(Route::of("/v1/chat/completions/"), Route::Other);
        assert_eq!(Route::of("/V1/models"), Route::Other);
    }

    #[test]
    fn model_names_are_unescaped_once() {
        assert_eq!(model_name("/v1/models/org%2Fname%20x").as_deref(), Some("org/name x"));
        assert_eq!(model_name("/v1/models/org/na%252Fme").as_deref(), Some("org/na%2Fme"));
        assert_eq!(model_name("/v1/models/100%").as_deref(), Some("100%"));
        assert_eq!(model_name("/v1/models/%ff"), None);
    }
}
