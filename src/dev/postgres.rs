//! A private PostgreSQL cluster out of an installed PostgreSQL.

use std::cmp::Reverse;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{Uid, User, geteuid};

use super::{DataDir, DevError, listen};

/// User and password that the clusters have: those of the default
/// `DATABASE_URL`.
const USER: &str = "postgres";
const PASSWORD: &str = "password";
/// How long PostgreSQL may take to start.
const START_WITHIN: Duration = Duration::from_secs(30);
/// For how long a server that is still stopping is waited for: after a kill
/// its guard takes a moment to stop it.
const WAIT_FOR_OLD: Duration = Duration::from_secs(8);

/// Runs PostgreSQL, and stops it when our end of the pipe closes: also when we
/// are killed. Removes the directory in `$1`, if there is one, at the end.
const GUARD: &str = r#"
remove=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
( cat <&3 >/dev/null; kill -INT "$server" ) 2>/dev/null &
wait "$server"
status=$?
[ -z "$remove" ] || rm -rf -- "$remove" 2>/dev/null
exit "$status"
"#;

/// A running PostgreSQL. It stops when this is dropped, or when the process
/// ends in whatever way.
#[derive(Debug)]
pub struct Postgres {
    guard: Child,
    port: u16,
}

/// As whom PostgreSQL runs, since it refuses to run as root.
struct Unprivileged {
    name: String,
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Starts a cluster in a data directory; makes it if there is none.
    pub fn start(data: &DataDir, port: u16) -> Result<Self, DevError> {
        let programs = find_programs().ok_or(DevError::NoPostgres)?;
        let run_as = unprivileged()?;
        let cluster = data.path().join("postgres");
        if let Some(user) = &run_as {
            give(data, user)?;
        }
        if !cluster.join("PG_VERSION").exists() {
            init(&programs, &cluster, run_as.as_ref())?;
        }
        let began = Instant::now();
        loop {
            match start_once(&programs, data, &cluster, run_as.as_ref(), port) {
                Err(DevError::Postgres(cause))
                    if cause.contains("postmaster.pid") && began.elapsed() < WAIT_FOR_OLD =>
                {
                    std::thread::sleep(Duration::from_millis(100));
                }
                started => return started,
            }
        }
    }

    /// Address of a database in it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // Should the guard be gone, there is nothing left to wait for.
        let _ = self.guard.wait();
    }
}

