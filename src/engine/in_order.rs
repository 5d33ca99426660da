//! Resolves objects and lists in the document's order.
//!
//! async-graphql makes a task of each field and responds with an object's
//! fields in the order in which they become ready, without those that failed.
//! Here each field is polled once in the document's order: its value has its
//! place from the start, and only fields that are not ready are waited for. The
//! null of a field that must not be null moves up to the next one that may be
//! (the specification, 6.4.4).

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

/// How many pending futures are polled one by one whenever one of them wakes.
/// More than these have a waker each.
const POLLED_TOGETHER: usize = 16;

/// Marks the error that moves up with a null. The error of the field itself is
/// in the response already.
struct Propagated;

/// Whether an error only says that a null moves up.
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

/// An object, interface or union as the type of a field: its fields are resolved
/// in the document's order.
pub struct InOrder<T>(pub T);

/// A type with fields. Objects have it by themselves; an interface or a union
/// has those of the object that it is.
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
        // Boxed as `dyn`, since an object may contain objects of its own type.
        Box::pin(resolve_object(self, ctx, false))
    }
}

/// Resolves the fields of an interface or a union by those of the object that
/// it is. The variants are named like the types in them.
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

/// Resolves the selected fields of an object: at the same time, or `serial` for
/// a mutation, where a field begins when the one before it is complete.
pub(super) async fn resolve_object<T: ContainerType + ?Sized>(
    object: &T,
    ctx: &ContextSelectionSet<'_>,
    serial: bool,
) -> ServerResult<Value> {
    let selected = selected_of(ctx, &T::type_name());
    let mut values = IndexMap::with_capacity(selected.len());
    let mut pending = Vec::new();
    let mut null = false;
    // One allocation for all fields that are ready at once.
    let mut unused: Option<Pin<Box<_>>> = None;
    for selection in selected {
        let Selection::Field(field) = &selection.node else {
            continue;
        };
        let key = field.node.response_key().node.clone();
        if field.node.name.node == "__typename" {
            values.insert(key, Value::String(T::type_name().into_owned()));
            continue;
        }
        let value = resolve_field(object, ctx, field);
        let mut value = match unused.take() {
            None => Box::pin(value),
            Some(place) => placed(place, value),
        };
        let polled = if serial {
            Poll::Ready(value.as_mut().await)
        } else {
            poll_fn(|cx| Poll::Ready(value.as_mut().poll(cx))).await
        };
        match polled {
            Poll::Ready(Some(ready)) => {
                values.insert(key, ready);
                unused = Some(value);
            }
            Poll::Ready(None) if serial => return Err(propagated()),
            Poll::Ready(None) => {
                null = true;
                unused = Some(value);
            }
            Poll::Pending => {
                // Keeps the place.
                let (place, _) = values.insert_full(key, Value::Null);
                pending.push((place, value));
            }
        }
    }
    drop(unused);
    settle(pending, |place, value| match value {
        Some(value) => {
            if let Some((_, place)) = values.get_index_mut(place) {
                *place = value;
            }
        }
        None => null = true,
    })
    .await;
    if null {
        return Err(propagated());
    }
    Ok(Value::Object(values))
}

/// The fields that are selected of an object of a type. Those of an interface
/// or a union are one inline fragment for each type that it may be.
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

/// The value of a field; `None` where a null moves up from it.
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

/// A future in the place of one that is complete.
fn placed<F>(mut place: Pin<Box<F>>, future: F) -> Pin<Box<F>> {
    place.set(future);
    place
}

/// Waits for futures that were polled before, in whatever order they become
/// ready.
async fn settle<F: Future>(
    mut pending: Vec<(usize, Pin<Box<F>>)>,
    mut done: impl FnMut(usize, F::Output),
) {
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
    if pending.is_empty() {
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

/// A list as the type of a field: its items are resolved at the same time, and
/// one that fails leaves the others alone.
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
        let mut pending = Vec::new();
        let mut null = false;
        let mut unused: Option<Pin<Box<_>>> = None;
        for (index, item) in self.0.iter().enumerate() {
            let value = resolve_item(item, ctx, index, field);
            let mut value = match unused.take() {
                None => Box::pin(value),
                Some(place) => placed(place, value),
            };
            match poll_fn(|cx| Poll::Ready(value.as_mut().poll(cx))).await {
                Poll::Ready(ready) => {
                    match ready {
                        Some(ready) => values[index] = ready,
                        None => null = true,
                    }
                    unused = Some(value);
                }
                Poll::Pending => pending.push((index, value)),
            }
        }
        drop(unused);
        settle(pending, |index, value| match value {
            Some(value) => values[index] = value,
            None => null = true,
        })
        .await;
        if null {
            return Err(propagated());
        }
        Ok(Value::List(values))
    }
}

/// The value of an item, which catches its own null where it may be null;
/// `None` where the null moves up.
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
