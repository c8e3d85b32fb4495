//! OpenAI's API at any base URL: OpenAI itself, vLLM, llama.cpp and many others.

mod answer;
mod question;
mod stream;

use bytes::Bytes;
use headgate_kit::Failure;
use headgate_proto::adapter::v1::{ChatResponse, EmbedResponse};
use headgate_proto::inference::v1::{Dialect, EmbedRequest};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};

pub(crate) use self::question::{ChatQuestion, EmbedQuestion, chat_question, embed_question};
use self::stream::OpenAiChunks;
use crate::failure;
use crate::provider::{Call, ChatAsk, ChatForm, Chunks, EmbedForm, Encoding, Exchange, Provider};

const AGENT: HeaderValue = HeaderValue::from_static(concat!("headgate/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// The translation; it has no state.
pub(crate) struct OpenAi;

impl Provider for OpenAi {
    fn chat(&self, call: &Call<'_>, ask: ChatAsk) -> Result<(Exchange, ChatForm), Failure> {
        let accept = if ask.stream { EVENTS } else { JSON };
        let ChatQuestion { body, form } = chat_question(call.target, ask)?;
        let path = match form.encoding {
            Encoding::Dialect(Dialect::OpenaiCompletions) => "/completions",
            _ => "/chat/completions",
        };
        Ok((Exchange::Upstream(post(call, path, accept, body)?), form))
    }

    fn chat_answer(&self, form: ChatForm, body: Bytes) -> Result<ChatResponse, Failure> {
        answer::chat(form, body)
    }

    fn chunks(&self, form: ChatForm) -> Box<dyn Chunks> {
        Box::new(OpenAiChunks::new(form))
    }

    fn embed(&self, call: &Call<'_>, ask: EmbedRequest) -> Result<(Exchange, EmbedForm), Failure> {
        let EmbedQuestion { body, form } = embed_question(&call.target.upstream_model, ask)?;
        Ok((Exchange::Upstream(post(call, "/embeddings", JSON, body)?), form))
    }

    fn embed_answer(&self, form: EmbedForm, body: Bytes) -> Result<EmbedResponse, Failure> {
        answer::embed(form, body)
    }

    fn places(&self, call: &Call<'_>) -> Result<Vec<Request<Bytes>>, Failure> {
        ["", "/models"].into_iter().map(|path| request(call, Method::GET, path, JSON, Bytes::new())).collect()
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], now_ms: i64) -> Failure {
        failure::answered(status, headers, body, now_ms)
    }
}

fn post(call: &Call<'_>, path: &str, accept: HeaderValue, body: Bytes) -> Result<Request<Bytes>, Failure> {
    let mut request = request(call, Method::POST, path, accept, body)?;
    request.headers_mut().insert(CONTENT_TYPE, JSON);
    Ok(request)
}

fn request(
    call: &Call<'_>,
    method: Method,
    path: &str,
    accept: HeaderValue,
    body: Bytes,
) -> Result<Request<Bytes>, Failure> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri(&call.target.base_url, path)?;
    let headers = request.headers_mut();
    headers.reserve(8);
    headers.insert(ACCEPT, accept);
    // Compressed answers would have to be opened before they can be read.
    headers.insert(ACCEPT_ENCODING, IDENTITY);
    headers.insert(USER_AGENT, AGENT);
    if let Some(credential) = call.credential {
        headers.insert(AUTHORIZATION, credential.clone());
    }
    Ok(request)
}

fn uri(base: &str, path: &str) -> Result<Uri, Failure> {
    // The URL is not repeated in the failure: it may hold a password.
    let fault = || Failure::invalid("target.base_url", "target.base_url must be an http or https URL");
    let uri = Uri::try_from([base.trim_end_matches('/'), path].concat()).map_err(|_| fault())?;
    let known = uri.scheme() == Some(&Scheme::HTTP) || uri.scheme() == Some(&Scheme::HTTPS);
    if known && uri.query().is_none() { Ok(uri) } else { Err(fault()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_stands_below_the_base() {
        for base in ["http://h:1/v1", "http://h:1/v1/", "https://h/v1"] {
            assert!(uri(base, "/embeddings").unwrap().path() == "/v1/embeddings", "{base}");
        }
        for base in ["", "/v1", "ftp://h/v1", "h:1", "http://h/v1?x=1", "http://u p@h"] {
            assert!(uri(base, "/embeddings").is_err(), "{base}");
        }
    }
}
