//! `headgate admin user`.

use std::path::PathBuf;

use clap::Subcommand;
use headgate_proto::auth::v1::user_service_client::UserServiceClient;
use headgate_proto::auth::v1::{
    CreatePasswordResetRequest, CreateUserRequest, GetUserRequest, ListUsersRequest, UpdateUserRequest, User,
    UserStatus,
};
use secrecy::ExposeSecret as _;

use super::link::Link;
use super::show::{Column, Shown};
use super::{PAGE, TaskError, all_pages, ask};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List them all, suspended ones too.
    List,
    /// Show one.
    Get {
        /// The id, or what they log in with.
        user: String,
    },
    /// Make one. Without a password they set one with `reset-password`.
    Create {
        /// What they log in with: an e-mail address, or a plain name.
        email: String,
        /// For people.
        #[arg(long, default_value = "")]
        name: String,
        /// Ask for a password, without showing it.
        #[arg(long)]
        ask_password: bool,
        /// A file whose first line is the password; `-` is standard input.
        #[arg(long, conflicts_with = "ask_password")]
        password_file: Option<PathBuf>,
        /// Let them do everything, in every tenant.
        #[arg(long)]
        super_admin: bool,
    },
    /// Make a token, and show it, this once, with which they set a new password.
    ResetPassword {
        /// The id, or what they log in with.
        user: String,
    },
    /// Let one in no longer; what they hold is void within a second.
    Suspend {
        /// The id, or what they log in with.
        user: String,
    },
    /// Let one in again.
    Activate {
        /// The id, or what they log in with.
        user: String,
    },
    /// Let one do everything, in every tenant.
    GrantSuperAdmin {
        /// The id, or what they log in with.
        user: String,
    },
    /// Let one do only what their roles say.
    RevokeSuperAdmin {
        /// The id, or what they log in with.
        user: String,
    },
}

const COLUMNS: &[Column] = &[
    Column { title: "ID", at: "/id" },
    Column { title: "E-MAIL", at: "/email" },
    Column { title: "NAME", at: "/name" },
    Column { title: "STATUS", at: "/status" },
    Column { title: "SUPER ADMIN", at: "/super_admin" },
    Column { title: "LAST LOGIN", at: "/last_login_time" },
];

pub(super) async fn run(command: Command, link: Link) -> Result<Shown, TaskError> {
    let mut users = UserServiceClient::new(link);
    let status = |status: UserStatus| UpdateUserRequest { status: Some(status.into()), ..Default::default() };
    let everything = |may| UpdateUserRequest { super_admin: Some(may), ..Default::default() };
    let (user, change) = match command {
        Command::List => return Shown::rows(&list(&users, "").await?, COLUMNS),
        Command::Get { user } => return Shown::one(Some(&find(&mut users, user).await?)),
        Command::Create { email, name, ask_password, password_file, super_admin } => {
            let password = match ask_password || password_file.is_some() {
                true => ask::password("Password of the user", password_file.as_deref())?
                    .expose_secret()
                    .to_owned(),
                false => String::new(),
            };
            let request = CreateUserRequest { email, name, password, super_admin };
            return Shown::one(users.create_user(request).await?.into_inner().user.as_ref());
        }
        Command::ResetPassword { user } => {
            let id = find(&mut users, user).await?.id;
            let answer = users.create_password_reset(CreatePasswordResetRequest { id }).await?;
            return Shown::one(Some(&answer.into_inner()));
        }
        Command::Suspend { user } => (user, status(UserStatus::Suspended)),
        Command::Activate { user } => (user, status(UserStatus::Active)),
        Command::GrantSuperAdmin { user } => (user, everything(true)),
        Command::RevokeSuperAdmin { user } => (user, everything(false)),
    };
    let id = find(&mut users, user).await?.id;
    let changed = users.update_user(UpdateUserRequest { id, ..change }).await?.into_inner();
    Shown::one(changed.user.as_ref())
}

/// The user of this id, or who logs in with it.
async fn find(users: &mut UserServiceClient<Link>, user: String) -> Result<User, TaskError> {
    if let Some(found) = list(users, &user).await?.pop() {
        return Ok(found);
    }
    let answer = users.get_user(GetUserRequest { id: user }).await?.into_inner();
    answer.user.ok_or(TaskError::Incomplete)
}

/// All users, or who logs in with this.
async fn list(users: &UserServiceClient<Link>, email: &str) -> Result<Vec<User>, TaskError> {
    let page = |page_token| {
        let mut users = users.clone();
        async move {
            let email = email.to_owned();
            let request = ListUsersRequest { page_size: PAGE, page_token, email, ..Default::default() };
            let page = users.list_users(request).await?.into_inner();
            Ok((page.users, page.next_page_token))
        }
    };
    all_pages(page).await
}
