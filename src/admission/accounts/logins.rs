//! Logins: who each belongs to, and whether it is still good.

use std::collections::HashMap;
use std::sync::Arc;

use crate::admission::standing::{self, Register};
use crate::store::{Fault, Member, Role, Store};

/// An account that is logged in.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's id.
    pub user_id: String,
    /// The login's id.
    pub login_id: String,
    /// What it may do.
    pub role: Role,
    /// Under which name it is counted and logged.
    pub subject: String,
}

/// An account whose login was good when it was last looked at.
pub type Standing = standing::Standing<Account>;

impl Standing {
    /// Who it is.
    pub fn account(&self) -> &Account {
        self.entry()
    }
}

/// A login of a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Login {
    pub(super) id: String,
    pub(super) user_id: String,
}

/// All logins, as the database knows them.
pub(super) struct Logins(pub(super) Arc<Store>);

impl Register for Logins {
    type Name = Login;
    type Entry = Account;

    async fn look_up(&self, logins: &[&Login]) -> Result<HashMap<Login, Account>, Fault> {
        let ids: Vec<&str> = logins.iter().map(|login| login.id.as_str()).collect();
        let members = self.0.members(&ids).await?.into_iter();
        Ok(members
            .filter_map(|(id, member)| account_of(id, member))
            .collect())
    }
}

/// Which login an account is in; `None` where it may do nothing.
fn account_of(login_id: String, member: Member) -> Option<(Login, Account)> {
    if !member.user.is_active || member.is_revoked {
        return None;
    }
    let account = Account {
        login_id: login_id.clone(),
        role: member.user.role,
        subject: subject_of(&member.user.id),
        user_id: member.user.id.clone(),
    };
    // A login has one user: a token that names another asks about another login.
    let login = Login {
        id: login_id,
        user_id: member.user.id,
    };
    Some((login, account))
}

/// Under which name a user is counted and logged.
pub(in crate::admission) fn subject_of(user_id: &str) -> String {
    format!("user:{user_id}")
}
