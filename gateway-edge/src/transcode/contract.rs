//! What the protos say about HTTP: every binding of every call.

use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, ReflectMessage as _, Value,
};

use super::template::Template;
use crate::route::Route;

const HTTP: &str = "google.api.http";
const ACCESS: &str = "headgate.common.v1.access";
const OPEN: &str = "headgate.common.v1.open";
const PUBLIC: &str = "AUDIENCE_PUBLIC";
const CONSUMER: &str = "AUDIENCE_CONSUMER";
const PEER: &str = "AUDIENCE_PEER";

/// A field within a message, from the outside in.
pub(crate) type FieldPath = Vec<FieldDescriptor>;

/// One method and path that stand for a call.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) verb: Method,
    pub(crate) template: Template,
    /// What the holes of the template fill, in their order.
    pub(crate) holes: Vec<FieldPath>,
    pub(crate) body: BodyRule,
    /// Whether the query may hold what the message does not know.
    pub(crate) open: bool,
    /// The field of the answer that is shown; `None` shows all of it.
    pub(crate) answer: Option<FieldDescriptor>,
    pub(crate) method: MethodDescriptor,
    /// Of the call itself, over gRPC.
    pub(crate) rpc: PathAndQuery,
    /// Which way to say the call it is: 0 for the first.
    pub(crate) nth: usize,
    /// Whom it answers, as its proto says.
    pub(crate) access: Access,
}

/// Whom a call answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// The name of the audience; empty where the proto does not say.
    pub(crate) audience: String,
    /// The name of the least role; empty where none is asked for.
    pub(crate) role: String,
}

impl Access {
    /// Whether nobody need say who they are.
    pub(crate) fn is_public(&self) -> bool {
        self.audience == PUBLIC
    }

    /// Whether it takes an API key.
    pub(crate) fn is_for_consumers(&self) -> bool {
        self.audience == CONSUMER
    }
}

/// What a request's body is.
#[derive(Debug)]
pub(crate) enum BodyRule {
    /// There is none.
    None,
    /// Every field that the path does not name.
    Whole,
    /// One field.
    Field(FieldDescriptor),
}

/// Every binding, those first that match less.
///
/// # Errors
/// The first rule that cannot be followed, and why.
pub(crate) fn bindings(pool: &DescriptorPool) -> Result<Vec<Binding>, String> {
    let Some(http) = pool.get_extension_by_name(HTTP) else { return Ok(Vec::new()) };
    let access = pool.get_extension_by_name(ACCESS);
    let mut bindings = Vec::new();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let options = method.options();
        if !options.has_extension(&http) {
            continue;
        }
        let access = access.as_ref().map(|access| said_access(&options, access)).unwrap_or_default();
        let in_method = |why: String| format!("{}: {why}", method.full_name());
        if access.audience == PEER {
            return Err(in_method("a call between services must not be served over HTTP".to_owned()));
        }
        let rule = options.get_extension(&http);
        let rule = rule.as_message().ok_or_else(|| in_method("has no rule".to_owned()))?;
        bindings.push(binding(rule, &method, &access, 0).map_err(in_method)?);
        let more = rule.get_field_by_name("additional_bindings");
        for (at, more) in more.iter().flat_map(|more| more.as_list()).flatten().enumerate() {
            let more = more.as_message().ok_or_else(|| in_method("has no rule".to_owned()))?;
            bindings.push(binding(more, &method, &access, at + 1).map_err(in_method)?);
        }
    }
    // Stable: of the same shape, those of a method come as they are written.
    bindings.sort_by_key(|binding| binding.template.breadth());
    refuse_twins(&bindings)?;
    Ok(bindings)
}

/// Whom a call answers, as its options say.
fn said_access(options: &DynamicMessage, access: &ExtensionDescriptor) -> Access {
    let said = options.get_extension(access);
    let name = |field: &str| {
        let said = said.as_message()?;
        let Kind::Enum(names) = said.descriptor().get_field_by_name(field)?.kind() else { return None };
        let number = said.get_field_by_name(field)?.as_enum_number().filter(|number| *number != 0)?;
        Some(names.get_value(number)?.name().to_owned())
    };
    let of = |field| name(field).unwrap_or_default();
    Access { audience: of("audience"), role: of("role") }
}

