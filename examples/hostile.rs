//! Measures the cost of hostile documents and bodies: their duration, and the
//! increase of the server's memory (Linux): `cargo run --release --example
//! hostile`. Each is sent to three servers: one with the default limits, one
//! without limits of bytes, and one without limits of bytes and tokens.
//!
//! Build the program first: `cargo build --release`.

#[path = "../tests/api/hostile.rs"]
mod hostile;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error>;

/// A process that ends when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may already have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The settings of the servers.
const SETTINGS: [(&str, &[&str]); 3] = [
    ("the usual limits", &[]),
    (
        "any bytes",
        &[
            "--max-body-bytes",
            "8000000",
            "--max-document-bytes",
            "8000000",
        ],
    ),
    (
        "any bytes and tokens",
        &[
            "--max-body-bytes",
            "8000000",
            "--max-document-bytes",
            "8000000",
            "--max-tokens",
            "8000000",
        ],
    ),
];

/// Starts a server with the stores of a `cruddur dev`.
fn serve(
    program: &Path,
    places: &Value,
    address: &str,
    settings: &[&str],
) -> Result<Running, Failure> {
    let place = |name: &str| places[name].as_str().unwrap_or_default().to_owned();
    let child = Command::new(program)
        .args(["serve", "--listen", address])
        .args(settings)
        .env("AWS_ENDPOINT_URL_DYNAMODB", place("dynamodb"))
        .env("DATABASE_URL", place("database_url"))
        .env("COGNITO_ISSUER", place("issuer"))
        .env("AWS_COGNITO_USER_POOL_CLIENT_ID", place("client_id"))
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Running(child))
}

/// Returns a line of a process's status, in kilobytes.
fn memory(server: &Running, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.0.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A request to a server.
enum HostileRequest {
    /// A document, sent as JSON.
    Document(String),
    /// A raw head, and a body that may be empty.
    Raw(String, Vec<u8>),
}

/// Bodies with a wrong length, without an end, or of excessive size.
fn bodies() -> Vec<(&'static str, HostileRequest)> {
    let spaces = vec![b' '; 20_000_000];
    let mut chunks = Vec::new();
    while chunks.len() < 20_000_000 {
        chunks.extend(b"1000\r\n");
        chunks.extend([b' '; 0x1000]);
        chunks.extend(b"\r\n");
    }
    let of_length = |length: usize| format!("Content-Length: {length}");
    vec![
        (
            "a body of 20 MB",
            HostileRequest::Raw(of_length(20_000_000), spaces),
        ),
        (
            "20 MB said, nothing sent",
            HostileRequest::Raw(of_length(20_000_000), Vec::new()),
        ),
        (
            "1 kB said, a byte sent",
            HostileRequest::Raw(of_length(1000), b"{".to_vec()),
        ),
        (
            "chunks without an end",
            HostileRequest::Raw("Transfer-Encoding: chunked".to_owned(), chunks),
        ),
    ]
}

/// Returns the code or the status of a response.
async fn execute(
    http: &reqwest::Client,
    address: &str,
    token: &str,
    sent: &HostileRequest,
) -> Result<String, Failure> {
    match sent {
        HostileRequest::Document(document) => {
            let request = http
                .post(format!("http://{address}/graphql"))
                .bearer_auth(token)
                .json(&json!({ "query": document }));
            let response: Value = request.send().await?.json().await?;
            let code = response["errors"][0]["extensions"]["code"].as_str();
            Ok(code.unwrap_or("answered").to_owned())
        }
        HostileRequest::Raw(length, body) => {
            let head = format!(
                "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\n{length}\r\n\r\n"
            );
            let (mut read, mut write) = TcpStream::connect(address).await?.into_split();
            let body = [head.as_bytes(), body].concat();
            // The server may reject the request before it is complete.
            let sending = tokio::spawn(async move {
                let _ = write.write_all(&body).await;
                write
            });
            let mut response = [0; 12];
            read.read_exact(&mut response).await?;
            sending.abort();
            Ok(String::from_utf8_lossy(&response[9..]).into_owned())
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let this = std::env::current_exe()?;
    let folder = this.parent().and_then(Path::parent).ok_or("no folder")?;
    let program = folder.join("cruddur");
    let ports = ["--dynamodb-port", "--postgres-port", "--issuer-port"];
    let dev = Command::new(&program)
        .args(["dev", "--json", "--listen", "127.0.0.1:0"])
        .args(ports.iter().flat_map(|port| [*port, "0"]))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut dev = Running(dev);
    let mut line = String::new();
    let out = dev.0.stdout.take().ok_or("no output")?;
    BufReader::new(out).read_line(&mut line)?;
    let places: Value = serde_json::from_str(&line)?;
    let token = places["tokens"]["luu"].as_str().unwrap_or_default();
    let ordinary = HostileRequest::Document(
        "{ messageGroups { edges { node { lastMessage { body } } } } }".to_owned(),
    );
    let mut all = vec![("an ordinary query", ordinary)];
    let documents = hostile::hostile().into_iter();
    all.extend(documents.map(|(name, document)| (name, HostileRequest::Document(document))));
    all.extend(bodies());

    let http = reqwest::Client::new();
    for (name, settings) in SETTINGS {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        drop(listener);
        let server = serve(&program, &places, &address, settings)?;
        while execute(&http, &address, token, &all[0].1).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("\n{name}");
        for (name, sent) in &all {
            // Writing 5 resets the peak of the memory.
            std::fs::write(format!("/proc/{}/clear_refs", server.0.id()), "5")?;
            let before = memory(&server, "VmRSS").unwrap_or(0);
            let began = Instant::now();
            let response = execute(&http, &address, token, sent).await?;
            let took = began.elapsed();
            let peak = memory(&server, "VmHWM").unwrap_or(0);
            let length = match sent {
                HostileRequest::Document(document) => document.len(),
                HostileRequest::Raw(_, body) => body.len(),
            };
            println!(
                "{name:<26} {length:>9} bytes  {took:>10.2?}  +{:>6} kB  {response}",
                peak.saturating_sub(before),
            );
        }
    }
    Ok(())
}
