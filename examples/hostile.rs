//! What hostile documents cost a server: time of each, and how far the server's
//! memory rises (Linux): `cargo run --release --example hostile`.
//!
//! Build the program first: `cargo build --release`.

#[path = "../tests/api/hostile.rs"]
mod hostile;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server whose bodies may be large, over the stores of a `cruddur dev`.
fn serve(program: &Path, places: &Value, address: &str) -> Result<Running, Failure> {
    let place = |name: &str| places[name].as_str().unwrap_or_default().to_owned();
    let child = Command::new(program)
        .args(["serve", "--max-body-bytes", "8000000", "--listen", address])
        .env("AWS_ENDPOINT_URL_DYNAMODB", place("dynamodb"))
        .env("DATABASE_URL", place("database_url"))
        .env("COGNITO_ISSUER", place("issuer"))
        .env("AWS_COGNITO_USER_POOL_CLIENT_ID", place("client_id"))
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Running(child))
}

/// A line of a process' status, in kilobytes.
fn memory(server: &Running, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.0.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
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
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    drop(listener);
    let server = serve(&program, &places, &address)?;
    let token = places["tokens"]["luu"].as_str().unwrap_or_default();
    let http = reqwest::Client::new();
    let ask = async |document: &str| {
        let request = http
            .post(format!("http://{address}/graphql"))
            .bearer_auth(token)
            .json(&json!({ "query": document }));
        request.send().await?.json::<Value>().await
    };
    while ask("{ viewer { handle } }").await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let mut documents = vec![(
        "an ordinary query",
        "{ messageGroups { edges { node { lastMessage { body } } } } }".to_owned(),
    )];
    documents.extend(hostile::hostile());
    for (name, document) in documents {
        // Five: the peak is that of this document from now on.
        std::fs::write(format!("/proc/{}/clear_refs", server.0.id()), "5")?;
        let before = memory(&server, "VmRSS").unwrap_or(0);
        let began = Instant::now();
        let answer = ask(&document).await?;
        let took = began.elapsed();
        let peak = memory(&server, "VmHWM").unwrap_or(0);
        println!(
            "{name:<26} {:>9} bytes  {took:>10.2?}  +{:>6} kB  {}",
            document.len(),
            peak.saturating_sub(before),
            answer["errors"][0]["extensions"]["code"]
                .as_str()
                .unwrap_or("answered")
        );
    }
    Ok(())
}
