//! The root of an operation: one field of async-graphql's root, in which the operation's fields are
//! resolved in order.

use std::borrow::Cow;
use std::sync::Arc;

use async_graphql::parser::types::{Field, OperationType, Selection, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::ContainerType;
use async_graphql::{
    Context, ContextSelectionSet, ObjectType, OutputType, Positioned, ServerResult, Value,
};

use super::in_order::{Composite, resolve_object};

/// Name of the field in which the root fields are resolved.
pub(super) const ROOT_FIELD: &str = "root";

/// The root fields of an operation. They are passed in the data of the request,
/// so that cached selections are not copied.
pub(super) struct RootSelection {
    pub fields: Arc<Positioned<SelectionSet>>,
    /// Name of the field of a query's root that is resolved before the others.
    pub first: Option<&'static str>,
}

impl RootSelection {
    /// Returns the fields that are resolved first, and the other fields. Returns
    /// `None` if all fields are resolved together.
    fn in_two_steps(&self) -> Option<[Positioned<SelectionSet>; 2]> {
        let name = self.first?;
        let is_first = |item: &Positioned<Selection>| match &item.node {
            Selection::Field(field) => field.node.name.node == name,
            _ => false,
        };
        let items = &self.fields.node.items;
        if !items.iter().any(is_first) || items.iter().all(is_first) {
            return None;
        }
        let (first, others) = items.iter().cloned().partition(is_first);
        Some([first, others].map(|items| Positioned::new(SelectionSet { items }, self.fields.pos)))
    }

    /// Returns the values of both steps in the document's order.
    fn joined(&self, mut first: Value, others: Value) -> Value {
        let (Value::Object(first), Value::Object(mut others)) = (&mut first, others) else {
            return first;
        };
        let keys = self
            .fields
            .node
            .items
            .iter()
            .filter_map(|item| match &item.node {
                Selection::Field(field) => Some(&field.node.response_key().node),
                _ => None,
            });
        let values = keys.filter_map(|key| {
            let value = first.swap_remove(key).or_else(|| others.swap_remove(key));
            Some((key.clone(), value?))
        });
        Value::Object(values.collect())
    }
}

/// A root type of the schema. All its fields are resolved in [`ROOT_FIELD`].
pub(super) struct Root<T>(pub T);

impl<T: ObjectType> ContainerType for Root<T> {
    fn is_empty() -> bool {
        T::is_empty()
    }

    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        let Some(selection) = ctx.data_opt::<RootSelection>() else {
            return Ok(None);
        };
        let resolve = async |set: &Positioned<SelectionSet>| {
            let mut root = ctx.with_selection_set(set);
            // Paths begin at the operation's own fields.
            root.path_node = None;
            let serial = ctx.query_env.operation.node.ty == OperationType::Mutation;
            resolve_object(&self.0, &root, serial).await
        };
        let value = match selection.in_two_steps() {
            None => resolve(&selection.fields).await?,
            Some([first, others]) => {
                let first = resolve(&first).await?;
                selection.joined(first, resolve(&others).await?)
            }
        };
        Ok(Some(value))
    }
}

impl<T: ObjectType> OutputType for Root<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
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

impl<T: ObjectType> ObjectType for Root<T> {}
