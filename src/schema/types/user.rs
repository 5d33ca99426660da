//! `User`.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};

use super::MessageGroup;
use crate::engine::InOrder;
use crate::model;
use crate::schema::error::ApiError;
use crate::schema::global_id::GlobalId;
use crate::schema::scalars::Uuid;
use crate::schema::session::Session;

/// Wraps a user.
pub struct User(pub Arc<model::User>);

/// Someone who can send and receive messages.
#[Object]
impl User {
    /// The user's global id.
    pub async fn id(&self) -> ID {
        GlobalId::User(self.0.id).into()
    }

    /// The user's own uuid.
    async fn uuid(&self) -> Uuid {
        Uuid(self.0.id.0)
    }

    /// The name in the app's URLs, without `@`. Unique.
    async fn handle(&self) -> &str {
        &self.0.handle
    }

    /// The name shown to people.
    async fn display_name(&self) -> &str {
        &self.0.display_name
    }

    /// The viewer's message group with this user; null when the two have not
    /// written to each other yet, and for the viewer.
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
