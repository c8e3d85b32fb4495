//! People of every kind, logged in.

use headgate_access::Role;
use headgate_proto::auth::v1::membership_service_client::MembershipServiceClient;
use headgate_proto::auth::v1::session_service_client::SessionServiceClient;
use headgate_proto::auth::v1::user_service_client::UserServiceClient;
use headgate_proto::auth::v1::{
    CreateMembershipRequest, CreateUserRequest, LoginRequest, UpdateUserRequest, UserStatus,
};
use headgate_tests::cluster::Headgate;
use headgate_tests::setup::TENANT;

const PASSWORD: &str = "correct horse battery staple";

/// Someone, and the access token of a login.
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// Someone of every kind.
pub(crate) struct People {
    /// People of the tenant [`TENANT`], one in each role.
    pub(crate) own: Vec<(Role, Person)>,
    /// An owner of another tenant.
    pub(crate) neighbour: Person,
    /// Someone who belongs nowhere.
    pub(crate) stranger: Person,
    pub(crate) super_admin: Person,
}

impl People {
    pub(crate) async fn log_in(headgate: &Headgate) -> Self {
        let mut own = Vec::new();
        for role in [Role::Viewer, Role::Member, Role::Admin, Role::Owner] {
            own.push((role, person(headgate, role.as_str_name(), Some((TENANT, role)), false).await));
        }
        Self {
            own,
            neighbour: person(headgate, "neighbour", Some(("globex", Role::Owner)), false).await,
            stranger: person(headgate, "stranger", None, false).await,
            super_admin: person(headgate, "root", None, true).await,
        }
    }

    /// Everyone, with a name for messages.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &Person)> {
        let own = self.own.iter().map(|(role, person)| (role.as_str_name(), person));
        let others = [
            ("neighbour", &self.neighbour),
            ("stranger", &self.stranger),
            ("super admin", &self.super_admin),
        ];
        own.chain(others)
    }
}

/// Makes someone, and logs them in.
async fn person(headgate: &Headgate, name: &str, role: Option<(&str, Role)>, super_admin: bool) -> Person {
    let operator = headgate.operator("auth").await;
    let (email, password) = (format!("{name}@example.com"), PASSWORD.to_owned());
    let request = CreateUserRequest {
        email: email.clone(),
        password: password.clone(),
        super_admin,
        ..Default::default()
    };
    let made = UserServiceClient::new(operator.clone()).create_user(request).await.expect("a user");
    let id = made.into_inner().user.expect("a user").id;
    if let Some((tenant, role)) = role {
        let (tenant_id, user_id) = (tenant.to_owned(), id.clone());
        let request = CreateMembershipRequest { tenant_id, user_id, role: role.into(), ..Default::default() };
        MembershipServiceClient::new(operator.clone())
            .create_membership(request)
            .await
            .expect("a membership");
    }
    let request = LoginRequest { email, password, ..Default::default() };
    let session = SessionServiceClient::new(operator).login(request).await.expect("a login");
    Person { id, token: session.into_inner().tokens.expect("tokens").access_token }
}

/// Suspends someone.
pub(crate) async fn suspend(headgate: &Headgate, person: &Person) {
    let status = Some(UserStatus::Suspended.into());
    let request = UpdateUserRequest { id: person.id.clone(), status, ..Default::default() };
    UserServiceClient::new(headgate.operator("auth").await).update_user(request).await.expect("suspended");
}
