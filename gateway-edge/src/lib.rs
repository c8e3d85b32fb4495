//! OpenAI REST and SSE over Headgate's gRPC services
