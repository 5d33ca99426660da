//! The executable schema.

use std::sync::Arc;

use async_graphql::{EmptySubscription, Response, SDLExportOptions, Schema};

use super::completion::Types;
use super::error::see_to;
use super::mutation::Mutation;
use super::operation::Operation;
use super::query::Query;
use super::session::Session;
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

/// The API: a schema and who may ask for it.
#[derive(Clone)]
pub struct Api {
    schema: Schema<Query, Mutation, EmptySubscription>,
    types: Arc<Types>,
    introspection: Introspection,
}

impl Api {
    /// Builds the schema.
    #[must_use]
    pub fn new(introspection: Introspection) -> Self {
        let mut schema = Schema::build(Query, Mutation, EmptySubscription)
            .register_output_type::<Node>()
            .register_output_type::<Problem>();
        if introspection == Introspection::Off {
            schema = schema.disable_introspection().disable_suggestions();
        }
        let schema = schema.finish();
        // A definition that the library has printed is one that it can read.
        let types = Types::of(&schema.sdl()).unwrap_or_default();
        Self {
            schema,
            types: Arc::new(types),
            introspection,
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

    /// Whether an operation is for everybody, without a token.
    #[must_use]
    pub fn is_public(&self, operation: &Operation) -> bool {
        self.introspection == Introspection::Public && operation.is_introspection()
    }

    /// Executes an operation. Every error of the answer has a code.
    pub async fn execute(
        &self,
        operation: Operation,
        session: Session,
        request_id: &str,
    ) -> Response {
        let mut response = operation.execute(&self.schema, &self.types, session).await;
        response.errors.dedup();
        see_to(&mut response.errors, request_id);
        response
    }
}
