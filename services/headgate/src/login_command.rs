//! `headgate login` and `headgate logout`: a session at a gate, as people have it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::admin::{self, TaskError, link::Place};
use crate::cli::{complain, say};

/// Where, and as whom.
#[derive(Args)]
pub(crate) struct Login {
    #[command(flatten)]
    place: Place,
    /// The e-mail address, or plain name, of the account. Default: it is asked for.
    #[arg(long)]
    email: Option<String>,
    /// A file whose first line is the password; `-` is standard input. Default: it is asked for and not shown.
    #[arg(long)]
    password_file: Option<PathBuf>,
}

/// Where.
#[derive(Args)]
pub(crate) struct Logout {
    #[command(flatten)]
    place: Place,
    /// End every session of the account, not only this one.
    #[arg(long)]
    everywhere: bool,
}

/// Begins a session, and keeps it for the commands that follow.
pub(crate) fn login(login: &Login) -> ExitCode {
    done(admin::block_on(async {
        let file = login.password_file.as_deref();
        admin::login(&login.place, login.email.clone(), file).await
    }))
}

/// Ends it.
pub(crate) fn logout(logout: &Logout) -> ExitCode {
    done(admin::block_on(admin::logout(&logout.place, logout.everywhere)))
}

fn done(result: Result<String, TaskError>) -> ExitCode {
    match result {
        Ok(text) => {
            say(text);
            ExitCode::SUCCESS
        }
        Err(cause) => {
            complain(cause);
            ExitCode::FAILURE
        }
    }
}
