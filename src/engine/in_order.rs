//! Resolves objects and lists in the document's order.
//!
//! async-graphql spawns a future for each field and returns fields in the order
//! in which they become ready, without failed ones. This module polls each
//! field once in the document's order, which reserves its position, and then
//! waits only for fields that are not ready. The null of a failed non-null
//! field propagates to the nearest nullable field (GraphQL specification,
//! 6.4.4).

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::ContainerType;
use async_graphql::{
    ContextSelectionSet, ObjectType, OutputType, Positioned, ServerError, ServerResult, Value,
};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

/// Maximum number of pending futures that share the waker of their task: when
/// one of them wakes, all are polled, which costs less than a waker for each.
/// More futures than this get a waker each.
const POLLED_TOGETHER: usize = 16;

/// Marks an error that propagates a null. The error of the field itself is
/// already in the response.
struct Propagated;

/// Returns whether an error only propagates a null.
pub(super) fn is_propagated(error: &ServerError) -> bool {
    error
        .source
        .as_ref()
        .is_some_and(|source| source.is::<Propagated>())
}

fn propagated() -> ServerError {
    let mut error = ServerError::new("a field that must not be null is null", None);
    error.source = Some(Arc::new(Propagated));
    error
}

/// An object, interface or union as the type of a field. Its fields are
/// resolved in the document's order.
pub struct InOrder<T>(pub T);

/// A type with fields. Objects implement it directly. Interfaces and unions
/// delegate to the object that they contain.
pub trait Composite: OutputType {
    /// Resolves the selected fields of the object.
    fn resolve_fields<'a>(
        &'a self,
        ctx: &'a ContextSelectionSet<'_>,
    ) -> BoxFuture<'a, ServerResult<Value>>;
}

impl<T: ObjectType> Composite for T {
    fn resolve_fields<'a>(
        &'a self,
        ctx: &'a ContextSelectionSet<'_>,
    ) -> BoxFuture<'a, ServerResult<Value>> {
        // Boxed as `dyn`, because an object may contain objects of its own
        // type.
        Box::pin(resolve_object(self, ctx, false, None))
    }
}

/// Implements [`Composite`] for an interface or a union, whose variants have
/// the names of their types.
macro_rules! composite_type {
    ($name:ident: $($variant:ident),+) => {
        impl $crate::engine::Composite for $name {
            fn resolve_fields<'a>(
                &'a self,
                ctx: &'a ::async_graphql::ContextSelectionSet<'_>,
            ) -> ::futures_util::future::BoxFuture<'a, ::async_graphql::ServerResult<::async_graphql::Value>> {
                match self {
                    $(Self::$variant(object) => $crate::engine::Composite::resolve_fields(object, ctx),)+
                }
            }
        }
    };
}

pub(crate) use composite_type;

impl<T: Composite> OutputType for InOrder<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn qualified_type_name() -> String {
        T::qualified_type_name()
    }

    fn introspection_type_name(&self) -> Cow<'static, str> {
        self.0.introspection_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        _field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        self.0.resolve_fields(ctx).await
    }
}

/// Resolves the selected fields of an object: concurrently, or one after the
/// other if `serial` (mutations). Fields with the name `first` are resolved
/// before the others.
pub(super) async fn resolve_object<T: ContainerType + ?Sized>(
    object: &T,
    ctx: &ContextSelectionSet<'_>,
    serial: bool,
    first: Option<&str>,
) -> ServerResult<Value> {
    let selected = selected_of(ctx, &T::type_name());
    let fields = selected.iter().filter_map(|item| match &item.node {
        Selection::Field(field) => Some(field),
        _ => None,
    });
    let mut values = IndexMap::with_capacity(selected.len());
    let keys = fields.clone().map(|field| &field.node.response_key().node);
    values.extend(keys.map(|key| (key.clone(), Value::Null)));
    let mut null = false;
    // Most objects have no such field, and need one step.
    let steps: &[bool] = if first.is_some() {
        &[true, false]
    } else {
        &[false]
    };
    for &are_first in steps {
        let mut done = |place: usize, value| match value {
            Some(value) => values[place] = value,
            None => null = true,
        };
        let mut futures = Futures::default();
        for (place, field) in fields.clone().enumerate() {
            let name = &*field.node.name.node;
            if (first == Some(name)) != are_first {
                continue;
            }
            if name == "__typename" {
                done(place, Some(Value::String(T::type_name().into_owned())));
                continue;
            }
            let value = futures.boxed(resolve_field(object, ctx, field));
            let value = if serial {
                Some(value.await)
            } else {
                futures.poll_once(place, value).await
            };
            if let Some(value) = value {
                if serial && value.is_none() {
                    return Err(propagated());
                }
                done(place, value);
            }
        }
        futures.complete(done).await;
        if null {
            return Err(propagated());
        }
    }
    Ok(Value::Object(values))
}

