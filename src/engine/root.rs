//! The root of an operation: one field of async-graphql's root, in which the operation's fields are
//! resolved in order.

use std::borrow::Cow;
use std::sync::Arc;

use async_graphql::parser::types::{Field, OperationType, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::ContainerType;
use async_graphql::{
    Context, ContextSelectionSet, ObjectType, OutputType, Positioned, ServerResult, Value,
};

use super::in_order::{Composite, resolve_mutation, resolve_object, resolve_query};

/// Name of the field in which the root fields are resolved.
pub(super) const ROOT_FIELD: &str = "root";

/// The root fields of an operation. They are passed in the data of the request,
/// so that cached selections are not copied.
pub(super) struct RootSelection {
    pub fields: Arc<Positioned<SelectionSet>>,
    /// Name of the field of a query's root that is resolved before the others.
    pub first: Option<&'static str>,
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
        let mut root = ctx.with_selection_set(&selection.fields);
        // Paths begin at the operation's own fields.
        root.path_node = None;
        let value = match (ctx.query_env.operation.node.ty, selection.first) {
            (OperationType::Mutation, _) => resolve_mutation(&self.0, &root).await,
            (_, Some(first)) => resolve_query(&self.0, &root, first).await,
            (_, None) => resolve_object(&self.0, &root).await,
        };
        value.map(Some)
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
