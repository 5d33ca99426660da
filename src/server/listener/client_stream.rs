//! Read and write timeouts of a connection, and its lingering close.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::lock::lock;
use crate::server::state::Bounds;

/// How long the client may still send after the last response. A client that reads the response
/// stops sending sooner.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// Size in bytes of the buffer for discarded data. It is small because it is on the stack.
const DISCARD_BUFFER: usize = 8 * 1024;

/// The phase of a connection, shared by its service and its stream.
#[derive(Clone, Debug)]
pub(super) struct RequestPhase(Arc<Mutex<Phase>>);

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing of the next request has arrived.
    Idle,
    /// The head of a request must be complete by this time.
    ReadingHead(Instant),
    /// A request is in progress, or the connection is a WebSocket.
    InRequest,
}

impl RequestPhase {
    /// The phase of a new connection: the timeout for its first head begins.
    pub fn new(head_within: Duration) -> Self {
        let first_head = Phase::ReadingHead(Instant::now() + head_within);
        Self(Arc::new(Mutex::new(first_head)))
    }

    /// Records that the head of a request was received.
    pub fn begin_request(&self) {
        *lock(&self.0) = Phase::InRequest;
    }

    /// Records that the response to the request is ready.
    pub fn end_request(&self) {
        *lock(&self.0) = Phase::Idle;
    }
}

/// A stream with two timeouts:
///
/// - for receiving the head of a request: from the start of the connection for the first request,
///   and from the first byte for each later request;
/// - for writing a complete response: it also runs while the client reads parts of the response.
///
/// hyper has no timeout for responses, and its timeout for heads also runs while a connection is
/// idle. A connection may be idle for much longer than a head may take.
///
/// The shutdown of the stream discards the data that the client still sends, until the client closes
/// its side. The server can reject a request before the body has arrived, for example because of
/// its size. If a socket is closed while data is unread, the system resets the connection, and the
/// client may lose the response. nginx has the same feature as `lingering_close`.
pub(super) struct ClientStream<S> {
    stream: S,
    head_within: Duration,
    write_within: Duration,
    phase: RequestPhase,
    // The timers are boxed because a `Sleep` must be pinned, and most connections are idle and
    // have no timer.
    head_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    /// Runs from the moment at which the server's side is closed.
    linger_timer: Option<Pin<Box<Sleep>>>,
}

impl<S> ClientStream<S> {
    pub fn new(stream: S, bounds: &Bounds, phase: RequestPhase) -> Self {
        Self {
            stream,
            head_within: bounds.head_within,
            write_within: bounds.write_within,
            phase,
            head_timer: None,
            write_timer: None,
            linger_timer: None,
        }
    }

    /// Returns whether the timeout for the head of a request has passed. `received` states whether
    /// data has just arrived.
    fn head_timed_out(&mut self, received: bool, context: &mut Context<'_>) -> bool {
        let mut phase = lock(&self.phase.0);
        match *phase {
            Phase::Idle if received => {
                *phase = Phase::ReadingHead(Instant::now() + self.head_within);
                false
            }
            Phase::ReadingHead(deadline) if !received => {
                // A timer with another deadline belongs to an earlier request.
                let is_current = |timer: &mut Pin<Box<Sleep>>| timer.deadline() == deadline;
                let timer = self.head_timer.take_if(is_current);
                let timer = timer.unwrap_or_else(|| Box::pin(sleep_until(deadline)));
                self.head_timer
                    .insert(timer)
                    .as_mut()
                    .poll(context)
                    .is_ready()
            }
            Phase::ReadingHead(_) => false,
            Phase::Idle | Phase::InRequest => {
                self.head_timer = None;
                false
            }
        }
    }

    /// Fails a pending write after the timeout. The timeout runs from the first time that a write
    /// is pending until everything is written.
    fn check_write<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_pending() {
            let new_timer = || Box::pin(sleep(self.write_within));
            let timer = self.write_timer.get_or_insert_with(new_timer);
            if timer.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let received = buffer.filled().len() > before;
        if this.head_timed_out(received, context) && read.is_pending() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.check_write(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
        this.check_write(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper flushes when it has nothing left to write.
        this.write_timer = None;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger_timer.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        let timer = this
            .linger_timer
            .get_or_insert_with(|| Box::pin(sleep(LINGER_TIMEOUT)));
        let mut discarded = [0; DISCARD_BUFFER];
        while timer.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut discarded);
            let read = Pin::new(&mut this.stream).poll_read(context, &mut buffer);
            if ready!(read).is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
