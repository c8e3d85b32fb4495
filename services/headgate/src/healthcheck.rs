//! `headgate healthcheck`: for containers that have no other client.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::complain;

const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `/readyz`.
pub(crate) fn run(ops: SocketAddr) -> ExitCode {
    match ask(ops) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => ExitCode::SUCCESS,
        Ok(answer) => {
            complain(answer.lines().last().unwrap_or("no answer"));
            ExitCode::FAILURE
        }
        Err(cause) => {
            complain(format!("{ops}: {cause}"));
            ExitCode::FAILURE
        }
    }
}

fn ask(ops: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&ops, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream
        .write_all(format!("GET /readyz HTTP/1.1\r\nhost: {ops}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
