//! Admission control: limits on concurrent requests, and on the memory for responses that clients
//! have not read yet.

use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::Bounds;
use super::refused::Refused;

/// Memory for responses is counted in kilobytes.
const KILOBYTE: usize = 1024;

/// The remaining capacity of the server.
#[derive(Clone, Debug)]
pub(super) struct Load {
    turns: Arc<Semaphore>,
    space: Arc<Semaphore>,
    /// Total memory for responses, in kilobytes.
    most: usize,
}

impl Load {
    pub fn new(bounds: &Bounds) -> Self {
        let most = bounds.unread_bytes.div_ceil(KILOBYTE);
        Self {
            turns: Arc::new(Semaphore::new(bounds.in_flight)),
            space: Arc::new(Semaphore::new(most)),
            most,
        }
    }

    /// Returns a permit to execute a request, or rejects the request if all permits are in use.
    pub fn turn(&self) -> Result<SemaphorePermit<'_>, Refused> {
        self.turns.try_acquire().map_err(|_full| too_much())
    }

    /// Reserves memory for a response of at most this many bytes, or rejects the request if there
    /// is too little.
    pub fn space(&self, bytes: usize) -> Result<Space, Refused> {
        let space = Arc::clone(&self.space).try_acquire_many_owned(self.kilobytes(bytes));
        space.map(Space).map_err(|_full| too_much())
    }

    /// Waits until there is memory for a response of this many bytes. Other responses release
    /// theirs in bounded time, because clients that do not read are disconnected.
    pub async fn space_for(&self, bytes: usize) -> Option<Space> {
        let space = Arc::clone(&self.space).acquire_many_owned(self.kilobytes(bytes));
        space.await.ok().map(Space)
    }

    fn kilobytes(&self, bytes: usize) -> u32 {
        let kilobytes = bytes.div_ceil(KILOBYTE).min(self.most);
        u32::try_from(kilobytes).unwrap_or(u32::MAX)
    }
}

fn too_much() -> Refused {
    Refused::unavailable("The server has too much to do. Try again.")
}

/// Memory that is reserved for a response until its client has read it.
#[derive(Debug)]
pub(super) struct Space(OwnedSemaphorePermit);

impl Space {
    /// Shrinks the reservation to the response's actual size, and binds it to the response: it is
    /// released when no part of the response is in memory any more.
    pub fn hold(mut self, answer: Vec<u8>) -> Bytes {
        let needed = answer.len().div_ceil(KILOBYTE).min(self.0.num_permits());
        Bytes::from_owner(Answer {
            _space: self.0.split(needed),
            text: answer,
        })
    }
}

struct Answer {
    text: Vec<u8>,
    _space: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_the_space_that_it_needs_until_it_is_gone() {
        let load = Load::new(&Bounds {
            unread_bytes: 10 * KILOBYTE,
            ..Bounds::default()
        });
        let space = load.space(8 * KILOBYTE).expect("space");
        assert!(load.space(3 * KILOBYTE).is_err());

        let answer = space.hold(vec![b' '; 2 * KILOBYTE]);
        let rest = answer.slice(1..2);
        drop(answer);

        assert!(load.space(9 * KILOBYTE).is_err());
        assert!(load.space(8 * KILOBYTE).is_ok());
        drop(rest);
        assert!(load.space(10 * KILOBYTE).is_ok());
        assert!(load.space(11 * KILOBYTE).is_ok(), "more than all there is");
    }
}
