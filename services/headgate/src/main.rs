//! `headgate`: every service in one process, or some of them.

mod admin;
mod backup_command;
mod banner;
mod bootstrap;
mod cli;
mod compose;
mod config_command;
mod data_dir;
mod elsewhere;
mod environment;
mod health;
mod healthcheck;
mod login_command;
mod migrate_command;
mod offer;
mod records;
mod serve;
mod settings;
mod topology;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