/// Returns the selected fields of an object type. Interfaces and unions have
/// one inline fragment for each possible type.
fn selected_of<'a>(ctx: &ContextSelectionSet<'a>, ty: &str) -> &'a [Positioned<Selection>] {
    let items = &ctx.item.node.items;
    if !matches!(
        items.first().map(|item| &item.node),
        Some(Selection::InlineFragment(_))
    ) {
        return items;
    }
    let of_type = items.iter().find_map(|item| {
        let Selection::InlineFragment(inline) = &item.node else {
            return None;
        };
        let condition = inline.node.type_condition.as_ref()?;
        (condition.node.on.node == ty).then_some(&inline.node.selection_set.node.items)
    });
    of_type.map_or(&[], Vec::as_slice)
}

/// Returns the value of a field, or `None` if a null propagates from it.
async fn resolve_field<T: ContainerType + ?Sized>(
    object: &T,
    ctx: &ContextSelectionSet<'_>,
    field: &Positioned<Field>,
) -> Option<Value> {
    let ctx_field = ctx.with_field(field);
    match object.resolve_field(&ctx_field).await {
        Ok(value) => Some(value.unwrap_or_default()),
        Err(error) => {
            if !is_propagated(&error) {
                ctx.add_error(error);
            }
            let types = &ctx.schema_env.registry.types;
            let definition = types
                .get(&*T::type_name())
                .and_then(|ty| ty.field_by_name(&field.node.name.node));
            let may_be_null = definition.is_some_and(|field| !field.ty.ends_with('!'));
            may_be_null.then_some(Value::Null)
        }
    }
}

/// Futures that are polled once in order, and then together until all are
/// ready.
struct Futures<F> {
    /// The futures that were not ready, with their places.
    pending: Vec<(usize, Pin<Box<F>>)>,
    /// A completed future, whose allocation the next one uses.
    completed: Option<Pin<Box<F>>>,
}

impl<F> Default for Futures<F> {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
            completed: None,
        }
    }
}

impl<F: Future> Futures<F> {
    /// Boxes a future before it is polled: an async function that took it by
    /// value would contain it.
    fn boxed(&mut self, future: F) -> Pin<Box<F>> {
        match self.completed.take() {
            None => Box::pin(future),
            Some(mut completed) => {
                completed.set(future);
                completed
            }
        }
    }

    /// Polls a future once. Returns its output if it is ready.
    async fn poll_once(&mut self, place: usize, mut future: Pin<Box<F>>) -> Option<F::Output> {
        match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            Poll::Ready(output) => {
                self.completed = Some(future);
                Some(output)
            }
            Poll::Pending => {
                self.pending.push((place, future));
                None
            }
        }
    }

    /// Waits until all futures are ready.
    async fn complete(self, mut done: impl FnMut(usize, F::Output)) {
        let mut pending = self.pending;
        drop(self.completed);
        if pending.len() > POLLED_TOGETHER {
            let mut pending: FuturesUnordered<_> = pending
                .into_iter()
                .map(|(place, future)| async move { (place, future.await) })
                .collect();
            while let Some((place, output)) = pending.next().await {
                done(place, output);
            }
            return;
        }
        poll_fn(|cx| {
            pending.retain_mut(|(place, future)| match future.as_mut().poll(cx) {
                Poll::Ready(output) => {
                    done(*place, output);
                    false
                }
                Poll::Pending => true,
            });
            if pending.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// A list as the type of a field. Its items are resolved concurrently, and a
/// failed item does not affect the others.
pub struct List<T>(pub Vec<T>);

impl<T: OutputType> OutputType for List<T> {
    fn type_name() -> Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let mut values = vec![Value::Null; self.0.len()];
        let mut null = false;
        let mut done = |place: usize, value| match value {
            Some(value) => values[place] = value,
            None => null = true,
        };
        let mut futures = Futures::default();
        for (place, item) in self.0.iter().enumerate() {
            let value = futures.boxed(resolve_item(item, ctx, place, field));
            if let Some(value) = futures.poll_once(place, value).await {
                done(place, value);
            }
        }
        futures.complete(done).await;
        if null {
            return Err(propagated());
        }
        Ok(Value::List(values))
    }
}

/// Returns the value of an item, or `None` if a null propagates from it. A
/// nullable item catches its own null.
async fn resolve_item<T: OutputType>(
    item: &T,
    ctx: &ContextSelectionSet<'_>,
    index: usize,
    field: &Positioned<Field>,
) -> Option<Value> {
    let ctx_item = ctx.with_index(index);
    match item.resolve(&ctx_item, field).await {
        Ok(value) => Some(value),
        Err(error) => {
            if !is_propagated(&error) {
                ctx.add_error(error);
            }
            None
        }
    }
}
