//! `User`.

use async_graphql::{Context, ID, Object};

use super::objects::{MessageGroup, User};
use crate::engine::InOrder;
use crate::schema::error::ApiError;
use crate::schema::global_id::GlobalId;
use crate::schema::scalars::Uuid;
use crate::schema::session::Session;

/// A user, who can send and receive messages.
#[Object]
impl User {
    /// The global ID of the user.
    pub async fn id(&self) -> ID {
        GlobalId::User(self.0.id).into()
    }

    /// The UUID of the user.
    async fn uuid(&self) -> Uuid {
        Uuid(self.0.id.0)
    }

    /// The unique name of the user in the app's URLs, without `@`.
    async fn handle(&self) -> &str {
        &self.0.handle
    }

    /// The display name of the user.
    async fn display_name(&self) -> &str {
        &self.0.display_name
    }

    /// The viewer's message group with this user. Null if the two users have no
    /// messages yet, and if the user is the viewer.
    async fn message_group(
        &self,
        ctx: &Context<'_>,
    ) -> Result<Option<InOrder<MessageGroup>>, ApiError> {
        let session = Session::of(ctx)?;
        session.viewer()?;
        let found = session.find_message_group_with(self.0.id).await?;
        Ok(found.map(|group| InOrder(MessageGroup::alone(group))))
    }
}
