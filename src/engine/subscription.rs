//! The responses of a subscription.
//!
//! async-graphql holds the state of an operation's preparation, about 4 KB, until the subscription
//! ends. Here it only prepares the operation, and the engine reads the events itself.

use std::borrow::Cow;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_graphql::parser::types::Selection;
use async_graphql::registry::Registry;
use async_graphql::{
    Context, Data, ObjectType, QueryEnv, Request, Response, Schema, SchemaEnv, SubscriptionType,
};
use futures_util::stream::{self, BoxStream, Stream, StreamExt};

use crate::lock::lock;

/// The root type of subscriptions. Its stream has no events; it only stores the environment of the
/// operation.
pub(super) struct SubscriptionRoot<S>(PhantomData<fn() -> S>);

impl<S> SubscriptionRoot<S> {
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// The environment in which an operation's resolvers run.
struct Environment {
    schema: SchemaEnv,
    query: QueryEnv,
}

/// The environment of an operation after its preparation, in the request's data.
#[derive(Clone, Default)]
struct PreparedEnvironment(Arc<Mutex<Option<Environment>>>);

impl<S: SubscriptionType> SubscriptionType for SubscriptionRoot<S> {
    fn type_name() -> Cow<'static, str> {
        S::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        S::create_type_info(registry)
    }

    fn is_empty() -> bool {
        S::is_empty()
    }

    fn create_field_stream<'a>(&'a self, ctx: &'a Context<'_>) -> Option<BoxStream<'a, Response>> {
        let prepared = ctx.data_opt::<PreparedEnvironment>()?;
        *lock(&prepared.0) = Some(Environment {
            schema: ctx.schema_env.clone(),
            query: ctx.query_env.clone(),
        });
        Some(stream::empty().boxed())
    }
}

/// Executes a subscription, which has one root field.
pub(super) fn responses<Q, M, S>(
    schema: &Schema<Q, M, SubscriptionRoot<S>>,
    root: Arc<S>,
    request: Request,
    session_data: Arc<Data>,
) -> impl Stream<Item = Response> + Send + use<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let prepared = PreparedEnvironment::default();
    let request = request.data(prepared.clone());
    let mut preparation = schema.execute_stream_with_session_data(request, session_data);
    generate(|sender| async move {
        while let Some(rejection) = preparation.next().await {
            sender.send(rejection).await;
        }
        drop(preparation);
        let Some(Environment { schema, query }) = lock(&prepared.0).take() else {
            return;
        };
        let selection = &query.operation.node.selection_set;
        let Some(Selection::Field(field)) = selection.node.items.first().map(|item| &item.node)
        else {
            return;
        };
        let context = query.create_context(&schema, None, selection, None);
        let context = context.with_field(field);
        if let Some(mut events) = root.create_field_stream(&context) {
            while let Some(response) = events.next().await {
                sender.send(response).await;
            }
        }
    })
}

/// Sends the items of a stream that [`generate`] returns.
///
/// The item is boxed, because most subscriptions are idle.
struct ItemSender<T>(Arc<Mutex<Option<Box<T>>>>);

impl<T> ItemSender<T> {
    /// Sends an item, and waits until the stream has returned it.
    async fn send(&self, item: T) {
        *lock(&self.0) = Some(Box::new(item));
        // The stream returns the item before it polls the producer again.
        poll_fn(|_| match *lock(&self.0) {
            Some(_) => Poll::Pending,
            None => Poll::Ready(()),
        })
        .await;
    }
}

/// Returns a stream of the items that `producer` sends. The stream ends when the producer ends.
fn generate<T, F: Future<Output = ()>>(
    producer: impl FnOnce(ItemSender<T>) -> F,
) -> impl Stream<Item = T> {
    let item = Arc::default();
    let mut producer = Some(Box::pin(producer(ItemSender(Arc::clone(&item)))));
    stream::poll_fn(move |context| {
        let Some(running) = &mut producer else {
            return Poll::Ready(None);
        };
        let has_ended = running.as_mut().poll(context).is_ready();
        if has_ended {
            producer = None;
        }
        match lock(&item).take() {
            Some(item) => Poll::Ready(Some(*item)),
            None if has_ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn generated_stream_returns_each_item_before_its_producer_continues() {
        let (event, received) = oneshot::channel();
        let progress = Arc::new(Mutex::new("new"));
        let producer_progress = Arc::clone(&progress);
        let mut items = generate(|sender| async move {
            sender.send(1).await;
            *lock(&producer_progress) = "first item is taken";
            sender.send(received.await.expect("an event")).await;
        });

        assert_eq!(items.next().now_or_never(), Some(Some(1)));
        assert_eq!(*lock(&progress), "new");
        assert_eq!(items.next().now_or_never(), None);
        assert_eq!(*lock(&progress), "first item is taken");
        event.send(2).expect("the producer waits");
        assert_eq!(items.next().now_or_never(), Some(Some(2)));
        assert_eq!(items.next().now_or_never(), Some(None));
        assert_eq!(items.next().now_or_never(), Some(None));
    }
}
