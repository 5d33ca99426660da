//! The executable schema.

use std::collections::HashMap;
use std::sync::Arc;

use apollo_compiler::ast::{DirectiveList, FieldDefinition, InputValueDefinition};
use apollo_compiler::schema::{Component, ExtendedType};
use apollo_compiler::validation::{Valid, WithErrors};
use apollo_compiler::{name, ty};
use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, OperationDefinition};
use async_graphql::{Pos, Positioned, Request, Response, SDLExportOptions, Schema, ValidationMode};
use futures_util::stream::{Stream, StreamExt};

use super::completion::Answered;
use super::error::{Code, refusal, see_to};
use super::limits::Limits;
use super::mutation::Mutation;
use super::operation::{GraphqlRequest, Operation, Prepared};
use super::query::Query;
use super::session::Session;
use super::subscription::Subscription;
use super::suggestions::with_suggestions;
use super::types::{Node, Problem};

/// Who may ask for the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Introspection {
    /// Everybody, without a token.
    Public,
    /// Who is signed in.
    Authenticated,
    /// Nobody.
    Off,
}

/// The API: a schema, who may ask for it, and how much may be asked of it.
#[derive(Clone)]
pub struct Api {
    schema: Schema<Query, Mutation, Subscription>,
    definition: Arc<Valid<apollo_compiler::Schema>>,
    introspection: Introspection,
    limits: Limits,
}

impl Api {
    /// Builds the schema.
    #[must_use]
    pub fn new(introspection: Introspection, limits: Limits) -> Self {
        let mut schema = Schema::build(Query, Mutation, Subscription)
            .register_output_type::<Node>()
            .register_output_type::<Problem>();
        if introspection == Introspection::Off {
            schema = schema.disable_introspection();
        }
        // Documents are validated before they get here.
        let schema = schema.validation_mode(ValidationMode::Fast).finish();
        Self {
            definition: Arc::new(definition(&schema.sdl())),
            schema,
            introspection,
            limits,
        }
    }

