//! A WebSocket client of `graphql-transport-ws` that sends and checks each
//! message.

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

use super::wait_for;

pub const OURS: (&str, &str) = ("Sec-WebSocket-Protocol", "graphql-transport-ws");

pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// The response to the handshake.
    pub head: String,
}

impl Socket {
    /// Connects as a user, and waits for the acknowledgement.
    pub async fn connect(url: &str, token: &str) -> Self {
        let mut socket = Self::open(url).await;
        socket.init(token).await;
        assert_eq!(socket.message().await, json!({ "type": "connection_ack" }));
        socket
    }

    /// Connects as a user over a connection that is open.
    pub async fn connect_over(stream: TcpStream, token: &str) -> Self {
        let mut socket = Self::open_over(stream, &[OURS]).await.expect("a socket");
        socket.init(token).await;
        assert_eq!(socket.message().await, json!({ "type": "connection_ack" }));
        socket
    }

    /// Connects as a user; fails if the server is not available.
    pub async fn try_connect(url: &str, token: &str) -> Result<Self, String> {
        let mut socket = Self::open_with(url, &[OURS]).await?;
        socket.init(token).await;
        match socket.frame().await {
            Some(Message::Text(_)) => Ok(socket),
            other => Err(format!("{other:?}")),
        }
    }

    /// Returns the next message before a time, or `None` at the end of the
    /// connection or if the test stops.
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

    /// Connects without sending `connection_init`.
    pub async fn open(url: &str) -> Self {
        Self::open_with(url, &[OURS]).await.expect("a socket")
    }

    /// Connects with these headers. Returns the response if the handshake is
    /// rejected.
    pub async fn open_with(url: &str, headers: &[(&str, &str)]) -> Result<Self, String> {
        let address = url.strip_prefix("http://").expect("an address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self::open_over(stream, headers).await
    }

    async fn open_over(mut stream: TcpStream, headers: &[(&str, &str)]) -> Result<Self, String> {
        let address = stream.peer_addr().expect("an address");
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
        self.send_json(json!({ "type": "connection_init", "payload": payload }))
            .await;
    }

    pub async fn subscribe(&mut self, id: &str, document: &str, variables: Value) {
        let payload = json!({ "query": document, "variables": variables });
        self.send_json(json!({ "type": "subscribe", "id": id, "payload": payload }))
            .await;
    }

    pub async fn complete(&mut self, id: &str) {
        self.send_json(json!({ "type": "complete", "id": id }))
            .await;
    }

    pub async fn send_json(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    /// Sends any frame, if the server still accepts it.
    pub async fn send(&mut self, message: Message) {
        let _ = self.try_send(message).await;
    }

    pub async fn try_send(&mut self, message: Message) -> Result<(), Error> {
        wait_for("the frame is written", self.stream.send(message)).await
    }

    /// Returns the next message of the protocol.
    pub async fn message(&mut self) -> Value {
        match self.next_frame().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("no message: {other:?}"),
        }
    }

    /// Returns code and reason of the close frame, which must come next.
    pub async fn closed(&mut self) -> (u16, String) {
        match self.next_frame().await {
            Some(Message::Close(Some(frame))) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("not closed: {other:?}"),
        }
    }

    /// Returns the next frame other than pings.
    async fn next_frame(&mut self) -> Option<Message> {
        let next_frame = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    next_frame => return next_frame.and_then(Result::ok),
                }
            }
        };
        wait_for("a frame", next_frame).await
    }

    /// Returns the next frame, or `None` at the end of the connection.
    pub async fn frame(&mut self) -> Option<Message> {
        let next = wait_for("a frame", self.stream.next()).await;
        next.and_then(Result::ok)
    }

    /// Returns the next frame, without a timeout.
    pub async fn frame_at_last(&mut self) -> Option<Message> {
        self.stream.next().await.and_then(Result::ok)
    }

    /// Returns whether the next message is the response to a ping, so that no
    /// other message was sent and the socket is open.
    pub async fn is_quiet(&mut self) -> bool {
        let payload = json!({ "are you": "there" });
        self.send_json(json!({ "type": "ping", "payload": payload }))
            .await;
        self.message().await == json!({ "type": "pong", "payload": payload })
    }

    /// Returns the response to an operation that completes.
    pub async fn execute(&mut self, id: &str, document: &str, variables: Value) -> Value {
        self.subscribe(id, document, variables).await;
        let response = self.message().await;
        if response["type"] == "next" {
            let end = json!({ "type": "complete", "id": id });
            assert_eq!(self.message().await, end);
        }
        response
    }

    /// Returns the underlying connection, from which the test does not read.
    pub fn connection(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}

/// Reads the head of a response, and no further byte.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = wait_for("a response", stream.read_u8()).await;
        head.push(byte.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}
