//! `headgate`: every service in one process.

mod banner;
mod bootstrap;
mod cli;
mod compose;
mod config_command;
mod data_dir;
mod environment;
mod health;
mod healthcheck;
mod serve;
mod settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
