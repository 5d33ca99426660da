//! What an operation goes through, whichever way it came.

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

/// How long a request may take.
pub(super) const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// How much earlier than the request a write has to be decided, so that its
/// outcome can still be told.
pub(super) const TIME_TO_ANSWER: Duration = Duration::from_millis(500);

/// What was found in what was received.
pub(super) struct Parsed {
    pub operation: Operation,
    /// Its document, if clients may ask for it by its id from now on.
    to_keep: Option<ToKeep>,
}

/// How an operation goes on.
pub(super) enum Begun {
    Answered(Box<Response>),
    /// It goes on until there are no more, or nobody wants more.
    Tells(BoxStream<'static, Response>),
}

impl App {
    /// The operation that is asked for. Whether it fits the schema is not known
    /// yet.
    pub(super) fn parse(&self, received: Received) -> Result<Parsed, Box<Response>> {
        let (request, to_keep) = self.documents.find(received)?;
        let operation = self.api.parse(request)?;
        Ok(Parsed { operation, to_keep })
    }

    /// What the resolvers of an operation share, if the caller may ask for it.
    pub(super) async fn session(
        &self,
        caller: &Caller,
        parsed: &Parsed,
        deadline: Instant,
    ) -> Result<Session, Refused> {
        let users = self.messaging.user_loader();
        let viewer = match caller {
            Caller::Anonymous if self.api.is_public(&parsed.operation) => None,
            Caller::Anonymous => return Err(nobody()),
            Caller::SignedIn { sub, .. } => {
                let found = timeout_at(deadline, viewer(self, &users, sub)).await;
                Some(found.unwrap_or_else(|_| Err(Refused::too_late()))?)
            }
        };
        // Somebody who is nobody here fills no memory.
        if let (Some(_), Some(document)) = (&viewer, &parsed.to_keep) {
            self.documents.keep(document.clone());
        }
        let (messaging, rate) = (self.messaging.clone(), self.send_rate.clone());
        Ok(Session::new(messaging, users, viewer, rate, deadline))
    }

    /// Executes what has one answer, by the deadline or soon after; begins what
    /// has many.
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
