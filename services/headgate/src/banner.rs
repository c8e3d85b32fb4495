//! What a newcomer can paste next.

use std::net::SocketAddr;

use crate::serve::Listening;

/// The text printed when a demo is served.
pub(crate) fn demo(edge: SocketAddr, at: &Listening) -> String {
    format!(
        r#"
Headgate is ready, with a demo tenant, the key sk-demo.my-secret and the model echo. Try:

  curl http://{edge}/v1/chat/completions \
    -H 'Authorization: Bearer sk-demo.my-secret' -H 'Content-Type: application/json' \
    -d '{{"model": "echo", "messages": [{{"role": "user", "content": "Hello!"}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="http://{edge}/v1", api_key="sk-demo.my-secret")

gRPC (reflection, health): {grpc}    metrics and readiness: http://{ops}/metrics, /readyz
"#,
        grpc = at.grpc,
        ops = at.ops
    )
}
