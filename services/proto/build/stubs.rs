//! Writes a stub for every service beside tonic's client and server: a client that calls a server of the same
//! process with messages instead of bytes.

use std::fmt::Write as _;

use prost_build::{Method, Service, ServiceGenerator};

/// tonic's generator, followed by ours.
pub(crate) struct WithStubs(pub(crate) Box<dyn ServiceGenerator>);

impl ServiceGenerator for WithStubs {
    fn generate(&mut self, service: Service, code: &mut String) {
        let stub = stub(&service);
        self.0.generate(service, code);
        code.push_str(&stub);
    }

    fn finalize(&mut self, code: &mut String) {
        self.0.finalize(code);
    }

    fn finalize_package(&mut self, package: &str, code: &mut String) {
        self.0.finalize_package(package, code);
    }
}

fn stub(service: &Service) -> String {
    let name = &service.name;
    let module = snake(name);
    let mut code = format!(
        "
/// `{name}` as an object: what a server of this process is to a stub.
pub trait Direct{name}: Send + Sync + 'static {{{signatures}
}}

impl<T: {module}_server::{name}> Direct{name} for T {{{forwards}
}}

/// Calls `{name}`, with messages where the server is in this process and over the wire where it is not.
#[derive(Clone)]
pub struct {name}Stub<C> {{
    direct: Option<std::sync::Arc<dyn Direct{name}>>,
    wire: {module}_client::{name}Client<C>,
}}

impl<C: crate::direct::Connection> {name}Stub<C> {{
    /// A stub of the server that `connection` leads to.
    pub fn new(connection: C) -> Self {{
        let direct = connection.direct::<std::sync::Arc<dyn Direct{name}>>();
        Self {{ direct, wire: {module}_client::{name}Client::new(connection) }}
    }}

    /// Limits the bytes of a message that comes over the wire; 4 MiB without it.
    #[must_use]
    pub fn max_decoding_message_size(mut self, bytes: usize) -> Self {{
        self.wire = self.wire.max_decoding_message_size(bytes);
        self
    }}
{calls}}}

impl<C> std::fmt::Debug for {name}Stub<C> {{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{
        f.debug_struct(\"{name}Stub\").field(\"direct\", &self.direct.is_some()).finish_non_exhaustive()
    }}
}}
",
        signatures = each(service, |m| format!("\n{};", signature(m))),
        forwards = each(service, |m| forward(m, &module, name)),
        calls = each(service, call),
    );
    code.push('\n');
    code
}

fn each(service: &Service, write: impl Fn(&Method) -> String) -> String {
    service.methods.iter().fold(String::new(), |mut all, method| {
        assert!(!method.client_streaming, "client streams have no stub yet");
        let _infallible = all.write_str(&write(method));
        all
    })
}

fn signature(method: &Method) -> String {
    format!(
        "    /// `{proto_name}`.
    fn {name}<'a>(&'a self, request: tonic::Request<{input}>) -> crate::direct::Answering<'a, {answer}>",
        proto_name = method.proto_name,
        name = method.name,
        input = method.input_type,
        answer = answer(method),
    )
}

fn forward(method: &Method, module: &str, service: &str) -> String {
    let name = &method.name;
    let call = format!("<T as {module}_server::{service}>::{name}(self, request)");
    let body = if method.server_streaming {
        format!("Box::pin(async move {{ Ok({call}.await?.map(crate::direct::Messages::direct)) }})")
    } else {
        call
    };
    format!("\n{} {{\n        {body}\n    }}", signature(method))
}

fn call(method: &Method) -> String {
    let name = &method.name;
    // Boxed, so that a caller's future does not grow by what it seldom needs.
    let wire = format!("Box::pin(self.wire.clone().{name}(request)).await");
    let wire = if method.server_streaming {
        format!("Ok({wire}?.map(crate::direct::Messages::wire))")
    } else {
        wire
    };
    format!(
        "
    /// `{proto_name}`.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub async fn {name}(
        &self,
        request: impl tonic::IntoRequest<{input}>,
    ) -> Result<tonic::Response<{answer}>, tonic::Status> {{
        let request = request.into_request();
        match &self.direct {{
            Some(server) => C::call_direct(request, |request| server.{name}(request)).await,
            None => {wire},
        }}
    }}
",
        proto_name = method.proto_name,
        input = method.input_type,
        answer = answer(method),
    )
}

fn answer(method: &Method) -> String {
    if method.server_streaming {
        format!("crate::direct::Messages<{}>", method.output_type)
    } else {
        method.output_type.clone()
    }
}

/// As tonic names its modules.
fn snake(name: &str) -> String {
    name.char_indices().fold(String::new(), |mut snake, (at, letter)| {
        if letter.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
        snake
    })
}
