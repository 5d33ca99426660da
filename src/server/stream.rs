//! Read and write timeouts of a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::Bounds;

/// How many times a request of a connection began or ended: odd while a request is in progress, and
/// permanently odd once the connection is a WebSocket.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<AtomicUsize>);

impl Turns {
    /// Counts that the head of a request was received, or that its response is ready.
    pub fn next(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream with timeouts: for the client to send the head of a request, measured from the start of
/// the connection for the first request and from the first byte of each later one; and for the
/// client to read a complete response, even if it reads parts of it in between.
///
/// hyper has no timeout for responses, and its timeout for heads also runs while a connection is
/// idle, which must be allowed for much longer.
pub(super) struct Hurried<S> {
    stream: S,
    head_within: Duration,
    write_within: Duration,
    turns: Turns,
    turn: usize,
    head_ends: Option<Pin<Box<Sleep>>>,
    write_ends: Option<Pin<Box<Sleep>>>,
}

impl<S> Hurried<S> {
    pub fn new(stream: S, bounds: &Bounds, turns: Turns) -> Self {
        Self {
            stream,
            head_within: bounds.head_within,
            write_within: bounds.write_within,
            turn: turns.count(),
            turns,
            head_ends: Some(Box::pin(sleep(bounds.head_within))),
            write_ends: None,
        }
    }

    /// Fails a pending write after the timeout. The timeout runs from the first time that a write
    /// is pending until everything is written.
    fn in_time<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_pending() {
            let within = self.write_within;
            let ends = self
                .write_ends
                .get_or_insert_with(|| Box::pin(sleep(within)));
            if ends.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Hurried<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let turn = this.turns.count();
        if turn != this.turn {
            this.turn = turn;
            this.head_ends = None;
        }
        let is_worked_on = turn % 2 == 1;
        if !is_worked_on && buffer.filled().len() > before {
            let within = this.head_within;
            this.head_ends
                .get_or_insert_with(|| Box::pin(sleep(within)));
        }
        if read.is_pending()
            && let Some(ends) = &mut this.head_ends
            && ends.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Hurried<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.in_time(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
        this.in_time(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper flushes when it has nothing left to write.
        this.write_ends = None;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
