//! What accounts do about themselves, and admins about others, while the relay runs: the
//! directory's work, and at once the end of what it ends.

use super::Accounts;
use super::logins::Account;
use crate::error::Refusal;
use crate::store::{Role, User};

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
        self.directory.keep_an_admin(&user).await?;
        self.directory.delete(&user.id).await?;
        self.end_logins_of(&user.id, None);
        self.relay_keys.end_keys_of(&user.id);
        tracing::info!(user = user.id, "a user deleted its account");
        Ok(())
    }

    /// Lets a user in, or ends all it does and keeps it out.
    pub async fn set_active(
        &self,
        admin: &Account,
        user: &User,
        is_active: bool,
    ) -> Result<(), Refusal> {
        if !is_active {
            self.directory.keep_an_admin(user).await?;
        }
        self.directory.set_active(&user.id, is_active).await?;
        if !is_active {
            self.end_logins_of(&user.id, None);
        }
        // Of one who was out, it is forgotten that they opened nothing.
        self.relay_keys.end_keys_of(&user.id);
        let by = admin.user_id.as_str();
        tracing::info!(
            user = user.id,
            by,
            is_active,
            "an admin let a user in or out"
        );
        Ok(())
    }

    /// Gives a user a role.
    pub async fn set_role(&self, admin: &Account, user: &User, role: Role) -> Result<(), Refusal> {
        if role != Role::Admin {
            self.directory.keep_an_admin(user).await?;
        }
        self.directory.set_role(&user.id, role).await?;
        self.standings.changed(|login| login.user_id == user.id);
        let (by, role) = (admin.user_id.as_str(), role.name());
        tracing::info!(user = user.id, by, role, "an admin gave a user a role");
        Ok(())
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
        self.directory.keep_an_admin(user).await?;
        self.directory.delete(&user.id).await?;
        self.end_logins_of(&user.id, None);
        self.relay_keys.end_keys_of(&user.id);
        let by = admin.user_id.as_str();
        tracing::info!(user = user.id, by, "an admin deleted a user");
        Ok(())
    }
}
