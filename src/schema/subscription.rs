//! What can be followed.

use async_graphql::{Context, Subscription as GraphqlSubscription};
use futures_util::{Stream, StreamExt};

use super::cursor::{CursorArgument, EventCursor, LiveCursor};
use super::error::ApiError;
use super::scalars::Uuid;
use super::session::{Renewal, Session};
use super::types::{MessageCreatedEvent, MessageGroupUpdatedEvent};
use crate::engine::InOrder;
use crate::messaging::{Follow, LiveError};
use crate::model::{MessageGroupId, Place, UserId};

/// The root of all subscriptions.
pub struct Subscription;

/// What happens to the viewer's message groups, as it happens.
#[GraphqlSubscription]
impl Subscription {
    /// New messages of one of the viewer's groups, or of all of them: the
    /// viewer's own as well, each once, and those of a group in order.
    ///
    /// It ends with an error when it cannot be kept whole, with the connection
    /// when the token expires, and when the server stops. Subscribed to again
    /// with the last event's cursor as `after`, it goes on without a gap.
    async fn message_created(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The group's `uuid`; all of the viewer's groups where it is missing.")]
        message_group_uuid: Option<Uuid>,
        #[graphql(
            desc = "Where to go on: the last event's `cursor`, or with `messageGroupUuid` that of a message's edge. Without it, with what is sent once the server has the subscription. `RESYNC` where a cursor cannot say how far so many groups were told: read again what is shown, and subscribe without it."
        )]
        after: Option<CursorArgument<LiveCursor>>,
    ) -> Result<impl Stream<Item = Result<InOrder<MessageCreatedEvent>, ApiError>> + use<>, ApiError>
    {
        let session = Session::of(ctx)?;
        let viewer = session.viewer()?;
        let owner = viewer.user().id;
        let group = message_group_uuid.map(|uuid| MessageGroupId(uuid.0));
        let follow = follow(owner, group, after.and_then(|after| after.0))?;
        let follower = Box::pin(session.messaging().follow(viewer, follow)).await?;
        Ok(events(
            session.renewal(),
            follower.arrivals(),
            move |arrival| MessageCreatedEvent::new(owner, arrival),
        ))
    }

    /// Each of the viewer's groups whenever it changes for the viewer: a new
    /// message, or messages that were read, on whatever device. Of several
    /// changes in a row the last one may come alone; what happened before it
    /// began does not come.
    async fn message_group_updated(
        &self,
        ctx: &Context<'_>,
    ) -> Result<
        impl Stream<Item = Result<InOrder<MessageGroupUpdatedEvent>, ApiError>> + use<>,
        ApiError,
    > {
        let session = Session::of(ctx)?;
        let viewer = session.viewer()?;
        let updates = session.messaging().follow_groups(viewer).await?;
        let changes = updates.changes();
        Ok(events(
            session.renewal(),
            changes,
            MessageGroupUpdatedEvent::new,
        ))
    }
}

/// Events from what has come. Users and groups are looked up anew for each.
fn events<T, E>(
    renewal: Renewal,
    come: impl Stream<Item = Result<T, LiveError>>,
    event: impl Fn(T) -> E,
) -> impl Stream<Item = Result<InOrder<E>, ApiError>> {
    come.map(move |come| {
        renewal.renew();
        come.map(|come| InOrder(event(come)))
            .map_err(ApiError::from)
    })
}

/// What is asked for, if the cursor belongs to it.
fn follow(
    owner: UserId,
    group: Option<MessageGroupId>,
    after: Option<LiveCursor>,
) -> Result<Follow, ApiError> {
    let foreign = || {
        let message = "`after` is not a cursor of this subscription. Take one of its events', or with \
                       `messageGroupUuid` one of a message's edge in that group.";
        ApiError::BadUserInput(message.to_owned())
    };
    Ok(match (group, after) {
        (None, None) => Follow::All(None),
        (None, Some(LiveCursor::Event(after))) if after.owner == owner => {
            Follow::All(Some(after.positions))
        }
        (Some(group), None) => Follow::Group(group, None),
        (Some(group), Some(LiveCursor::Message(after))) => {
            let place = after.place_in(group).ok_or_else(foreign)?;
            Follow::Group(group, Some(place))
        }
        (Some(group), Some(LiveCursor::Event(after))) if after.owner == owner => {
            Follow::Group(group, Some(place_of(group, &after)?))
        }
        _ => return Err(foreign()),
    })
}

/// How far one group was told, by the cursor of an event of any group.
fn place_of(group: MessageGroupId, after: &EventCursor) -> Result<Place, ApiError> {
    let known = after.positions.known.as_ref().ok_or(LiveError::Resync)?;
    let message = "This cursor of an event says nothing of that group: take the cursor of the newest message that you \
                   have of it.";
    let unknown = || ApiError::BadUserInput(message.to_owned());
    known.get(&group).cloned().ok_or_else(unknown)
}
