//! `/api/v1/admin/users`: admins look after users.

use axum::Json;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{ErrorView, FieldErrorsView, No, UserView};
use super::input::{Id, Input, Part, Perhaps, Text, problem};
use super::visit::{Admin, People};
use crate::admission::accounts::Details;
use crate::error::Refusal;
use crate::store::{self, Role};

/// A part of the list of users.
#[derive(Serialize, ToSchema)]
pub(super) struct UserList {
    users: Vec<UserView>,
    /// How many match in all.
    total: i64,
}

/// A user to add.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewUser {
    /// 3 to 50 characters.
    #[schema(min_length = 3, max_length = 50)]
    username: Text,
    #[schema(format = Email)]
    email: Text,
    /// At least 8 characters.
    #[schema(min_length = 8, max_length = 1024)]
    password: Text,
    /// `user`, unless it is `admin`.
    role: Option<Text>,
}

/// What to change about a user; what is left out stays.
#[derive(Deserialize, ToSchema)]
pub(super) struct UserChange {
    /// Whether it may do anything at all.
    is_active: Option<bool>,
    /// `user` or `admin`.
    role: Option<Text>,
}

/// A password to give to a user.
#[derive(Deserialize, ToSchema)]
pub(super) struct PasswordReset {
    /// At least 8 characters; left out, one is made up.
    #[schema(min_length = 8, max_length = 1024)]
    new_password: Option<Text>,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
pub(super) struct PasswordMade {
    /// What was made up, shown once; null where one was given.
    password: Option<String>,
}

/// The users whose name or address contains a text, the oldest first.
#[utoipa::path(get, path = "/api/v1/admin/users", tag = "admin", security(("bearer" = [])), params(
    ("search" = Option<String>, Query, description = "Part of a name or an address"),
    ("limit" = Option<u32>, Query, description = "How many at once, 50 unless said", minimum = 1, maximum = 500),
    ("offset" = Option<u32>, Query, description = "How many to leave out before"),
), responses(
    (status = 200, description = "Users", body = UserList),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not an admin", body = ErrorView),
    (status = 422, description = "Parameters that cannot be used", body = FieldErrorsView),
))]
pub(super) async fn list(
    People(accounts): People,
    _: Admin,
    part: Part,
) -> Result<Json<UserList>, No> {
    let directory = accounts.directory();
    let page = directory
        .users(&part.search, part.limit, part.offset)
        .await?;
    Ok(Json(UserList {
        users: page.users.into_iter().map(UserView::from).collect(),
        total: page.total,
    }))
}

/// Adds a user, whoever else may register.
#[utoipa::path(post, path = "/api/v1/admin/users", tag = "admin", request_body = NewUser, security(("bearer" = [])), responses(
    (status = 201, description = "The user", body = UserView),
    (status = 400, description = "The name or the address is taken", body = ErrorView),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not an admin", body = ErrorView),
    (status = 422, description = "Fields that cannot be used", body = FieldErrorsView),
))]
pub(super) async fn add(
    People(accounts): People,
    admin: Admin,
    Input(new): Input<NewUser>,
) -> Result<(StatusCode, Json<UserView>), No> {
    let role = new
        .role
        .map_or(Ok(Role::User), |role| role_named(&role.0))?;
    let details = Details {
        username: new.username.0,
        email: new.email.0,
        password: new.password.0,
    };
    let user = accounts.directory().add(details, role, None).await?;
    let by = admin.account().user_id.as_str();
    tracing::info!(user = user.id, by, "an admin added a user");
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// One user, by id or name.
#[utoipa::path(get, path = "/api/v1/admin/users/{id}", tag = "admin", security(("bearer" = [])),
    params(("id" = String, Path, description = "The user's id or name")), responses(
    (status = 200, description = "The user", body = UserView),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not an admin", body = ErrorView),
    (status = 404, description = "No such user", body = ErrorView),
    (status = 422, description = "An id that cannot be one", body = FieldErrorsView),
))]
pub(super) async fn show(
    People(accounts): People,
    _: Admin,
    Id(id): Id,
) -> Result<Json<UserView>, No> {
    Ok(Json(accounts.directory().user(&id).await?.into()))
}

/// Lets a user in or keeps it out, which ends at once all that it does; gives it a role.
#[utoipa::path(patch, path = "/api/v1/admin/users/{id}", tag = "admin", request_body = UserChange, security(("bearer" = [])),
    params(("id" = String, Path, description = "The user's id or name")), responses(
    (status = 200, description = "The user", body = UserView),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not an admin", body = ErrorView),
    (status = 404, description = "No such user", body = ErrorView),
    (status = 409, description = "It is the last admin", body = ErrorView),
    (status = 422, description = "Fields that cannot be used", body = FieldErrorsView),
))]
pub(super) async fn change(
    People(accounts): People,
    admin: Admin,
    Id(id): Id,
    Input(change): Input<UserChange>,
) -> Result<Json<UserView>, No> {
    let role = change.role.map(|role| role_named(&role.0)).transpose()?;
    let wanted = store::UserChange {
        role,
        is_active: change.is_active,
    };
    let user = accounts.directory().user(&id).await?;
    let changed = accounts.change(admin.account(), &user, wanted).await?;
    Ok(Json(changed.into()))
}

/// Gives a user a password, or makes one up, and ends at once all that it does.
#[utoipa::path(post, path = "/api/v1/admin/users/{id}/password", tag = "admin", request_body = Option<PasswordReset>, security(("bearer" = [])),
    params(("id" = String, Path, description = "The user's id or name")), responses(
    (status = 200, description = "It is set", body = PasswordMade),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not an admin", body = ErrorView),
    (status = 404, description = "No such user", body = ErrorView),
    (status = 422, description = "Fields that cannot be used", body = FieldErrorsView),
))]
pub(super) async fn reset_password(
    People(accounts): People,
    admin: Admin,
    Id(id): Id,
    Perhaps(reset): Perhaps<PasswordReset>,
) -> Result<Json<PasswordMade>, No> {
    let user = accounts.directory().user(&id).await?;
    let wanted = reset.new_password.map(|password| password.0);
    let made = accounts.reset_password(admin.account(), &user, wanted.as_deref());
    Ok(Json(PasswordMade {
        password: made.await?,
    }))
}

/// Deletes a user, and ends at once all that it does.
#[utoipa::path(delete, path = "/api/v1/admin/users/{id}", tag = "admin", security(("bearer" = [])),
    params(("id" = String, Path, description = "The user's id or name")), responses(
    (status = 204, description = "It is gone"),
    (status = 401, description = "No good access token", body = ErrorView),
    (status = 403, description = "Not an admin", body = ErrorView),
    (status = 404, description = "No such user", body = ErrorView),
    (status = 409, description = "It is the last admin", body = ErrorView),
    (status = 422, description = "An id that cannot be one", body = FieldErrorsView),
))]
pub(super) async fn delete(
    People(accounts): People,
    admin: Admin,
    Id(id): Id,
) -> Result<StatusCode, No> {
    let user = accounts.directory().user(&id).await?;
    accounts.delete(admin.account(), &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn role_named(name: &str) -> Result<Role, Refusal> {
    Role::named(name).ok_or_else(|| problem("body", "role", "Use `user` or `admin`."))
}
