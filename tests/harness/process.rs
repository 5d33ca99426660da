//! Runs the program as a process.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;

use tokio::process::{Child, Command};

use super::Cruddur;

pub fn cruddur(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command.env_clear();
    for kept in ["PATH", "HOME", "TMPDIR", "USER", "XDG_CACHE_HOME"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    command
}

/// Returns the program that was built with the tests, or for an example, the
/// one in the same folder.
fn program() -> PathBuf {
    if let Some(program) = option_env!("CARGO_BIN_EXE_cruddur") {
        return program.into();
    }
    let example = std::env::current_exe().expect("a program");
    let folder = example.ancestors().nth(2).expect("a target folder");
    folder.join("cruddur")
}

pub async fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid])
        .status()
        .await;
    assert!(sent.expect("kill runs").success());
}

/// Sets the environment variables with which a command finds a test's stores.
pub fn with_stores(command: &mut Command, cruddur: &Cruddur) {
    command
        .env("AWS_ENDPOINT_URL_DYNAMODB", &cruddur.dynamo.url)
        .env("DATABASE_URL", &cruddur.database.url)
        .env(
            "CRUDDUR_DATABASE_CONNECTIONS",
            super::DATABASE_CONNECTIONS.to_string(),
        )
        .env("COGNITO_ISSUER", cruddur.issuer.url())
        .env("AWS_COGNITO_USER_POOL_CLIENT_ID", cruddur::dev::CLIENT_ID)
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("CRUDDUR_DRAIN_SECONDS", "0");
}

/// Locks of the ports that this process has chosen.
static PORTS: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Returns a port that no other test gets while this process lives, even while
/// the server on it is stopped. It is below the ports that the system assigns
/// to clients.
pub fn free_port() -> u16 {
    let folder = std::env::temp_dir().join("cruddur-test-ports");
    std::fs::create_dir_all(&folder).expect("a folder for the locks of ports");
    let lock = |port: u16| {
        let file = File::create(folder.join(port.to_string())).ok()?;
        file.try_lock().ok()?;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| file)
    };
    let mut chosen = (15_000..30_000).filter_map(|port| Some((port, lock(port)?)));
    let (port, file) = chosen.next().expect("a port");
    PORTS.lock().expect("no panic").push(file);
    port
}
