//! The subscription root.

use async_graphql::{Context, Subscription as GraphqlSubscription};
use futures_util::{Stream, StreamExt, stream};

use super::cursor::{CursorArgument, EventCursor, LiveCursor};
use super::error::ApiError;
use super::scalars::Uuid;
use super::session::{Renewal, Session};
use super::types::{MessageCreatedEvent, MessageGroupUpdatedEvent};
use crate::engine::InOrder;
use crate::messaging::{Follow, LiveError};
use crate::model::{MessageGroupId, Position, UserId};

/// The root type of subscriptions.
pub struct Subscription;

/// The root of all subscriptions: changes of the viewer's message groups in
/// real time.
#[GraphqlSubscription]
impl Subscription {
    /// New messages in one of the viewer's message groups, or in all of them.
    /// Includes the messages that the viewer sends. Each message is delivered
    /// once, and the messages of a group in order.
    ///
    /// The subscription ends with an error if it cannot deliver every message.
    /// It also ends when the connection is closed because the token expired,
    /// and when the server stops. To resume without missing a message,
    /// subscribe again with the last event's cursor as `after`.
    async fn message_created(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The `uuid` of a message group. If omitted, events of all the viewer's groups are delivered."
        )]
        message_group_uuid: Option<Uuid>,
        #[graphql(
            desc = "The cursor after which to resume: the `cursor` of the last event, or with `messageGroupUuid` also the `cursor` of a message's edge. If omitted, events start with messages sent after the subscription started. The error code is `RESYNC` if too many groups were active for the cursor to contain all their positions: refetch the displayed data, and subscribe without `after`."
        )]
        after: Option<CursorArgument<LiveCursor>>,
    ) -> Result<impl Stream<Item = Result<InOrder<MessageCreatedEvent>, ApiError>> + use<>, ApiError>
    {
        let session = Session::of(ctx)?;
        let viewer = session.viewer()?;
        let owner = viewer.user().id;
        let group = message_group_uuid.map(|uuid| MessageGroupId(uuid.0));
        let follow = follow(owner, group, after.and_then(|after| after.0))?;
        // Boxed for the reason stated in `Query::message_groups`.
        let follower = Box::pin(session.messaging().live.follow(viewer, follow)).await?;
        Ok(events(
            session.renewal(),
            follower.arrivals(),
            move |arrival| MessageCreatedEvent::new(owner, arrival),
        ))
    }

    /// The viewer's message groups as they change: a new message, or messages
    /// marked as read on any device. Consecutive changes of a group may be
    /// delivered as a single event. Changes made before the subscription
    /// started are not delivered.
    async fn message_group_updated(
        &self,
        ctx: &Context<'_>,
    ) -> Result<
        impl Stream<Item = Result<InOrder<MessageGroupUpdatedEvent>, ApiError>> + use<>,
        ApiError,
    > {
        let session = Session::of(ctx)?;
        let viewer = session.viewer()?;
        let updates = Box::pin(session.messaging().live.follow_groups(viewer)).await?;
        let changes = updates.changes();
        Ok(events(
            session.renewal(),
            changes,
            MessageGroupUpdatedEvent::new,
        ))
    }
}

/// Creates an event for each received item. Users and groups are loaded again
/// for each event.
fn events<T, E>(
    renewal: Renewal,
    items: impl Stream<Item = Result<T, LiveError>> + Send + 'static,
    event: impl Fn(T) -> E,
) -> impl Stream<Item = Result<InOrder<E>, ApiError>> {
    // Boxed, because the stream contains its state several times.
    let state = Box::new((items.boxed(), renewal, event));
    stream::unfold(state, async |mut state| {
        let (items, renewal, event) = &mut *state;
        // The fields of the previous event have been resolved.
        renewal.drop_loaders();
        let item = items.next().await?;
        let event = item.map(|item| InOrder(event(item)));
        renewal.before_event().await;
        Some((event.map_err(ApiError::from), state))
    })
}

/// Returns the groups to follow, if the cursor belongs to this subscription.
fn follow(
    owner: UserId,
    group: Option<MessageGroupId>,
    after: Option<LiveCursor>,
) -> Result<Follow, ApiError> {
    let foreign = || {
        let message = "`after` is not a cursor of this subscription. Use the `cursor` of one of its events, or with \
                       `messageGroupUuid` the `cursor` of a message's edge in this group.";
        ApiError::BadUserInput(message.to_owned())
    };
    Ok(match (group, after) {
        (None, None) => Follow::All(None),
        (None, Some(LiveCursor::Event(after))) if after.owner == owner => {
            Follow::All(Some(after.positions))
        }
        (Some(group), None) => Follow::Group(group, None),
        (Some(group), Some(LiveCursor::Message(after))) => {
            let position = after.position_in(group).ok_or_else(foreign)?;
            Follow::Group(group, Some(position))
        }
        (Some(group), Some(LiveCursor::Event(after))) if after.owner == owner => {
            Follow::Group(group, Some(position_of(group, &after)?))
        }
        _ => return Err(foreign()),
    })
}

/// Returns the position in a group, from the cursor of an event of any group.
fn position_of(group: MessageGroupId, after: &EventCursor) -> Result<Position, ApiError> {
    let known = after.positions.known.as_ref().ok_or(LiveError::Resync)?;
    let message = "The cursor of this event does not contain this group. Use the cursor of the newest message of the \
                   group that you have.";
    let unknown = || ApiError::BadUserInput(message.to_owned());
    known.get(&group).cloned().ok_or_else(unknown)
}
