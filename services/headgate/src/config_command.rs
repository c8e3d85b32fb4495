//! `headgate config`: the commented default, and a check without a start.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::{EXIT_CONFIG, complain, say};
use crate::settings::Settings;
use crate::topology::{Here, Service};

/// Every setting with its default and what it does.
const DEFAULT: &str = include_str!("default.yaml");

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print the default configuration with comments.
    Default,
    /// Check a configuration and the environment; exit code 64 and every fault if it is wrong.
    Check {
        /// The file.
        #[arg(long)]
        config: Option<PathBuf>,
        /// The services that the process will run, separated by commas. Default: all of them.
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Service>,
    },
}

pub(crate) fn run(command: &Command) -> ExitCode {
    match command {
        Command::Default => {
            say(DEFAULT.trim_end());
            ExitCode::SUCCESS
        }
        Command::Check { config, only } => match Settings::load(config.as_deref(), &Here::only(only)) {
            Ok(_) => {
                say("the configuration is fine");
                ExitCode::SUCCESS
            }
            Err(problems) => {
                report(&problems);
                ExitCode::from(EXIT_CONFIG)
            }
        },
    }
}

/// Shows every fault, a line each.
pub(crate) fn report(problems: &[headgate_kit::config::Problem]) {
    complain(format!("the configuration has {} fault(s):", problems.len()));
    for problem in problems {
        complain(format!("  {problem}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_default_is_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("default.yaml");
        std::fs::write(&file, DEFAULT).unwrap();
        let printed: Settings = Settings::load(Some(&file), &Here::all()).unwrap();
        let (printed, real) =
            (serde_json::to_value(&printed).unwrap(), serde_json::to_value(Settings::default()).unwrap());
        assert_eq!(printed, real);
        // Every value that can be set is shown.
        let shown: serde_json::Value = serde_saphyr::from_str(DEFAULT).unwrap();
        let (mut missing, mut path) = (Vec::new(), String::new());
        absent(&real, &shown, &mut path, &mut missing);
        assert!(missing.is_empty(), "not in default.yaml: {missing:?}");
    }

    fn absent(
        real: &serde_json::Value,
        shown: &serde_json::Value,
        path: &mut String,
        missing: &mut Vec<String>,
    ) {
        let Some(map) = real.as_object() else { return };
        for (key, value) in map {
            match shown.get(key) {
                None => missing.push(format!("{path}{key}")),
                Some(inner) => {
                    let mut below = format!("{path}{key}.");
                    absent(value, inner, &mut below, missing);
                }
            }
        }
    }
}