    /// The schema in its definition language, as `schema.graphql` holds it.
    #[must_use]
    pub fn sdl(&self) -> String {
        let options = SDLExportOptions::new()
            .include_specified_by()
            .use_space_ident()
            .indent_width(2);
        let sdl = self.schema.sdl_with_options(options);
        let lines = sdl.trim().lines().map(str::trim_end);
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    /// Parses a request and finds its operation, within the limits. Whether it
    /// fits the schema is for those who may know the schema.
    pub fn parse(&self, request: GraphqlRequest) -> Result<Operation, Box<Response>> {
        Operation::parse(request, &self.limits)
    }

    /// Whether there is anything that may be asked without a token.
    #[must_use]
    pub fn is_for_anybody(&self) -> bool {
        self.introspection == Introspection::Public
    }

    /// Whether an operation is for everybody, without a token.
    #[must_use]
    pub fn is_public(&self, operation: &Operation) -> bool {
        self.introspection == Introspection::Public && operation.is_introspection()
    }

    /// Validates an operation against what is shown of the schema, coerces its
    /// variables, and makes it fit to be executed; or says why it is not.
    pub fn prepare(&self, operation: &Operation) -> Result<Prepared, Box<Response>> {
        self.check_shown(operation)?;
        let prepared = operation.prepare(&self.definition, &self.limits);
        prepared.map_err(|refused| self.with_suggestions(refused))
    }

    /// Who may see the schema is told what was probably meant.
    fn with_suggestions(&self, mut refused: Box<Response>) -> Box<Response> {
        if self.introspection != Introspection::Off {
            for error in &mut refused.errors {
                let message = std::mem::take(&mut error.message);
                error.message = with_suggestions(&self.definition, message);
            }
        }
        refused
    }

    /// Whether an operation asks for no more of the schema than is shown.
    fn check_shown(&self, operation: &Operation) -> Result<(), Box<Response>> {
        if self.introspection == Introspection::Off && operation.asks_for_schema() {
            let message = "The schema is not shown here.";
            return Err(Box::new(refusal(Code::GraphqlValidationFailed, message)));
        }
        Ok(())
    }

    /// Whether a document of one operation can be executed at all, whatever its
    /// variables. Else what is wrong with it.
    pub fn check_document(&self, document: &str) -> Result<(), String> {
        let request = GraphqlRequest {
            query: document.to_owned(),
            ..GraphqlRequest::default()
        };
        let checked = self.parse(request).and_then(|operation| {
            self.check_shown(&operation)?;
            operation.check(&self.definition, &self.limits)
        });
        checked.map_err(|refused| {
            let first = refused.errors.into_iter().next();
            first.map(|error| error.message).unwrap_or_default()
        })
    }

    /// Executes an operation. Every error of the answer has a code.
    pub async fn execute(
        &self,
        Prepared { definition, .. }: Prepared,
        session: Session,
        request_id: &str,
    ) -> Response {
        let response = self.schema.execute(request(&definition, session)).await;
        self.complete(&definition, response, request_id)
    }

    /// Executes a subscription, which has an answer for each of its events.
    pub fn execute_stream(
        &self,
        Prepared { definition, .. }: Prepared,
        session: Session,
        request_id: &str,
    ) -> impl Stream<Item = Response> + Send + use<> {
        let (api, request_id) = (self.clone(), request_id.to_owned());
        let responses = self.schema.execute_stream(request(&definition, session));
        let complete = move |response| api.complete(&definition, response, &request_id);
        responses.map(complete)
    }

    fn complete(
        &self,
        operation: &OperationDefinition,
        mut response: Response,
        request_id: &str,
    ) -> Response {
        let answered = Answered {
            schema: &self.definition,
        };
        response.data = answered.complete(operation, std::mem::take(&mut response.data));
        response.errors.dedup();
        see_to(&mut response.errors, request_id);
        response
    }
}

fn request(operation: &OperationDefinition, session: Session) -> Request {
    let mut request = Request::new("").data(session);
    request.set_parsed_query(document_of(operation.clone()));
    request
}

/// A document with one operation alone.
fn document_of(operation: OperationDefinition) -> ExecutableDocument {
    ExecutableDocument {
        operations: DocumentOperations::Single(Positioned::new(operation, Pos::default())),
        fragments: HashMap::new(),
    }
}

/// Adds what is newer than apollo-compiler's types of the schema: `@oneOf` and,
/// of graphql-js 17, the deprecation of directives.
fn add_newer_introspection(schema: &mut apollo_compiler::Schema) {
    for (on, name, ty) in [
        ("__Type", name!("isOneOf"), ty!(Boolean)),
        ("__Directive", name!("isDeprecated"), ty!(Boolean!)),
        ("__Directive", name!("deprecationReason"), ty!(String)),
    ] {
        let field = FieldDefinition {
            description: None,
            name: name.clone(),
            arguments: Vec::new(),
            ty,
            directives: DirectiveList::new(),
        };
        if let Some(ExtendedType::Object(on)) = schema.types.get_mut(on) {
            on.make_mut().fields.insert(name, Component::new(field));
        }
    }
    if let Some(ExtendedType::Object(ty)) = schema.types.get_mut("__Schema")
        && let Some(directives) = ty.make_mut().fields.get_mut("directives")
    {
        let argument = InputValueDefinition {
            description: None,
            name: name!("includeDeprecated"),
            ty: ty!(Boolean!).into(),
            default_value: Some(false.into()),
            directives: DirectiveList::new(),
        };
        directives.make_mut().arguments.push(argument.into());
    }
}

/// The schema as documents are validated against it. One that the library has
/// printed is valid: a test sees to that.
fn definition(sdl: &str) -> Valid<apollo_compiler::Schema> {
    let parsed = apollo_compiler::Schema::parse(sdl, "schema.graphql");
    let (Ok(mut schema)
    | Err(WithErrors {
        partial: mut schema,
        ..
    })) = parsed;
    add_newer_introspection(&mut schema);
    schema.validate().unwrap_or_else(|error| {
        tracing::error!(%error, "the schema cannot be read");
        Valid::assume_valid(error.partial)
    })
}
