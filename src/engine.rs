//! Executes GraphQL: parses and validates documents and caches the result,
//! enforces limits, and resolves fields in the document's order.
//!
//! The engine is independent of any schema. async-graphql is the source of the
//! schema and calls its resolvers. [`Engine`] implements async-graphql's
//! [`Executor`], so all of its server integrations can use it.

mod cost;
mod definition;
mod document_cache;
mod document_size;
mod error;
mod field_cost;
mod in_order;
mod introspection;
mod json;
mod lexer;
mod limits;
mod lower;
mod operation;
mod plan;
mod positions;
mod request;
mod root;
mod rules;
mod subscription;
mod suggestions;
mod syntax;
#[cfg(test)]
mod tests;
mod validation;
mod variables;

use std::any::Any;
use std::sync::Arc;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{
    Data, Executor, ObjectType, OutputType, Positioned, Request, Response, SDLExportOptions,
    Schema, SchemaBuilder, SubscriptionType, ValidationMode, Value,
};
use futures_util::stream::{BoxStream, StreamExt, once};

use definition::definition;
use document_cache::{DocumentCache, document_cache};
use error::{Rejected, RequestError, RequestErrorKind, finalize};
use in_order::is_propagated;
use introspection::{INTERNAL_KEY, internal_field};
use operation::ValidatedDocument;
use positions::unpositioned;
use request::DocumentKey;
use root::{ROOT_FIELD, Root, RootSelection};
use rules::Rules;
use subscription::SubscriptionRoot;
use suggestions::with_suggestions;

pub use definition::InvalidSchema;
pub(crate) use error::in_one_line;
pub use field_cost::{DeclaredCost, FieldCost};
pub(crate) use in_order::composite_type;
pub use in_order::{Composite, InOrder, List};
pub use json::response_json;
pub use limits::Limits;
pub use operation::{Operation, Prepared};
pub use request::GraphqlRequest;
pub use rules::EngineSettings;

/// Executes the operations of a schema. Cloning is cheap.
pub struct Engine<Q, M, S> {
    schema: Schema<Root<Q>, Root<M>, SubscriptionRoot<S>>,
    subscription: Arc<S>,
    rules: Arc<Rules>,
    documents: DocumentCache,
}

impl<Q, M, S> Clone for Engine<Q, M, S> {
    fn clone(&self) -> Self {
        Self {
            schema: self.schema.clone(),
            subscription: Arc::clone(&self.subscription),
            rules: Arc::clone(&self.rules),
            documents: self.documents.clone(),
        }
    }
}

/// Builds an [`Engine`].
pub struct EngineBuilder<Q, M, S> {
    schema: SchemaBuilder<Root<Q>, Root<M>, SubscriptionRoot<S>>,
    subscription: Arc<S>,
    settings: EngineSettings,
}

impl<Q, M, S> EngineBuilder<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    /// Registers a type that no field refers to.
    #[must_use]
    pub fn register<T: OutputType>(mut self) -> Self {
        self.schema = self.schema.register_output_type::<T>();
        self
    }

    /// Builds the engine, if the schema is valid.
    pub fn finish(self) -> Result<Engine<Q, M, S>, InvalidSchema> {
        // The engine validates each document itself, so async-graphql need not.
        let mut schema = self.schema.validation_mode(ValidationMode::Fast);
        if !self.settings.introspection {
            schema = schema.disable_introspection();
        }
        let schema = schema.finish();
        let rules = Rules {
            schema: definition(&schema.sdl())?,
            settings: self.settings,
        };
        Ok(Engine {
            schema,
            subscription: self.subscription,
            rules: Arc::new(rules),
            documents: document_cache(),
        })
    }
}