/// Whether a request is made by others than our clients.
fn is_open(input: &MessageDescriptor) -> bool {
    let open = input.parent_pool().get_extension_by_name(OPEN);
    open.is_some_and(|open| input.options().get_extension(&open).as_bool() == Some(true))
}

fn binding(
    rule: &DynamicMessage,
    method: &MethodDescriptor,
    access: &Access,
    nth: usize,
) -> Result<Binding, String> {
    let (verb, path) = pattern(rule)?;
    let template = Template::parse(&path)?;
    let stands_for = Route::of(template.text());
    if stands_for != Route::Other {
        return Err(format!("the path {path} belongs to {}", stands_for.template()));
    }
    let input = method.input();
    let holes = template.fields().map(|name| scalar(&input, name)).collect::<Result<_, _>>()?;
    let body = match text(rule, "body").as_str() {
        "" => BodyRule::None,
        "*" => BodyRule::Whole,
        name => BodyRule::Field(field(&input, name)?),
    };
    let answer = match text(rule, "response_body").as_str() {
        "" => None,
        name => Some(field(&method.output(), name)?),
    };
    if method.is_client_streaming() {
        return Err("a stream of requests cannot be served over HTTP".to_owned());
    }
    let rpc = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let rpc = PathAndQuery::try_from(rpc).map_err(|cause| cause.to_string())?;
    Ok(Binding {
        verb,
        template,
        holes,
        body,
        open: is_open(&input),
        answer,
        method: method.clone(),
        rpc,
        nth,
        access: access.clone(),
    })
}

fn pattern(rule: &DynamicMessage) -> Result<(Method, String), String> {
    let usual = [
        ("get", Method::GET),
        ("put", Method::PUT),
        ("post", Method::POST),
        ("delete", Method::DELETE),
        ("patch", Method::PATCH),
    ];
    for (name, method) in usual {
        if rule.has_field_by_name(name) {
            return Ok((method, text(rule, name)));
        }
    }
    if !rule.has_field_by_name("custom") {
        return Err("has a rule without a path".to_owned());
    }
    let custom = rule.get_field_by_name("custom");
    let custom = custom.as_deref().and_then(Value::as_message).ok_or("has a rule without a path")?;
    let method = Method::from_bytes(text(custom, "kind").as_bytes()).map_err(|cause| cause.to_string())?;
    Ok((method, text(custom, "path")))
}

fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn field(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    message.get_field_by_name(name).ok_or_else(|| format!("{} has no field {name}", message.full_name()))
}

/// A field that a segment of a path can say.
fn scalar(message: &MessageDescriptor, path: &str) -> Result<FieldPath, String> {
    let (mut within, mut fields) = (Some(message.clone()), FieldPath::new());
    for name in path.split('.') {
        let message = within.ok_or_else(|| format!("{path} leads beyond a value"))?;
        let found = field(&message, name)?;
        within = match found.kind() {
            Kind::Message(inner) if !found.is_list() && !found.is_map() => Some(inner),
            _ => None,
        };
        fields.push(found);
    }
    match fields.last() {
        Some(last) if within.is_none() && !last.is_list() && !last.is_map() => Ok(fields),
        _ => Err(format!("{path} is no single value")),
    }
}

fn refuse_twins(bindings: &[Binding]) -> Result<(), String> {
    for (at, one) in bindings.iter().enumerate() {
        let same =
            |other: &&Binding| other.verb == one.verb && other.template.shape() == one.template.shape();
        if let Some(other) = bindings[at + 1..].iter().find(same) {
            let (path, first, second) =
                (one.template.text(), one.method.full_name(), other.method.full_name());
            return Err(format!("{} {path} stands for {first} and for {second}", one.verb));
        }
    }
    Ok(())
}
