//! The lines as they stand in the files.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use headgate_tests::repo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::variables::Variables;

/// The files of [`Book::Seeded`], in the order in which they are driven.
const SEEDED: [&str; 8] =
    ["people", "tenants", "keys", "providers", "models", "budgets", "inference", "audit"];

/// Who presents no credential.
pub(super) const NOBODY: &str = "nobody";

/// What a deployment begins with, and what it is asked then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Book {
    /// A deployment that was never used.
    Empty,
    /// One with tenants, keys, people, a provider, a model, limits and budgets.
    Seeded,
}

/// One line: what is asked, and what is answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// Which requirements it shows.
    #[serde(default)]
    pub(super) rows: Vec<String>,
    /// The call, without "headgate."; none for what only HTTP has.
    pub(super) call: Option<String>,
    /// The methods and paths that stand for it. Each pass takes another.
    #[serde(default)]
    pub(super) paths: Vec<String>,
    /// Who asks: the variable that holds the credential; "nobody" presents none.
    #[serde(default = "operator", rename = "as")]
    pub(super) by: String,
    /// The request.
    #[serde(default)]
    pub(super) says: Value,
    /// The field that the body is, where it is not the whole request.
    pub(super) body: Option<String>,
    /// The HTTP status.
    #[serde(default = "ok")]
    pub(super) status: u16,
    /// How the call fails, e.g. "NOT_FOUND (MODEL_NOT_FOUND)".
    pub(super) fails: Option<String>,
    /// The field at fault.
    pub(super) field: Option<String>,
    /// The answer, all of it.
    pub(super) tells: Option<Value>,
    /// Variables, and where in the answer they are.
    #[serde(default)]
    pub(super) keeps: BTreeMap<String, String>,
    /// The cookies that it sets.
    #[serde(default)]
    pub(super) cookies: Vec<String>,
    /// Whether the answer may take a moment to be this one. For what changes nothing.
    #[serde(default)]
    pub(super) soon: bool,
    /// What differs over REST, where the public API has a dialect of its own.
    pub(super) rest: Option<Side>,
    /// What differs over gRPC.
    pub(super) grpc: Option<Side>,
    /// The test that shows it instead, as `cargo test` names it.
    pub(super) elsewhere: Option<String>,
    /// Why no line can.
    pub(super) why: Option<String>,
}

/// What one way to ask has of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Side {
    #[serde(default)]
    pub(super) says: Value,
    pub(super) tells: Option<Value>,
}

fn operator() -> String {
    "operator".to_owned()
}

fn ok() -> u16 {
    200
}

impl Line {
    /// The call's full name.
    pub(super) fn full_call(&self) -> Option<String> {
        self.call.as_ref().map(|call| format!("headgate.{call}"))
    }

    /// A variable that it uses and nobody set.
    pub(super) fn needs<'a>(&'a self, variables: &Variables) -> Option<&'a str> {
        let by = Some(self.by.as_str()).filter(|by| *by != NOBODY && !variables.has(by));
        let sides = [&self.rest, &self.grpc].into_iter().flatten();
        let values = [Some(&self.says), self.tells.as_ref()]
            .into_iter()
            .chain(sides.flat_map(|side| [Some(&side.says), side.tells.as_ref()]));
        by.or_else(|| values.flatten().find_map(|value| variables.missing(value)))
    }

    /// What identifies it to people.
    pub(super) fn title(&self) -> String {
        let call = self.call.as_deref().unwrap_or("HTTP");
        format!("{call} {:?} as {} with {}", self.paths, self.by, self.says)
    }

    /// Whether it is driven, and not shown by another test.
    pub(super) fn is_driven(&self) -> bool {
        self.elsewhere.is_none()
    }
}

/// Patterns by name, which others refer to with `like`.
pub(super) static SHAPES: LazyLock<Map<String, Value>> = LazyLock::new(|| read("shapes"));

/// The lines of a book, in their order.
pub(super) fn book(book: Book) -> Vec<Line> {
    match book {
        Book::Empty => read("empty"),
        Book::Seeded => SEEDED.into_iter().flat_map(read::<Vec<Line>>).collect(),
    }
}

/// All lines.
pub(super) fn all() -> Vec<Line> {
    [Book::Empty, Book::Seeded].into_iter().flat_map(book).collect()
}

fn read<T: DeserializeOwned>(name: &str) -> T {
    let file = repo::root().join(format!("tests/it/rows/{name}.yaml"));
    let text = fs::read_to_string(&file).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()))
}
