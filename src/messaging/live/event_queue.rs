//! The queue of a listener's events.
//!
//! A channel of tokio takes 1 KB for each subscription, even if it is empty.
//! This queue has memory only for the events that wait.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use super::event::BusEvent;
use crate::lock::lock;

/// Maximum number of undelivered events of one listener, which take about
/// 300 KB. A listener that exceeds it is disconnected.
const MAX_WAITING: usize = 256;

/// The undelivered events of one listener. It has one consumer.
#[derive(Debug, Default)]
pub(super) struct EventQueue(Mutex<QueueState>);

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<BusEvent>,
    /// No further events are added, because the listener was too slow.
    is_closed: bool,
    /// Wakes the consumer, if it waits.
    waker: Option<Waker>,
}

impl EventQueue {
    /// Adds an event. Returns false and closes the queue if it is full.
    pub fn push_or_close(&self, event: BusEvent) -> bool {
        let mut state = lock(&self.0);
        if state.waiting.len() < MAX_WAITING && !state.is_closed {
            state.waiting.push_back(event);
        } else {
            state.is_closed = true;
        }
        let (is_queued, waker) = (!state.is_closed, state.waker.take());
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        is_queued
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.0).waiting.is_empty()
    }

    /// Takes all waiting events.
    pub fn take_all(&self) -> Vec<BusEvent> {
        std::mem::take(&mut lock(&self.0).waiting).into()
    }

    /// Waits for the next event; `None` after the last event of a closed queue.
    pub async fn next(&self) -> Option<BusEvent> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<BusEvent>> {
        let mut state = lock(&self.0);
        let event = state.waiting.pop_front();
        if state.waiting.is_empty() {
            // Releases the memory of earlier events.
            state.waiting = VecDeque::new();
        }
        if event.is_some() || state.is_closed {
            return Poll::Ready(event);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chrono::DateTime;
    use tokio::time::timeout;

    use super::super::event::RowsSnapshot;
    use super::*;

    fn event(number: usize) -> BusEvent {
        let seconds = i64::try_from(number).expect("a small number");
        BusEvent::Rows(Arc::new(RowsSnapshot {
            as_of: DateTime::from_timestamp(seconds, 0).expect("a time"),
            rows: Vec::new(),
        }))
    }

    fn number(event: &BusEvent) -> Option<i64> {
        match event {
            BusEvent::Rows(rows) => Some(rows.as_of.timestamp()),
            BusEvent::Hint(_) => None,
        }
    }

    #[tokio::test]
    async fn full_queue_is_closed_after_its_last_event() {
        let queue = EventQueue::default();
        for number in 0..MAX_WAITING {
            assert!(queue.push_or_close(event(number)));
        }
        assert!(!queue.push_or_close(event(MAX_WAITING)));

        let mut received = Vec::new();
        while let Some(event) = queue.next().await {
            // A closed queue stays closed, although there is room again.
            assert!(!queue.push_or_close(event.clone()));
            received.extend(number(&event));
        }
        let expected: Vec<_> = (0..256).collect();
        assert_eq!(received, expected);
    }

    #[tokio::test]
    async fn waiting_consumer_receives_an_event_and_the_end() {
        let queue = EventQueue::default();
        let produce = async { queue.push_or_close(event(7)) };
        let both = async { tokio::join!(queue.next(), produce) };
        let both = timeout(Duration::from_mins(1), both).await;
        let (received, _) = both.expect("the consumer is woken");
        assert_eq!(received.and_then(|event| number(&event)), Some(7));

        let close = async { while queue.push_or_close(event(0)) {} };
        let rest = async { while queue.next().await.is_some() {} };
        let both = async { tokio::join!(rest, close) };
        let ended = timeout(Duration::from_mins(1), both).await;
        ended.expect("the consumer is woken");
    }

    #[test]
    fn waiting_events_are_taken_in_order() {
        let queue = EventQueue::default();
        assert!(queue.is_empty());
        for number in 0..3 {
            queue.push_or_close(event(number));
        }
        assert!(!queue.is_empty());
        let taken: Vec<_> = queue.take_all().iter().filter_map(number).collect();
        assert_eq!(taken, [0, 1, 2]);
        assert!(queue.is_empty());
    }
}
