//! The other end of a WebSocket: `graphql-transport-ws`, word for word.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Longer than anything that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
pub const OURS: (&str, &str) = ("Sec-WebSocket-Protocol", "graphql-transport-ws");

pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// The handshake's answer.
    pub head: String,
}

impl Socket {
    /// Connects as a user, who is let in.
    pub async fn connect(url: &str, token: &str) -> Self {
        let mut socket = Self::open(url).await;
        socket.init(token).await;
        assert_eq!(socket.message().await, json!({ "type": "connection_ack" }));
        socket
    }

    /// The same, while servers come and go.
    pub async fn try_connect(url: &str, token: &str) -> Result<Self, String> {
        let mut socket = Self::open_with(url, &[OURS]).await?;
        socket.init(token).await;
        match socket.frame().await {
            Some(Message::Text(_)) => Ok(socket),
            other => Err(format!("{other:?}")),
        }
    }

    /// The next message that comes before a time, unless the connection ends or
    /// it is time to stop.
    pub async fn message_until(&mut self, cut: Instant, stop: &AtomicBool) -> Option<Value> {
        while Instant::now() < cut && !stop.load(Ordering::Relaxed) {
            match timeout(Duration::from_millis(100), self.stream.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => return serde_json::from_str(&text).ok(),
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) | Err(_) => {}
                Ok(_) => return None,
            }
        }
        None
    }

    /// Connects, and says nothing yet.
    pub async fn open(url: &str) -> Self {
        Self::open_with(url, &[OURS]).await.expect("a socket")
    }

    /// Connects with these headers; or the answer that there is no socket.
    pub async fn open_with(url: &str, headers: &[(&str, &str)]) -> Result<Self, String> {
        let address = url.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let headers = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers: String = headers.collect();
        let request = format!(
            "GET /graphql HTTP/1.1\r\nHost: {address}\r\nConnection: keep-alive, Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let head = head(&mut stream).await;
        if !head.starts_with("HTTP/1.1 101 ") {
            return Err(head);
        }
        let stream = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        Ok(Self { stream, head })
    }

    pub async fn init(&mut self, token: &str) {
        let payload = json!({ "Authorization": format!("Bearer {token}") });
        self.say(json!({ "type": "connection_init", "payload": payload }))
            .await;
    }

    pub async fn subscribe(&mut self, id: &str, document: &str, variables: Value) {
        let payload = json!({ "query": document, "variables": variables });
        self.say(json!({ "type": "subscribe", "id": id, "payload": payload }))
            .await;
    }

    pub async fn complete(&mut self, id: &str) {
        self.say(json!({ "type": "complete", "id": id })).await;
    }

    pub async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    /// Sends anything, if the server still takes it.
    pub async fn send(&mut self, message: Message) {
        let _ = self.try_send(message).await;
    }

    pub async fn try_send(&mut self, message: Message) -> Result<(), Error> {
        let sent = timeout(PATIENCE, self.stream.send(message)).await;
        sent.expect("it is taken in time")
    }

    /// The next message of the protocol.
    pub async fn message(&mut self) -> Value {
        match self.said().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("no message: {other:?}"),
        }
    }

    /// Code and reason of the close frame, which comes next.
    pub async fn closed(&mut self) -> (u16, String) {
        match self.said().await {
            Some(Message::Close(Some(frame))) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("not closed: {other:?}"),
        }
    }

    /// The next frame that is no ping, however many of them come.
    async fn said(&mut self) -> Option<Message> {
        let said = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    said => return said.and_then(Result::ok),
                }
            }
        };
        timeout(PATIENCE, said).await.expect("something in time")
    }

    /// The next frame, unless the connection is gone.
    pub async fn frame(&mut self) -> Option<Message> {
        let next = timeout(PATIENCE, self.stream.next()).await;
        next.expect("something in time").and_then(Result::ok)
    }

    /// The next frame, whenever that comes.
    pub async fn frame_at_last(&mut self) -> Option<Message> {
        self.stream.next().await.and_then(Result::ok)
    }

    /// Whether what is said next is the answer to a ping: that nothing else was
    /// said, and that the socket lives.
    pub async fn is_quiet(&mut self) -> bool {
        let payload = json!({ "are you": "there" });
        self.say(json!({ "type": "ping", "payload": payload }))
            .await;
        self.message().await == json!({ "type": "pong", "payload": payload })
    }

    /// What an operation answers, to its end.
    pub async fn ask(&mut self, id: &str, document: &str, variables: Value) -> Value {
        self.subscribe(id, document, variables).await;
        let answer = self.message().await;
        if answer["type"] == "next" {
            let end = json!({ "type": "complete", "id": id });
            assert_eq!(self.message().await, end);
        }
        answer
    }

    /// The connection below, to be read from by nobody.
    pub fn connection(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}

/// The head of an answer, and no byte more.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8()).await;
        head.push(byte.expect("an answer").expect("a head"));
    }
    String::from_utf8(head).expect("text")
}
