//! The signed-in user, which almost all functions of this module require as
//! proof of permission.

use std::sync::Arc;

use super::MessagingResult;
use super::directory::UserLoader;
use crate::model::User;

/// A signed-in user. Only [`Viewer::find`] creates one.
#[derive(Clone, Debug)]
pub struct Viewer {
    user: Arc<User>,
}

impl Viewer {
    /// Returns the viewer for the `sub` of a token; `None` if Postgres has no
    /// such user. This costs at most one SQL statement. Absence is never
    /// cached.
    pub async fn find(users: &UserLoader, sub: &str) -> MessagingResult<Option<Self>> {
        let Some(user) = users.find_by_cognito_id(sub).await? else {
            return Ok(None);
        };
        users.prime(Arc::clone(&user));
        Ok(Some(Self { user }))
    }

    /// Returns the user.
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }
}
