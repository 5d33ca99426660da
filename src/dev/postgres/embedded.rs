//! PostgreSQL 17 in WebAssembly, inside this process.
//!
//! It serves one connection at a time and lets all others wait until that is
//! closed. So a relay stands before it, which takes the turn from a connection
//! that is idle when another waits. Pools notice and connect again.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use pglite_oxide::PgliteServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::time::{Instant, interval};

use super::USER;
use crate::dev::{DevError, listen};

/// How long a connection is idle before it loses the turn to one that waits.
const IDLE: Duration = Duration::from_millis(30);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long it may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// A running PostgreSQL. It stops when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    relay: Option<Runtime>,
    server: Option<PgliteServer>,
    pub port: u16,
}

/// Starts it with its data in a folder; makes them if there are none.
pub(super) fn start(folder: &Path, port: u16) -> Result<Running, DevError> {
    let failed = |cause: String| DevError::Postgres(cause);
    let server = PgliteServer::builder()
        .path(folder)
        .username(USER)
        .database(USER)
        .start()
        .map_err(|error| failed(format!("{error:#}")))?;
    let behind = server
        .tcp_addr()
        .ok_or_else(|| failed("it listens nowhere".to_owned()))?;
    let listener = listen(port)?;
    let address = listener
        .local_addr()
        .and_then(|address| listener.set_nonblocking(true).map(|()| address))
        .map_err(DevError::io("a listener without an address"))?;
    let relay = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("postgres")
        .enable_all()
        .build()
        .map_err(DevError::io("no thread for PostgreSQL"))?;
    relay.spawn(async move {
        if let Err(cause) = relay_all(listener, behind).await {
            tracing::error!(%cause, "the embedded PostgreSQL takes no more connections");
        }
    });
    Ok(Running {
        relay: Some(relay),
        server: Some(server),
        port: address.port(),
    })
}

impl Drop for Running {
    fn drop(&mut self) {
        let (done, stopped) = mpsc::channel();
        let (relay, server) = (self.relay.take(), self.server.take());
        // On a thread: a runtime cannot be dropped by a task.
        std::thread::spawn(move || {
            // First all connections are closed: the server waits for that.
            drop(relay);
            drop(server);
            // Whoever waited may have given up.
            let _ = done.send(());
        });
        let _ = stopped.recv_timeout(STOP_WITHIN);
    }
}

/// Whose turn it is.
#[derive(Default)]
struct Turn {
    /// First come, first served.
    taken: Mutex<()>,
    waiting: AtomicUsize,
}

async fn relay_all(listener: std::net::TcpListener, server: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let turn = Arc::new(Turn::default());
    loop {
        let (client, _) = listener.accept().await?;
        let turn = Arc::clone(&turn);
        tokio::spawn(async move {
            // A connection that breaks is its client's to notice.
            let _ = relay(client, server, &turn).await;
        });
    }
}

/// Carries one connection, from its turn on.
async fn relay(mut client: TcpStream, server: SocketAddr, turn: &Turn) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let Some(startup) = read_startup(&mut client).await? else {
        return Ok(());
    };
    turn.waiting.fetch_add(1, Ordering::SeqCst);
    let taken = turn.taken.lock().await;
    turn.waiting.fetch_sub(1, Ordering::SeqCst);

    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    server.write_all(&startup).await?;
    let carried = carry(&mut client, &mut server, turn).await;
    // One that breaks off would end the server: it is closed in order, and
    // closed for good before the next has its turn.
    let _ = server.write_all(b"X\0\0\0\x04").await;
    let _ = server.shutdown().await;
    let _ = tokio::io::copy(&mut server, &mut tokio::io::sink()).await;
    drop(taken);
    carried
}

/// The start-up message (PostgreSQL's protocol, 55.7). Offers of encryption are
/// turned down; a request to cancel is none.
async fn read_startup(client: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    const CANCEL: u32 = 80_877_102;
    const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];
    loop {
        let (length, code) = (client.read_u32().await?, client.read_u32().await?);
        if ENCRYPTION.contains(&code) {
            client.write_all(b"N").await?;
            continue;
        }
        if code == CANCEL || !(8..=10_000).contains(&length) {
            return Ok(None);
        }
        let mut message = [length.to_be_bytes(), code.to_be_bytes()].concat();
        message.resize(length as usize, 0);
        client.read_exact(&mut message[8..]).await?;
        return Ok(Some(message));
    }
}

/// Carries bytes both ways, until either side closes, or another connection
/// waits while this one is idle.
async fn carry(client: &mut TcpStream, server: &mut TcpStream, turn: &Turn) -> std::io::Result<()> {
    let (mut requests, mut answers) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut messages = Messages::default();
    let mut idle_since: Option<Instant> = None;
    let mut look = interval(LOOK_EVERY);
    loop {
        tokio::select! {
            read = client.read(&mut requests) => match read? {
                0 => return Ok(()),
                length => {
                    idle_since = None;
                    server.write_all(&requests[..length]).await?;
                }
            },
            read = server.read(&mut answers) => match read? {
                0 => return Ok(()),
                length => {
                    client.write_all(&answers[..length]).await?;
                    idle_since = messages.end_idle(&answers[..length]).then(Instant::now);
                }
            },
            _ = look.tick() => {
                let idle = idle_since.is_some_and(|since| since.elapsed() >= IDLE);
                if idle && turn.waiting.load(Ordering::SeqCst) > 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// The server's messages, of which only borders and kinds matter: a byte of
/// type, a length, a content.
#[derive(Default)]
struct Messages {
    /// Type and length of the one that is being read.
    head: Vec<u8>,
    /// How much of its content is still to come, once the head is there.
    left: usize,
}

impl Messages {
    /// Takes bytes. Whether they end with "ready for a query, outside of any
    /// transaction".
    fn end_idle(&mut self, mut bytes: &[u8]) -> bool {
        let mut idle = false;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                idle = self.left == 1 && self.head == *b"Z\0\0\0\x05" && byte == b'I';
                self.left -= skipped;
                bytes = &bytes[skipped..];
            } else {
                if self.head.len() == 5 {
                    self.head.clear();
                }
                self.head.push(byte);
                idle = false;
                bytes = rest;
                if let [_, length @ ..] = self.head.as_slice()
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    self.left = (u32::from_be_bytes(length) as usize).saturating_sub(4);
                }
            }
        }
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::Messages;

    #[test]
    fn only_ready_outside_a_transaction_is_idle() {
        let row = b"D\0\0\0\x08Z\0\0\x05";
        let (ready, in_transaction) = (b"Z\0\0\0\x05I", b"Z\0\0\0\x05T");
        for (bytes, idle) in [
            (&[&row[..], ready].concat(), true),
            (&[&row[..], in_transaction].concat(), false),
            (&[&ready[..], row].concat(), false),
        ] {
            assert_eq!(Messages::default().end_idle(bytes), idle, "{bytes:?}");
            let mut byte_by_byte = Messages::default();
            let last = bytes
                .iter()
                .map(|byte| byte_by_byte.end_idle(&[*byte]))
                .last();
            assert_eq!(last, Some(idle), "{bytes:?}");
        }
    }
}
