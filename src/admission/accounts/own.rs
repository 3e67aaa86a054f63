//! What accounts do about themselves, and admins about others, while the relay runs: the
//! directory's work, and at once the end of what it ends.

use super::Accounts;
use super::logins::Account;
use crate::error::Refusal;
use crate::store::{LastAdmin, User, UserChange};

impl Accounts {
    /// The user that is logged in.
    pub async fn me(&self, account: &Account) -> Result<User, Refusal> {
        self.directory.user(&account.user_id).await
    }

    /// Changes an account's own password; its other logins end.
    pub async fn change_password(
        &self,
        account: &Account,
        current: &str,
        new: &str,
    ) -> Result<(), Refusal> {
        let user = self.me(account).await?;
        self.confirm(&user.id, current).await?;
        let kept = Some(account.login_id.as_str());
        let set = self.directory.set_password(&user, Some(new), kept);
        set.await?;
        self.end_logins_of(&user.id, kept);
        tracing::info!(user = user.id, "a user changed its password");
        Ok(())
    }

    /// Deletes an account at its own wish.
    pub async fn delete_self(&self, account: &Account, password: &str) -> Result<(), Refusal> {
        let user = self.me(account).await?;
        self.confirm(&user.id, password).await?;
        self.directory.delete(&user.id, LastAdmin::Stays).await?;
        self.end_all_of(&user.id);
        tracing::info!(user = user.id, "a user deleted its account");
        Ok(())
    }

    /// Changes a user; of one that is kept out, all it does ends. Returns what it is then.
    pub async fn change(
        &self,
        admin: &Account,
        user: &User,
        change: UserChange,
    ) -> Result<User, Refusal> {
        let changed = self.directory.change(&user.id, change, LastAdmin::Stays);
        let user = changed.await?;
        if user.is_active {
            self.standings.changed(|login| login.user_id == user.id);
            self.relay_keys.ask_anew();
        } else {
            self.end_all_of(&user.id);
        }
        let (by, role) = (admin.user_id.as_str(), user.role.name());
        let is_active = user.is_active;
        tracing::info!(
            user = user.id,
            by,
            role,
            is_active,
            "an admin changed a user"
        );
        Ok(user)
    }

    /// Gives a user a password, or makes one up, and ends all it does. Returns what was made up.
    pub async fn reset_password(
        &self,
        admin: &Account,
        user: &User,
        password: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        let made_up = self.directory.set_password(user, password, None).await?;
        self.end_logins_of(&user.id, None);
        let by = admin.user_id.as_str();
        tracing::info!(user = user.id, by, "an admin reset a user's password");
        Ok(made_up)
    }

    /// Deletes a user, and ends all it does.
    pub async fn delete(&self, admin: &Account, user: &User) -> Result<(), Refusal> {
        self.directory.delete(&user.id, LastAdmin::Stays).await?;
        self.end_all_of(&user.id);
        let by = admin.user_id.as_str();
        tracing::info!(user = user.id, by, "an admin deleted a user");
        Ok(())
    }
}
