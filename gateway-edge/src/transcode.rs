//! Serves every call whose proto says how it goes over HTTP (`google.api.http`), from descriptors alone.
//!
//! Knows no service by name: what a path is, which fields it fills and what an answer looks like follows from the
//! contract. docs/REST.md has the rules.

mod answer;
mod bind;
mod call;
pub(crate) mod codec;
pub(crate) mod contract;
pub(crate) mod etag;
pub(crate) mod json;
mod names;
mod template;
mod unique;
pub(crate) mod wrapper;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headgate_kit::conn::Conn;
use http::Method;
use prost_reflect::DescriptorPool;

pub(crate) use bind::{Given, unescaped};
pub(crate) use call::{Asked, Events};
use contract::Binding;

/// Where the calls of each proto package are answered.
pub type Services = BTreeMap<&'static str, Conn>;

/// Every call that is served.
pub(crate) struct Transcoder {
    bindings: Vec<Arc<Binding>>,
    /// The templates' texts, each once.
    templates: Vec<String>,
    services: Services,
    /// The most bytes that an answer may have.
    answer_bytes: usize,
}

/// What a request asks for.
pub(crate) enum Found {
    /// A call.
    Call(Match),
    /// A path that has other methods, and which.
    OtherMethods(String),
    /// Nothing that is served.
    Nothing,
}

/// A binding and what stands in its holes.
pub(crate) struct Match {
    pub(crate) binding: Arc<Binding>,
    pub(crate) captures: Vec<String>,
    /// Of its template among [`Transcoder::templates`].
    pub(crate) place: usize,
}

impl Transcoder {
    /// One that serves what a contract says.
    ///
    /// # Errors
    /// The first rule that cannot be followed, and why.
    pub(crate) fn new(
        pool: &DescriptorPool,
        services: Services,
        answer_bytes: usize,
    ) -> Result<Self, String> {
        let bindings: Vec<_> = contract::bindings(pool)?.into_iter().map(Arc::new).collect();
        let templates: BTreeSet<String> = bindings.iter().map(|b| b.template.text().to_owned()).collect();
        Ok(Self { bindings, templates: templates.into_iter().collect(), services, answer_bytes })
    }

    /// What metrics call the paths that are served.
    pub(crate) fn templates(&self) -> &[String] {
        &self.templates
    }

    /// What is served: every binding of a service that this edge is told of.
    pub(crate) fn served(&self) -> impl Iterator<Item = &Binding> + Clone {
        self.bindings.iter().map(Arc::as_ref).filter(|binding| self.service(binding).is_some())
    }

    /// What a method and a path stand for. HEAD stands for what GET does.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Found {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let mut others = BTreeSet::new();
        for binding in &self.bindings {
            let Some(captures) = binding.template.captures(path) else { continue };
            if binding.verb == *method {
                let place =
                    self.templates.binary_search_by(|text| text.as_str().cmp(binding.template.text()));
                let place = place.unwrap_or_default();
                return Found::Call(Match { binding: Arc::clone(binding), captures, place });
            }
            others.insert(binding.verb.as_str());
            if binding.verb == Method::GET {
                others.insert(Method::HEAD.as_str());
            }
        }
        match others.is_empty() {
            true => Found::Nothing,
            false => Found::OtherMethods(others.into_iter().collect::<Vec<_>>().join(", ")),
        }
    }

    /// Where a call is answered; `None` where this edge is not told.
    pub(crate) fn service(&self, binding: &Binding) -> Option<&Conn> {
        self.services.get(binding.method.parent_service().package_name())
    }
}
