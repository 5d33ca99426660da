//! The API: an engine with the schema, and access to introspection.

use async_graphql::{Data, Response};
use futures_util::stream::{Stream, StreamExt};

use super::error::with_request_id;
use super::mutation::Mutation;
use super::query::Query;
use super::scalars::check_scalar;
use super::session::Session;
use super::subscription::Subscription;
use super::types::{Message, MessageGroup, Node, Problem};
use crate::engine::{
    Engine, EngineSettings, GraphqlRequest, InvalidSchema, Limits, Operation, Prepared,
};

/// Which callers may use introspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Introspection {
    /// All callers, also without a token.
    Public,
    /// Authenticated callers.
    Authenticated,
    /// No callers.
    Off,
}

/// The API: the schema, its limits, and access to introspection.
#[derive(Clone)]
pub struct Api {
    engine: Engine<Query, Mutation, Subscription>,
    introspection: Introspection,
}

impl Api {
    /// Builds the schema.
    pub fn new(introspection: Introspection, limits: Limits) -> Result<Self, InvalidSchema> {
        let settings = EngineSettings {
            limits,
            costs: [Query::COSTS, MessageGroup::COSTS, Message::COSTS].concat(),
            check_scalar,
            introspection: introspection != Introspection::Off,
            resolved_first: Some(Query::RESOLVED_FIRST),
            is_cacheable: is_signed_in,
        };
        let engine = Engine::build(Query, Mutation, Subscription, settings)
            .register::<Node>()
            .register::<Problem>()
            .finish()?;
        Ok(Self {
            engine,
            introspection,
        })
    }

    /// Returns the engine. Servers in other crates use it as an executor; each of
    /// their requests must have a [`Session`] in its data.
    pub fn engine(&self) -> &Engine<Query, Mutation, Subscription> {
        &self.engine
    }

    /// Returns the schema in the schema definition language (SDL), as in
    /// `schema.graphql`.
    pub fn sdl(&self) -> String {
        self.engine.sdl()
    }

    /// Returns whether any operation is allowed without a token.
    pub fn allows_anonymous(&self) -> bool {
        self.introspection == Introspection::Public
    }

    /// Returns whether an operation is allowed without a token.
    pub fn is_public(&self, operation: &Operation) -> bool {
        self.introspection == Introspection::Public && operation.is_introspection()
    }

    /// Checks whether a document with one operation can be executed with all
    /// values of its variables. Returns the first error.
    pub fn check_document(&self, document: &str) -> Result<(), String> {
        let request = GraphqlRequest {
            query: document.to_owned(),
            ..GraphqlRequest::default()
        };
        let parsed = self.engine.parse(request);
        let checked = parsed.and_then(|operation| self.engine.check(&operation));
        checked.map_err(|refused| {
            let first = refused.errors.into_iter().next();
            first.map(|error| error.message).unwrap_or_default()
        })
    }

    /// Executes an operation. Every error of the response has a code.
    pub async fn execute(
        &self,
        prepared: Prepared,
        session: Session,
        request_id: &str,
    ) -> Response {
        let response = self.engine.execute_prepared(prepared, session).await;
        of_request(response, request_id)
    }

    /// Executes a subscription. Each event has its own response.
    pub fn execute_stream(
        &self,
        prepared: &Prepared,
        session: Session,
        request_id: &str,
    ) -> impl Stream<Item = Response> + Send + use<> {
        let request_id = request_id.to_owned();
        let responses = self.engine.execute_prepared_stream(prepared, session);
        responses.map(move |response| of_request(response, &request_id))
    }
}

fn is_signed_in(data: &Data) -> bool {
    let session = data.get(&std::any::TypeId::of::<Session>());
    let session = session.and_then(|session| session.downcast_ref::<Session>());
    session.is_some_and(|session| session.viewer_id().is_some())
}

fn of_request(mut response: Response, request_id: &str) -> Response {
    with_request_id(&mut response.errors, request_id);
    response
}
