//! The OpenAPI 3.1 document: every call that is transcoded, from the contract and its comments, and the public API.

mod access;
mod comments;
mod operation;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::OnceLock;

use bytes::Bytes;
use headgate_kit::Failure;
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use prost_reflect::{DescriptorPool, FieldDescriptor};
use serde_json::{Map, Value, json};

use crate::body::Body;
use crate::service::{Answer, JSON, whole};
use crate::transcode::contract::Binding;
use comments::Comments;
use schema::Schemas;

/// The paths that are not transcoded, and what all operations share.
const PUBLIC: &str = include_str!("openapi/public.json");
/// It may be kept, but is asked for again: it changes with the program.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// The document. Written when it is first asked for, as it takes megabytes to write, and most processes never are.
pub(crate) struct Document {
    contract: DescriptorPool,
    /// An encoded `FileDescriptorSet` with the contract's comments.
    commented: Bytes,
    written: OnceLock<Result<Written, String>>,
}

/// The document as it is served.
struct Written {
    bytes: Bytes,
    etag: HeaderValue,
}

impl Document {
    /// One of this contract.
    pub(crate) fn new(contract: &DescriptorPool, commented: Bytes) -> Self {
        Self { contract: contract.clone(), commented, written: OnceLock::new() }
    }

    /// The answer to whoever asks for it. `served` are the bindings that it shows, always the same.
    pub(crate) fn answer<'a>(
        &self,
        headers: &HeaderMap,
        served: impl Iterator<Item = &'a Binding> + Clone,
    ) -> Answer {
        let write = || Written::new(&self.contract, &self.commented, served);
        match self.written.get_or_init(write) {
            Ok(written) => Ok(written.answer(headers)),
            Err(cause) => Err(Failure::internal(format!("no OpenAPI document: {cause}")).into()),
        }
    }
}

impl Written {
    /// What these bindings of a contract look like.
    ///
    /// # Errors
    /// When the part that is written by hand is no JSON, or the comments are no contract's.
    fn new<'a>(
        contract: &DescriptorPool,
        commented: &[u8],
        bindings: impl Iterator<Item = &'a Binding> + Clone,
    ) -> Result<Self, String> {
        let comments = Comments::read(commented).map_err(|cause| cause.to_string())?;
        let document = document(contract, comments, bindings).map_err(|cause| cause.to_string())?;
        let bytes = serde_json::to_vec(&document).map_err(|cause| cause.to_string())?;
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let etag = HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish()));
        Ok(Self { bytes: bytes.into(), etag: etag.map_err(|cause| cause.to_string())? })
    }

    fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let known = headers.get(IF_NONE_MATCH).is_some_and(|known| {
            known.as_bytes().split(|byte| *byte == b',').any(|tag| tag.trim_ascii() == self.etag.as_bytes())
        });
        let mut answer =
            if known { Response::new(Body::Whole(Bytes::new())) } else { whole(JSON, self.bytes.clone()) };
        if known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        }
        answer.headers_mut().insert(ETAG, self.etag.clone());
        answer.headers_mut().insert(CACHE_CONTROL, REVALIDATE);
        answer
    }
}

fn document<'a>(
    contract: &DescriptorPool,
    comments: Comments,
    bindings: impl Iterator<Item = &'a Binding> + Clone,
) -> serde_json::Result<Value> {
    let mut schemas =
        Schemas::new(contract, comments, bindings.clone().map(|binding| binding.method.output()));
    let mut document: Value = serde_json::from_str(PUBLIC)?;
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    let names = hole_names(bindings.clone());
    let mut ids = BTreeMap::<String, u32>::new();
    let mut services = BTreeMap::new();
    for binding in in_order(bindings) {
        let service = binding.method.parent_service();
        let name = format!("{}_{}", service.name(), binding.method.name());
        let nth = ids.entry(name.clone()).and_modify(|nth| *nth += 1).or_insert(1);
        let id = if *nth == 1 { name } else { format!("{name}_{nth}") };
        let own = names.get(&outline(binding)).cloned().unwrap_or_default();
        let operation = operation::operation(&mut schemas, binding, &own, &id);
        let path = binding.template.shown_with(&own);
        document["paths"][path][binding.verb.as_str().to_lowercase()] = operation;
        services.insert(service.name().to_owned(), service);
    }
    for (name, service) in services {
        let text = schemas.comments.at(&service.parent_file(), service.path());
        if let Some(tags) = document["tags"].as_array_mut() {
            tags.push(json!({"name": name, "description": text}));
        }
    }
    if let Some(own) = document["components"]["schemas"].as_object_mut() {
        let components: Map<_, _> = schemas.into_components();
        own.extend(components);
    }
    Ok(document)
}

/// As the contract has them: by service and call, the first way to say one first.
fn in_order<'a>(bindings: impl Iterator<Item = &'a Binding>) -> Vec<&'a Binding> {
    let mut bindings: Vec<_> = bindings.collect();
    bindings.sort_by(|a, b| {
        let key = |binding: &Binding| {
            let method = &binding.method;
            (method.parent_service().full_name().to_owned(), method.path().to_vec(), binding.nth)
        };
        key(a).cmp(&key(b))
    });
    bindings
}

/// A path whatever its holes are called and take.
fn outline(binding: &Binding) -> String {
    binding.template.shown_with(&vec![String::new(); binding.holes.len()])
}

/// What the holes of each path are called. Paths of one shape are one path, so their holes have one name each:
/// `{name_or_id}` where one call says a name there and another an id.
fn hole_names<'a>(bindings: impl Iterator<Item = &'a Binding>) -> BTreeMap<String, Vec<String>> {
    let mut names = BTreeMap::<String, Vec<Vec<String>>>::new();
    for binding in in_order(bindings) {
        let all = names.entry(outline(binding)).or_default();
        all.resize(binding.holes.len(), Vec::new());
        let short: BTreeSet<_> =
            binding.holes.iter().filter_map(|hole| hole.last()).map(FieldDescriptor::name).collect();
        for (known, hole) in all.iter_mut().zip(&binding.holes) {
            let full = || hole.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join("_");
            let last = hole.last().map(|field| field.name().to_owned()).unwrap_or_default();
            let name = if short.len() == binding.holes.len() { last } else { full() };
            if !known.contains(&name) {
                known.push(name);
            }
        }
    }
    let joined = |all: Vec<Vec<String>>| all.into_iter().map(|names| names.join("_or_")).collect();
    names.into_iter().map(|(shape, all)| (shape, joined(all))).collect()
}
