//! Resolves objects and lists in the document's order.
//!
//! async-graphql spawns a future for each field and returns fields in the order
//! in which they become ready, without failed ones. This module polls each
//! field once in the document's order, and then waits only for fields that are
//! not ready. The null of a failed non-null field propagates to the nearest
//! nullable field (GraphQL specification, 6.4.4).

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use async_graphql::parser::types::{Field, Selection};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::ContainerType;
use async_graphql::{
    ContextSelectionSet, ObjectType, OutputType, Positioned, ServerError, ServerResult, Value,
};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::json;

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
        Box::pin(resolve_object(self, ctx))
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

/// Resolves the selected fields of an object. Its value is JSON text.
pub(super) async fn resolve_object<T: ContainerType + ?Sized>(
    object: &T,
    ctx: &ContextSelectionSet<'_>,
) -> ServerResult<Value> {
    let fields = fields_of(ctx, &T::type_name());
    let values = fields
        .clone()
        .map(|field| resolve_field(object, ctx, field));
    let values = resolve_all(values).await.ok_or_else(propagated)?;
    Ok(json::object(fields, &values))
}

/// Resolves the fields of a query, those with the name `first` before the
/// others.
pub(super) async fn resolve_query<T: ContainerType + ?Sized>(
    query: &T,
    ctx: &ContextSelectionSet<'_>,
    first: &str,
) -> ServerResult<Value> {
    let fields = fields_of(ctx, &T::type_name());
    let is_first = |field: &Positioned<Field>| field.node.name.node == first;
    let mut values = vec![Value::Null; fields.clone().count()];
    for step_is_first in [true, false] {
        let step = fields.clone().enumerate();
        let step = step.filter(|(_, field)| is_first(field) == step_is_first);
        let (indexes, step_fields): (Vec<_>, Vec<_>) = step.unzip();
        let step_fields = step_fields.into_iter();
        let resolved = step_fields.map(|field| resolve_field(query, ctx, field));
        let resolved = resolve_all(resolved).await.ok_or_else(propagated)?;
        for (index, value) in indexes.into_iter().zip(resolved) {
            values[index] = value;
        }
    }
    Ok(json::object(fields, &values))
}

/// Resolves the fields of a mutation one after the other.
pub(super) async fn resolve_mutation<T: ContainerType + ?Sized>(
    mutation: &T,
    ctx: &ContextSelectionSet<'_>,
) -> ServerResult<Value> {
    let fields = fields_of(ctx, &T::type_name());
    let mut values = Vec::new();
    for field in fields.clone() {
        // Boxed, because a mutation's future is large: the future that resolves a root contains it,
        // also for queries.
        let value = Box::pin(resolve_field(mutation, ctx, field)).await;
        values.push(value.ok_or_else(propagated)?);
    }
    Ok(json::object(fields, &values))
}

/// Returns the selected fields of an object type.
fn fields_of<'a>(
    ctx: &ContextSelectionSet<'a>,
    ty: &str,
) -> impl Iterator<Item = &'a Positioned<Field>> + Clone + use<'a> {
    let selected = selected_of(ctx, ty).iter();
    selected.filter_map(|item| match &item.node {
        Selection::Field(field) => Some(field),
        _ => None,
    })
}

/// Returns the selections of an object type. Interfaces and unions have one
/// inline fragment for each possible type.
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
    if field.node.name.node == "__typename" {
        return Some(Value::String(T::type_name().into_owned()));
    }
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

/// Resolves values concurrently. Returns them in order, or `None` if a null
/// propagates from one of them.
async fn resolve_all<F>(mut values: impl Iterator<Item = F>) -> Option<Vec<Value>>
where
    F: Future<Output = Option<Value>>,
{
    let mut resolved = Vec::with_capacity(values.size_hint().1.unwrap_or_default());
    let mut pending = Vec::new();
    let mut null_propagates = false;
    let mut value_or_null = |value: Option<Value>| {
        null_propagates |= value.is_none();
        value.unwrap_or_default()
    };
    poll_fn(|cx| {
        // The allocation of a completed future, which the next one uses.
        let mut completed: Option<Pin<Box<F>>> = None;
        for value in values.by_ref() {
            let mut value = match completed.take() {
                None => Box::pin(value),
                Some(mut completed) => {
                    completed.set(value);
                    completed
                }
            };
            resolved.push(match value.as_mut().poll(cx) {
                Poll::Ready(ready) => {
                    completed = Some(value);
                    value_or_null(ready)
                }
                Poll::Pending => {
                    pending.push((resolved.len(), value));
                    Value::Null
                }
            });
        }
        Poll::Ready(())
    })
    .await;
    let on_ready = |index, value| resolved[index] = value_or_null(value);
    poll_until_ready(pending, on_ready).await;
    (!null_propagates).then_some(resolved)
}

/// Polls futures, each of which was polled before, until all are ready. Calls
/// `on_ready` with the index and the output of each.
async fn poll_until_ready<F: Future>(
    mut pending: Vec<(usize, Pin<Box<F>>)>,
    mut on_ready: impl FnMut(usize, F::Output),
) {
    if pending.len() > POLLED_TOGETHER {
        let mut pending: FuturesUnordered<_> = pending
            .into_iter()
            .map(|(index, future)| async move { (index, future.await) })
            .collect();
        while let Some((index, output)) = pending.next().await {
            on_ready(index, output);
        }
        return;
    }
    poll_fn(|cx| {
        pending.retain_mut(|(index, future)| match future.as_mut().poll(cx) {
            Poll::Ready(output) => {
                on_ready(*index, output);
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
        let items = self.0.iter().enumerate();
        let items = items.map(|(index, item)| resolve_item(item, ctx, index, field));
        let values = resolve_all(items).await;
        values.map(Value::List).ok_or_else(propagated)
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
