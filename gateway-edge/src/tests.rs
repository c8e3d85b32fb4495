//! The edge over a real socket, in front of a scripted `InferenceService` that stands for the router.

mod browsers;
mod chat;
mod connections;
mod etags;
mod openapi;
mod rest;
mod router;
mod server;
mod strangers;
mod streams;
mod things;
mod transcode;
