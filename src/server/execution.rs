//! Execution of an operation, shared by all transports.

use std::time::Duration;

use async_graphql::Response;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::time::{Instant, timeout_at};

use super::App;
use super::caller::{nobody, viewer};
use super::documents::ToKeep;
use super::received::Received;
use super::refused::Refused;
use crate::auth::Caller;
use crate::schema::{Operation, Prepared, Session, timed_out};

/// Timeout of a request.
pub(super) const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// How long before the request's deadline the outcome of a write must be decided, so that the
/// response can still report it.
pub(super) const TIME_TO_ANSWER: Duration = Duration::from_millis(500);

/// A parsed request.
pub(super) struct Parsed {
    pub operation: Operation,
    /// The document to cache, if clients can refer to it by its id from now on.
    to_keep: Option<ToKeep>,
}

/// The result of starting an operation.
pub(super) enum Begun {
    Answered(Box<Response>),
    /// A stream of results, until it ends or the client cancels it.
    Tells(BoxStream<'static, Response>),
}

impl App {
    /// Parses the requested operation. It is not validated against the schema yet.
    pub(super) fn parse(&self, received: Received) -> Result<Parsed, Box<Response>> {
        let (request, to_keep) = self.documents.find(received)?;
        let operation = self.api.parse(request)?;
        Ok(Parsed { operation, to_keep })
    }

    /// Creates the state that the resolvers of an operation share, if the caller may execute the
    /// operation.
    pub(super) async fn session(
        &self,
        caller: &Caller,
        parsed: &Parsed,
        deadline: Instant,
    ) -> Result<Session, Refused> {
        let users = self.messaging.directory.loader();
        let viewer = match caller {
            Caller::Anonymous if self.api.is_public(&parsed.operation) => None,
            Caller::Anonymous => return Err(nobody()),
            Caller::SignedIn { sub, .. } => {
                let found = timeout_at(deadline, viewer(&users, sub)).await;
                Some(found.unwrap_or_else(|_| Err(Refused::too_late()))?)
            }
        };
        // Documents of callers without a user are not cached, so that they cannot fill the memory.
        if let (Some(_), Some(document)) = (&viewer, &parsed.to_keep) {
            self.documents.keep(document.clone());
        }
        let (messaging, rate) = (self.messaging.clone(), self.send_rate.clone());
        Ok(Session::new(messaging, users, viewer, rate, deadline))
    }

    /// Executes a query or a mutation by the deadline or shortly after it; starts a subscription.
    pub(super) async fn begin(
        &self,
        operation: Prepared,
        session: Session,
        request_id: &str,
        deadline: Instant,
    ) -> Begun {
        if operation.is_subscription() {
            let events = self.api.execute_stream(&operation, session, request_id);
            return Begun::Tells(events.boxed());
        }
        let is_mutation = operation.is_mutation();
        let executed = self.api.execute(operation, session, request_id);
        let answer = timeout_at(deadline + TIME_TO_ANSWER, executed).await;
        let answer = answer.unwrap_or_else(|_| timed_out(is_mutation, request_id));
        Begun::Answered(Box::new(answer))
    }
}
