//! Sessions of the command line.

use std::path::Path;

use headgate_proto::auth::v1::session_service_client::SessionServiceClient;
use headgate_proto::auth::v1::{LoginRequest, LogoutRequest};
use secrecy::ExposeSecret as _;

use super::link::Place;
use super::session::Sessions;
use super::{TaskError, ask};

/// Logs in, and keeps the session. Tells whose it is.
pub(crate) async fn login(
    place: &Place,
    email: Option<String>,
    password_file: Option<&Path>,
) -> Result<String, TaskError> {
    let channel = place.channel()?;
    let email = email.map_or_else(|| ask::line("E-mail"), Ok)?;
    let password = ask::password("Password", password_file)?;
    let request =
        LoginRequest { email, password: password.expose_secret().to_owned(), ..LoginRequest::default() };
    let answer = SessionServiceClient::new(channel).login(request).await?.into_inner();
    let (tokens, user) = answer.tokens.zip(answer.user).ok_or(TaskError::Incomplete)?;
    Sessions::required()?.keep(place.name(), tokens)?;
    Ok(format!("logged in at {} as {}", place.name(), user.email))
}

/// Ends the session, there and here.
pub(crate) async fn logout(place: &Place, everywhere: bool) -> Result<String, TaskError> {
    let channel = place.channel()?;
    let mut sessions = Sessions::required()?;
    let Some(refresh_token) = sessions.refresh_token(place.name()) else {
        return Err(TaskError::Value(format!("nobody is logged in at {}", place.name())));
    };
    let request = LogoutRequest { refresh_token, everywhere };
    SessionServiceClient::new(channel).logout(request).await?;
    sessions.forget(place.name())?;
    Ok(format!("logged out at {}", place.name()))
}
