//! The API: the schema, and who may ask for it.

use async_graphql::{Data, Response};
use futures_util::stream::{Stream, StreamExt};

use super::error::with_request_id;
use super::mutation::Mutation;
use super::query::Query;
use super::scalars::check_scalar;
use super::session::Session;
use super::subscription::Subscription;
use super::types::{Message, MessageGroup, Node, Problem};
use crate::engine::{Engine, GraphqlRequest, Limits, Operation, Prepared};

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
    engine: Engine<Query, Mutation, Subscription>,
    introspection: Introspection,
}

impl Api {
    /// Builds the schema.
    #[must_use]
    pub fn new(introspection: Introspection, limits: Limits) -> Self {
        let mut engine = Engine::build(Query, Mutation, Subscription)
            .limits(limits)
            .costs(Query::COSTS)
            .costs(MessageGroup::COSTS)
            .costs(Message::COSTS)
            .check_scalars(check_scalar)
            .cache_documents_of(is_signed_in)
            .register::<Node>()
            .register::<Problem>();
        if introspection == Introspection::Off {
            engine = engine.without_introspection();
        }
        Self {
            engine: engine.finish(),
            introspection,
        }
    }

    /// The executor, for other servers than this crate's: each request needs a
    /// [`Session`] as its data.
    #[must_use]
    pub fn engine(&self) -> &Engine<Query, Mutation, Subscription> {
        &self.engine
    }

    /// The schema in its definition language, as `schema.graphql` holds it.
    #[must_use]
    pub fn sdl(&self) -> String {
        self.engine.sdl()
    }

    /// Parses a request and finds its operation, within the limits. Whether it
    /// fits the schema is for those who may know the schema.
    pub fn parse(&self, request: GraphqlRequest) -> Result<Operation, Box<Response>> {
        self.engine.parse(request)
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
    /// variables, and makes it fit to be executed; or says why it is not. Its
    /// document is cached if the viewer is `signed_in`.
    pub fn prepare(
        &self,
        operation: &Operation,
        signed_in: bool,
    ) -> Result<Prepared, Box<Response>> {
        self.engine.prepare(operation, signed_in)
    }

    /// Whether a document of one operation can be executed at all, whatever its
    /// variables. Else what is wrong with it.
    pub fn check_document(&self, document: &str) -> Result<(), String> {
        let request = GraphqlRequest {
            query: document.to_owned(),
            ..GraphqlRequest::default()
        };
        let checked = self
            .parse(request)
            .and_then(|operation| self.engine.check(&operation));
        checked.map_err(|refused| {
            let first = refused.errors.into_iter().next();
            first.map(|error| error.message).unwrap_or_default()
        })
    }

    /// Executes an operation. Every error of the answer has a code.
    pub async fn execute(
        &self,
        prepared: Prepared,
        session: Session,
        request_id: &str,
    ) -> Response {
        let response = self.engine.execute_prepared(prepared, session).await;
        of_request(response, request_id)
    }

    /// Executes a subscription, which has an answer for each of its events.
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
