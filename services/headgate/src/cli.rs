//! The command line.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::topology::{Here, Service};
use crate::{admin, backup_command, config_command, healthcheck, login_command, migrate_command, serve};

/// The exit code for a wrong configuration (`EX_USAGE` of sysexits.h).
pub(crate) const EXIT_CONFIG: u8 = 64;

/// One governed, metered door in front of every language model.
#[derive(Parser)]
#[command(name = "headgate", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run services in this process: all of them, unless some are named.
    Serve {
        /// The services to run, separated by commas; the others are reached at the addresses in `peers`.
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Service>,
        /// The configuration file (YAML). Every value can be overridden by HEADGATE__SECTION__KEY, set in the
        /// environment or in a file `.env` in the working directory.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Bring the tables of services up to date: of all of them, unless some are named.
    Migrate {
        /// The services, separated by commas.
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Service>,
        /// The configuration file (YAML), read as `serve` does.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Look after tenants, users, members, keys, limits, budgets, providers and models of a running gate.
    Admin(admin::Admin),
    /// Log in at a running gate; `admin` and `backup` then act for who did.
    Login(login_command::Login),
    /// End that.
    Logout(login_command::Logout),
    /// Take the catalog of a running deployment along, or bring it back.
    Backup(backup_command::Backup),
    /// Look at configurations.
    #[command(subcommand)]
    Config(config_command::Command),
    /// Ask a running process whether it is ready; exit code 0 if so.
    Healthcheck {
        /// The address of its ops listener.
        #[arg(long, default_value = "127.0.0.1:9090")]
        ops: std::net::SocketAddr,
    },
}

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve { config, only } => serve::run(config.as_deref(), &Here::only(&only)),
        Command::Migrate { config, only } => migrate_command::run(config.as_deref(), &Here::only(&only)),
        Command::Admin(admin) => admin::run(admin),
        Command::Login(login) => login_command::login(&login),
        Command::Logout(logout) => login_command::logout(&logout),
        Command::Backup(backup) => backup_command::run(&backup),
        Command::Config(command) => config_command::run(&command),
        Command::Healthcheck { ops } => healthcheck::run(ops),
    }
}

/// Writes one line for a person to standard error.
#[expect(clippy::print_stderr, reason = "a command line speaks to a person")]
pub(crate) fn complain(line: impl std::fmt::Display) {
    eprintln!("{line}");
}

/// Writes what was asked for to standard output. That its reader has had enough, as `head` does, is no fault.
pub(crate) fn say(text: impl std::fmt::Display) {
    match writeln!(std::io::stdout(), "{text}") {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => complain(format!("standard output: {cause}")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
