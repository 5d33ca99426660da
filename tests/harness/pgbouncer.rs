//! A real `PgBouncer`.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::unistd::{Uid, User, geteuid};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::wait_until;

pub struct PgBouncer {
    /// URL of the database through `PgBouncer`.
    pub url: String,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// Starts `PgBouncer` in transaction mode with two connections to a database.
    /// Returns `None` if it is not installed, unless
    /// `CRUDDUR_TEST_PGBOUNCER=required`.
    pub async fn start(database_url: &str) -> Option<Self> {
        Self::start_in(database_url, "transaction", 2).await
    }

    /// Starts `PgBouncer` in another mode, or with another number of connections.
    pub async fn start_in(database_url: &str, mode: &str, pool_size: u32) -> Option<Self> {
        let Some(program) = find() else {
            let required =
                std::env::var("CRUDDUR_TEST_PGBOUNCER").is_ok_and(|say| say == "required");
            assert!(!required, "there is no pgbouncer");
            eprintln!("there is no pgbouncer: nothing is tested behind a pooler");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("cruddur-").tempdir();
        let folder = folder.expect("a directory");
        let mut url = reqwest::Url::parse(database_url).expect("an address");
        let port = super::free_port();
        write_settings(folder.path(), &url, port, mode, pool_size);
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(port)).expect("a port");
        let child = spawn(&program, folder.path());
        wait_until("pgbouncer accepts connections", async || {
            TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Some(Self {
            url: url.into(),
            _child: child,
            _folder: folder,
        })
    }
}

/// On Debian, `PgBouncer` is in a folder that is not on every user's PATH.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.is_file())
}

fn write_settings(folder: &Path, server: &reqwest::Url, port: u16, mode: &str, pool_size: u32) {
    let host = server.host_str().expect("a host");
    let server_port = server.port().unwrap_or(5432);
    let users = folder.join("users.txt");
    let settings = format!(
        "[databases]\n* = host={host} port={server_port}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n\
         default_pool_size = {pool_size}\nmax_client_conn = 100\n",
        users.display()
    );
    let user = format!(
        "\"{}\" \"{}\"\n",
        server.username(),
        server.password().unwrap_or_default()
    );
    std::fs::write(&users, user).expect("a file");
    std::fs::write(folder.join("pgbouncer.ini"), settings).expect("a file");
}

/// Runs `PgBouncer` as another user, because it refuses to run as root.
fn spawn(program: &Path, folder: &Path) -> Child {
    let mut command = Command::new(program);
    if geteuid() == Uid::from_raw(0) {
        let find = |name| User::from_name(name).ok().flatten();
        let user = find("postgres").or_else(|| find("nobody")).expect("a user");
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        let files = [
            folder,
            &folder.join("users.txt"),
            &folder.join("pgbouncer.ini"),
        ];
        if files
            .iter()
            .all(|file| chown(file, Some(uid), Some(gid)).is_ok())
        {
            command.uid(uid).gid(gid);
        } else {
            // In a user namespace, no other user may exist.
            command = Command::new("unshare");
            command.args(["--user", "--map-user=1000", "--map-group=1000", "--"]);
            command.arg(program);
        }
    }
    command
        .arg(folder.join("pgbouncer.ini"))
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it runs")
}