/// One attempt: PostgreSQL runs and listens, or has said why not.
fn start_once(
    programs: &Path,
    data: &DataDir,
    cluster: &Path,
    run_as: Option<&Unprivileged>,
    port: u16,
) -> Result<Postgres, DevError> {
    let port = listen(port)?
        .local_addr()
        .map_err(DevError::io("a listener without an address"))?
        .port();
    let log_path = data.path().join("postgres.log");
    let log = fs::File::create(&log_path).map_err(DevError::io(format!(
        "{} cannot be written",
        log_path.display()
    )))?;
    let remove = if data.is_temporary() {
        data.path()
    } else {
        Path::new("")
    };
    let mut guard = Command::new("sh");
    guard.args(["-c", GUARD, "guard"]).arg(remove);
    guard
        .arg(programs.join("postgres"))
        .arg("-D")
        .arg(cluster)
        .args(["-p", &port.to_string()]);
    guard.args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
        "-c",
        "max_connections=200",
    ]);
    if data.is_temporary() {
        guard.args([
            "-c",
            "fsync=off",
            "-c",
            "synchronous_commit=off",
            "-c",
            "full_page_writes=off",
        ]);
    }
    become_user(&mut guard, run_as);
    // A group of its own: Ctrl-C is for us, and we stop it in our order.
    guard
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log);
    let guard = guard.spawn().map_err(DevError::io("`sh` cannot be run"))?;
    let mut postgres = Postgres { guard, port };
    let said = || fs::read_to_string(&log_path).unwrap_or_default();
    let began = Instant::now();
    while !said().contains("database system is ready to accept connections") {
        let ended = postgres
            .guard
            .try_wait()
            .map_err(DevError::io("PostgreSQL cannot be waited for"))?;
        if ended.is_some() || began.elapsed() > START_WITHIN {
            return Err(DevError::Postgres(last_lines(&said())));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(postgres)
}

/// Makes a cluster. A half-made one, of a run that was killed, is made anew.
fn init(programs: &Path, cluster: &Path, run_as: Option<&Unprivileged>) -> Result<(), DevError> {
    if cluster.exists() {
        fs::remove_dir_all(cluster).map_err(DevError::io(format!(
            "{} cannot be removed",
            cluster.display()
        )))?;
    }
    let password_file = cluster.with_extension("password");
    fs::write(&password_file, PASSWORD).map_err(DevError::io(format!(
        "{} cannot be written",
        password_file.display()
    )))?;
    let mut initdb = Command::new(programs.join("initdb"));
    initdb
        .arg("-D")
        .arg(cluster)
        .arg("--pwfile")
        .arg(&password_file);
    initdb.args([
        "-U",
        USER,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    become_user(&mut initdb, run_as);
    let mut initdb = initdb
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(DevError::io("`initdb` cannot be run"))?;
    let mut said = String::new();
    if let Some(stderr) = &mut initdb.stderr {
        // What it says is only for the message below.
        let _ = stderr.read_to_string(&mut said);
    }
    let status = initdb
        .wait()
        .map_err(DevError::io("`initdb` cannot be waited for"))?;
    // Nobody needs it any more.
    let _ = fs::remove_file(&password_file);
    if status.success() {
        Ok(())
    } else {
        Err(DevError::Postgres(last_lines(&said)))
    }
}

fn become_user(command: &mut Command, run_as: Option<&Unprivileged>) {
    if let Some(user) = run_as {
        command.uid(user.uid).gid(user.gid);
    }
    // Not somewhere that the user cannot read.
    command
        .current_dir("/")
        .env_remove("PGDATA")
        .env_remove("PGPORT")
        .env("LC_ALL", "C");
}

/// As whom to run PostgreSQL when we are root: `postgres`, or else `nobody`.
fn unprivileged() -> Result<Option<Unprivileged>, DevError> {
    if geteuid() != Uid::from_raw(0) {
        return Ok(None);
    }
    let find = |name| User::from_name(name).ok().flatten();
    let user = find("postgres").or_else(|| find("nobody"));
    let user = user.ok_or_else(|| {
        DevError::Postgres(
            "it refuses to run as root, and there is neither a user postgres nor nobody".to_owned(),
        )
    })?;
    Ok(Some(Unprivileged {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
    }))
}

/// Gives the data directory to the unprivileged user, if they can get there.
fn give(data: &DataDir, user: &Unprivileged) -> Result<(), DevError> {
    let path = data.path();
    let failed = || format!("{} cannot be given to {}", path.display(), user.name);
    chown(path, Some(user.uid), Some(user.gid)).map_err(DevError::io(failed()))?;
    for above in path.ancestors().skip(1) {
        let metadata = fs::metadata(above).map_err(DevError::io(failed()))?;
        let open = metadata.permissions().mode() & 0o001 != 0 || metadata.uid() == user.uid;
        if !open {
            return Err(DevError::Unreachable {
                user: user.name.clone(),
                path: above.to_owned(),
            });
        }
    }
    Ok(())
}

/// The folder with PostgreSQL's programs: the first on PATH, or else the
/// newest in the places where systems put them.
fn find_programs() -> Option<PathBuf> {
    let has_both =
        |folder: &PathBuf| folder.join("postgres").is_file() && folder.join("initdb").is_file();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(has_both);
    on_path.or_else(|| {
        PLACES
            .iter()
            .flat_map(|(folder, end)| versions(folder, end))
            .find(has_both)
    })
}

/// Folders with one folder a version, and where the programs are in those.
const PLACES: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", "bin"),
    ("/usr", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
];

/// The folders below one of the [`PLACES`] that look like PostgreSQL's, newest
/// version first.
fn versions(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name
                .strip_prefix("postgresql@")
                .or_else(|| name.strip_prefix("pgsql-"))
                .unwrap_or(&name);
            let version = if version == "postgresql" || version == "latest" {
                u32::MAX
            } else {
                version.split('.').next()?.parse().ok()?
            };
            Some((version, entry.path().join(end)))
        })
        .collect();
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(4)..].join(" | ")
}