impl<Q, M, S> Engine<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    /// Returns a builder for an engine with these root types.
    pub fn build(
        query: Q,
        mutation: M,
        subscription: S,
        settings: EngineSettings,
    ) -> EngineBuilder<Q, M, S> {
        EngineBuilder {
            schema: Schema::build(Root(query), Root(mutation), SubscriptionRoot::new()),
            subscription: Arc::new(subscription),
            settings,
        }
    }

    /// Returns the schema in the schema definition language (SDL).
    pub fn sdl(&self) -> String {
        let options = SDLExportOptions::new()
            .include_specified_by()
            .use_space_ident()
            .indent_width(2);
        let sdl = self.schema.sdl_with_options(options);
        let lines = sdl.trim().lines().map(str::trim_end);
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    /// Parses a request and selects its operation, within the limits.
    ///
    /// Does not validate it against the schema: validation errors may reveal
    /// the schema, and the caller is not authorized yet.
    pub fn parse(&self, request: GraphqlRequest) -> Result<Operation, Box<Response>> {
        let key = DocumentKey::of(&request);
        match self.documents.get(&key) {
            Some(document) => Ok(Operation::cached(document, key, request.variables)),
            None => Operation::parse(request, key, &self.rules.settings.limits),
        }
    }

    /// Validates an operation, coerces its variables and plans its execution.
    /// Returns the errors as a response.
    ///
    /// `keep` adds the document to the cache. It must be false for anonymous
    /// callers, who could otherwise fill the cache.
    pub fn prepare(&self, operation: &Operation, keep: bool) -> Result<Prepared, Box<Response>> {
        self.validate(operation, |known| {
            if keep && !operation.is_cached() {
                self.documents.insert(operation.key, Arc::clone(&known));
            }
            operation.prepare(&known, &self.rules)
        })
    }

    /// Checks whether an operation can be executed with all values of its variables.
    pub fn check(&self, operation: &Operation) -> Result<(), Box<Response>> {
        self.validate(operation, |known| known.check(&self.rules))
    }

    /// Validates an operation and continues with `next`. If introspection is
    /// enabled, adds suggested names to the errors; otherwise rejects it.
    fn validate<T>(
        &self,
        operation: &Operation,
        next: impl FnOnce(Arc<ValidatedDocument>) -> Result<T, Rejected>,
    ) -> Result<T, Rejected> {
        let introspection = self.rules.settings.introspection;
        if !introspection && operation.uses_introspection() {
            let message = "Introspection is disabled.";
            return Err(RequestError::new(RequestErrorKind::ValidationFailed, message).into());
        }
        let validated = operation.validate(&self.rules).and_then(next);
        validated.map_err(|mut rejected| {
            for error in rejected.errors.iter_mut().filter(|_| introspection) {
                let message = std::mem::take(&mut error.message);
                error.message = with_suggestions(&self.rules.schema, message);
            }
            rejected
        })
    }

    /// Executes an operation, with data for its resolvers. [`response_json`]
    /// serializes the response.
    pub async fn execute_prepared(
        &self,
        prepared: Prepared,
        data: impl Any + Send + Sync,
    ) -> Response {
        self.run(&prepared, Request::new("").data(data)).await
    }

    /// Executes a subscription. Each event has its own response, which
    /// [`response_json`] serializes.
    pub fn execute_prepared_stream(
        &self,
        prepared: &Prepared,
        data: impl Any + Send + Sync,
    ) -> BoxStream<'static, Response> {
        self.run_stream(prepared, Request::new("").data(data), Arc::default())
    }

    async fn run(&self, prepared: &Prepared, request: Request) -> Response {
        let request = build_request(prepared, root_selections(prepared), request);
        let selection = RootSelection {
            fields: Arc::clone(&prepared.lowered.root),
            first: self.rules.settings.resolved_first,
        };
        let response = self.schema.execute(request.data(selection)).await;
        complete(prepared, response)
    }

    /// Returns the events. The stream is boxed because [`Executor`] returns a
    /// boxed stream.
    fn run_stream(
        &self,
        prepared: &Prepared,
        request: Request,
        session_data: Arc<Data>,
    ) -> BoxStream<'static, Response> {
        let items = prepared.lowered.root.node.items.clone();
        let request = build_request(prepared, items, request);
        let root = Arc::clone(&self.subscription);
        let responses = subscription::responses(&self.schema, root, request, session_data);
        responses.map(without_propagated).boxed()
    }

    /// Prepares a request of an async-graphql integration.
    fn prepare_request(&self, request: &mut Request) -> Result<Prepared, Rejected> {
        let variables = std::mem::take(&mut request.variables);
        let variables = variables.iter().map(|(name, value)| {
            let value = value.clone().into_json().unwrap_or_default();
            (name.to_string(), value)
        });
        let asked = GraphqlRequest {
            query: std::mem::take(&mut request.query),
            operation_name: request.operation_name.take(),
            variables: variables.collect(),
        };
        let operation = self.parse(asked)?;
        self.prepare(
            &operation,
            (self.rules.settings.is_cacheable)(&request.data),
        )
    }
}

