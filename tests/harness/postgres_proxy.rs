//! A proxy between a server and PostgreSQL. It counts executed statements, and
//! can interrupt all connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct PostgresProxy {
    pub url: String,
    statements: AtomicUsize,
    cut: watch::Sender<bool>,
}

impl PostgresProxy {
    pub async fn start(target: &str) -> Arc<Self> {
        let mut url = reqwest::Url::parse(target).expect("an address");
        let host = format!(
            "{}:{}",
            url.host_str().expect("a host"),
            url.port().unwrap_or(5432)
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(port)).expect("a port");
        url.set_query(Some("sslmode=disable"));
        let proxy = Arc::new(Self {
            url: url.into(),
            statements: AtomicUsize::new(0),
            cut: watch::Sender::new(false),
        });
        let accepting = Arc::clone(&proxy);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(Arc::clone(&accepting), client, host.clone()));
            }
        });
        proxy
    }

    /// Returns the number of statements executed since the last call of this
    /// function.
    pub fn statements(&self) -> usize {
        self.statements.swap(0, Ordering::SeqCst)
    }

    /// Interrupts all connections, including new ones, until `cut(false)`.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

async fn carry(proxy: Arc<PostgresProxy>, client: TcpStream, host: String) {
    let mut cut = proxy.cut.subscribe();
    if *cut.borrow() {
        return;
    }
    let Ok(server) = TcpStream::connect(host).await else {
        return;
    };
    // Small messages are sent without delay.
    if client
        .set_nodelay(true)
        .and(server.set_nodelay(true))
        .is_err()
    {
        return;
    }
    let (client_read, mut client_write) = client.into_split();
    let (mut server_read, server_write) = server.into_split();
    tokio::select! {
        _ = requests(&proxy, client_read, server_write) => {}
        _ = tokio::io::copy(&mut server_read, &mut client_write) => {}
        _ = cut.wait_for(|cut| *cut) => {}
    }
}

/// Forwards the client's messages (PostgreSQL protocol, 55.7): a start-up
/// message without a type, then messages with a type byte and a length.
async fn requests(
    proxy: &PostgresProxy,
    client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
) -> std::io::Result<()> {
    let mut started = false;
    let mut client = BufReader::new(client);
    loop {
        let mut message = Vec::new();
        if started {
            message.push(client.read_u8().await?);
        }
        let length = client.read_u32().await?;
        message.extend(length.to_be_bytes());
        let head = message.len();
        message.resize(head + length as usize - 4, 0);
        client.read_exact(&mut message[head..]).await?;
        if started && message[0] == b'E' {
            proxy.statements.fetch_add(1, Ordering::SeqCst);
        }
        started = true;
        server.write_all(&message).await?;
    }
}
