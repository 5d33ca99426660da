//! The signed-in user: the proof that almost everything here asks for.

use std::sync::Arc;

use super::{Messaging, MessagingError, UserLoader};
use crate::model::User;

/// A user who is signed in. Only [`Messaging::viewer`] makes one.
#[derive(Clone, Debug)]
pub struct Viewer {
    user: Arc<User>,
}

impl Viewer {
    /// Who is signed in.
    #[must_use]
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }
}

impl Messaging {
    /// The user whose token says this `sub`; `None` when there is no such user
    /// in Postgres. At most one statement; absence is never cached.
    pub async fn viewer(
        &self,
        users: &UserLoader,
        sub: &str,
    ) -> Result<Option<Viewer>, MessagingError> {
        let Some(user) = users.find_by_cognito_id(sub).await? else {
            return Ok(None);
        };
        users.prime(Arc::clone(&user)).await;
        Ok(Some(Viewer { user }))
    }
}