impl<Q, M, S> Executor for Engine<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    async fn execute(&self, mut request: Request) -> Response {
        match self.prepare_request(&mut request) {
            Err(rejected) => *rejected,
            Ok(prepared) if prepared.is_subscription() => {
                let message = "Subscriptions require a streaming transport, such as a WebSocket.";
                let error = RequestError::new(RequestErrorKind::ValidationFailed, message);
                *Rejected::from(error)
            }
            Ok(prepared) => with_parsed_objects(self.run(&prepared, request).await),
        }
    }

    fn execute_stream(
        &self,
        mut request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        match self.prepare_request(&mut request) {
            Err(rejected) => once(async { *rejected }).boxed(),
            Ok(prepared) if prepared.is_subscription() => {
                let session_data = session_data.unwrap_or_default();
                let responses = self.run_stream(&prepared, request, session_data);
                responses.map(with_parsed_objects).boxed()
            }
            Ok(prepared) => {
                let engine = self.clone();
                let response =
                    async move { with_parsed_objects(engine.run(&prepared, request).await) };
                once(response).boxed()
            }
        }
    }
}

/// Replaces the JSON texts in a response by async-graphql's objects, which its
/// integrations expect.
fn with_parsed_objects(mut response: Response) -> Response {
    response.data = json::parse_objects(response.data);
    response
}

/// Returns the selections of async-graphql's root: one field that contains the
/// operation's fields, and the introspection fields, which async-graphql
/// resolves itself.
fn root_selections(prepared: &Prepared) -> Vec<Positioned<Selection>> {
    let lowered = &prepared.lowered;
    let mut items = Vec::with_capacity(lowered.introspection.len() + 1);
    if lowered.introspection.is_empty() || !lowered.root.node.items.is_empty() {
        items.push(internal_field(ROOT_FIELD));
    }
    items.extend(lowered.introspection.iter().cloned());
    items
}

/// Creates a request that executes selections of an operation's root.
fn build_request(
    prepared: &Prepared,
    items: Vec<Positioned<Selection>>,
    mut request: Request,
) -> Request {
    use apollo_compiler::ast::OperationType as Type;
    let operation = OperationDefinition {
        ty: match prepared.plan.operation_type {
            Type::Query => OperationType::Query,
            Type::Mutation => OperationType::Mutation,
            Type::Subscription => OperationType::Subscription,
        },
        variable_definitions: Vec::new(),
        directives: Vec::new(),
        selection_set: unpositioned(SelectionSet { items }),
    };
    request.set_parsed_query(ExecutableDocument {
        operations: DocumentOperations::Single(unpositioned(operation)),
        fragments: std::collections::HashMap::new(),
    });
    request
}

/// Moves the operation's fields to the root of the response, in order.
fn complete(prepared: &Prepared, response: Response) -> Response {
    let mut response = without_propagated(response);
    let Value::Object(mut found) = std::mem::take(&mut response.data) else {
        return response;
    };
    let root = found.swap_remove(INTERNAL_KEY);
    // The operation has no introspection fields.
    if found.is_empty() {
        response.data = root.unwrap_or_default();
        return response;
    }
    let mut fields = match root.map(json::parse_objects) {
        Some(Value::Object(fields)) => fields,
        None if prepared.lowered.root.node.items.is_empty() => IndexMap::new(),
        // A null was propagated to the root.
        Some(_) | None => return response,
    };
    let values = prepared.plan.root.iter().map(|field| {
        let key = field.key();
        let value = fields.swap_remove(key);
        let of_schema =
            || introspection::complete(field, found.swap_remove(key).unwrap_or_default());
        (key.clone(), value.unwrap_or_else(of_schema))
    });
    response.data = Value::Object(values.collect());
    response
}

/// Removes the errors that only propagate a null: the error that caused the null is also in the
/// response.
fn without_propagated(mut response: Response) -> Response {
    response.errors.retain(|error| !is_propagated(error));
    response.errors.dedup();
    finalize(&mut response.errors);
    response
}
