//! A PostgreSQL cluster, run by installed programs.

use std::fs::{self, create_dir_all};
use std::io::{self, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::User;

use super::user::RunAs;
use crate::dev::listen::listen;
use crate::dev::{DataDir, DevError, DevResult};

/// User name and password of the cluster, the same as in the default `DATABASE_URL`.
pub(super) const USER: &str = "postgres";
pub(super) const PASSWORD: &str = "password";
/// Name of the cluster's folder.
const CLUSTER: &str = "cluster";
/// Timeout for PostgreSQL to start, which can take long on a busy machine.
const START_WITHIN: Duration = Duration::from_mins(2);
/// How long to wait for the previous server to stop: if its `cruddur dev` was killed, the guard
/// needs a moment to stop it.
const WAIT_FOR_OLD: Duration = Duration::from_secs(8);

/// A shell script that runs a program, and stops the program when this process closes its end of
/// the pipe or is killed. The script then removes the directory in `$1`, if there is one, unless it
/// has received `keep`.
const GUARD: &str = include_str!("guard.sh");

/// The line that the guard writes when its program has ended.
const ENDED: &str = "guard: exited with ";

/// The line that PostgreSQL logs when it accepts connections.
const READY: &str = "database system is ready to accept connections";

/// The shell process that stops a program when this is dropped, or when this process ends for any
/// reason.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
}

impl Guard {
    /// Stops the guard without removing the directory.
    fn keep(mut self) {
        if let Some(stdin) = &mut self.child.stdin {
            // If the guard has already ended, it does not remove the directory either.
            let _ = stdin.write_all(b"keep\n");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // If the guard has already ended, there is nothing to wait for.
        let _ = self.child.wait();
    }
}

/// The location of a cluster, and how its programs are run.
struct Cluster<'a> {
    programs: PathBuf,
    data: &'a DataDir,
    /// PostgreSQL's own folder in the data directory.
    folder: PathBuf,
    run_as: RunAs,
}

/// Starts the cluster in a data directory, and creates it if it does not exist. Returns its guard and
/// its port.
pub(super) fn start(
    programs: PathBuf,
    data: &DataDir,
    run_as: RunAs,
    port: u16,
) -> DevResult<(Guard, u16)> {
    let cluster = Cluster {
        programs,
        data,
        folder: data.path().join("postgres"),
        run_as,
    };
    cluster.prepare()?;
    if !cluster.path().exists() {
        cluster.init()?;
    }
    let began = Instant::now();
    loop {
        match cluster.start_once(port) {
            Err(DevError::PostgresFilesInUse(_)) if began.elapsed() < WAIT_FOR_OLD => {
                std::thread::sleep(Duration::from_millis(100));
            }
            // The port was free a moment before. The next attempt uses another one.
            Err(DevError::PostgresPortInUse(_)) if began.elapsed() < WAIT_FOR_OLD => {}
            started => return started,
        }
    }
}

impl Cluster<'_> {
    fn path(&self) -> PathBuf {
        self.folder.join(CLUSTER)
    }

    /// Creates the folder. As root, it gives PostgreSQL's user write access to it.
    fn prepare(&self) -> DevResult<()> {
        let shown = self.folder.display();
        create_dir_all(&self.folder).map_err(DevError::io(format!("cannot create {shown}")))?;
        let Some(user) = self.run_as.user() else {
            return Ok(());
        };
        let failed = || format!("cannot change the owner of {shown} to {}", user.name);
        let give = |path: &Path| give(path, user);
        give(&self.folder).map_err(DevError::io(failed()))?;
        if self.data.is_temporary() {
            // The guard, which runs as that user, removes the directory.
            give(self.data.path()).map_err(DevError::io(failed()))?;
        }
        let closed = self.run_as.closed_folder(&self.folder);
        match closed.map_err(DevError::io(failed()))? {
            Some(path) => Err(DevError::Unreachable {
                user: user.name.clone(),
                path,
            }),
            None => Ok(()),
        }
    }

    /// Creates the cluster under a temporary name, and renames it when it is complete. An
    /// incomplete cluster of a killed process is created again.
    fn init(&self) -> DevResult<()> {
        let half_made = self.folder.join("cluster.new");
        let _ = fs::remove_dir_all(&half_made);
        let password_file = self.folder.join("password");
        let wrote = fs::write(&password_file, PASSWORD).and_then(|()| match self.run_as.user() {
            Some(user) => give(&password_file, user),
            None => Ok(()),
        });
        wrote.map_err(DevError::io(format!(
            "cannot write {}",
            password_file.display()
        )))?;
        let mut initdb = self.guarded("initdb");
        initdb
            .arg("-D")
            .arg(&half_made)
            .arg("--pwfile")
            .arg(&password_file);
        initdb.args(["-U", USER, "--auth=scram-sha-256", "--encoding=UTF8"]);
        initdb.args(["--locale=C", "--no-sync"]);
        let mut guard = self.run(initdb)?;
        let ended = self.wait_until(&mut guard, |log| log.contains(ENDED))?;
        if !ended.contains(&format!("{ENDED}0")) {
            return Err(DevError::Postgres(last_lines(&ended)));
        }
        guard.keep();
        // The password file is only used by `initdb`.
        let _ = fs::remove_file(&password_file);
        fs::rename(&half_made, self.path()).map_err(DevError::io("cannot rename the cluster"))
    }

    /// Makes one attempt to start: returns when PostgreSQL accepts connections, or has reported an
    /// error.
    fn start_once(&self, port: u16) -> DevResult<(Guard, u16)> {
        let failed = DevError::io("cannot read the address of a listener");
        let port = listen(port)?.local_addr().map_err(failed)?.port();
        let mut postgres = self.guarded("postgres");
        postgres
            .arg("-D")
            .arg(self.path())
            .args(["-p", &port.to_string()]);
        let mut settings = vec![
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
        ];
        if self.data.is_temporary() {
            settings.extend([
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
            ]);
        }
        for setting in settings {
            postgres.args(["-c", setting]);
        }
        let mut guard = self.run(postgres)?;
        let said = self.wait_until(&mut guard, |log| log.contains(READY) || log.contains(ENDED))?;
        if said.contains(ENDED) || !said.contains(READY) {
            // PostgreSQL reports the following causes only in its log. The message about
            // files in use contains the name of its lock file.
            let cause = last_lines(&said);
            return Err(if cause.contains("postmaster.pid") {
                DevError::PostgresFilesInUse(cause)
            } else if cause.contains("could not create any TCP/IP sockets") {
                // The next attempt uses the same directory.
                guard.keep();
                DevError::PostgresPortInUse(cause)
            } else {
                DevError::Postgres(cause)
            });
        }
        Ok((guard, port))
    }

    /// Returns a command that runs one of PostgreSQL's programs under the guard.
    fn guarded(&self, program: &str) -> Command {
        let remove = if self.data.is_temporary() {
            self.data.path()
        } else {
            Path::new("")
        };
        let mut command = self.run_as.command("sh");
        command
            .args(["-c", GUARD, "guard"])
            .arg(remove)
            .arg(self.programs.join(program));
        // The user may be unable to read the current directory.
        command
            .current_dir("/")
            .env_remove("PGDATA")
            .env_remove("PGPORT")
            .env("LC_ALL", "C");
        command
    }

    fn run(&self, mut guarded: Command) -> DevResult<Guard> {
        let log = self.log();
        let shown = log.display();
        // The previous server, which may still be stopping after its process was killed, keeps the
        // old file.
        let _ = fs::remove_file(&log);
        let log = fs::File::create(&log).map_err(DevError::io(format!("cannot write {shown}")))?;
        // The command gets its own process group, so that Ctrl-C reaches only this process, which
        // then stops everything in the correct order.
        guarded
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        let child = guarded.spawn().map_err(DevError::io("cannot run `sh`"))?;
        Ok(Guard { child })
    }

    fn log(&self) -> PathBuf {
        self.data.path().join("postgres.log")
    }

    /// Returns the program's output, when `enough` accepts it or the timeout has passed.
    fn wait_until(&self, guard: &mut Guard, enough: impl Fn(&str) -> bool) -> DevResult<String> {
        let began = Instant::now();
        loop {
            let ended = guard.child.try_wait();
            let ended = ended.map_err(DevError::io("cannot wait for PostgreSQL"))?;
            let said = fs::read_to_string(self.log()).unwrap_or_default();
            if enough(&said) || ended.is_some() || began.elapsed() > START_WITHIN {
                return Ok(said);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn give(path: &Path, user: &User) -> io::Result<()> {
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
}

fn last_lines(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let lines: Vec<&str> = lines.collect();
    lines[lines.len().saturating_sub(4)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that cannot listen at its first start. At its second start, it runs until a file
    /// exists.
    const POSTGRES: &str = r#"#!/bin/sh
if mkdir "$2.started" 2>/dev/null; then
    echo "FATAL:  could not create any TCP/IP sockets" >&2
    exit 1
fi
echo "LOG:  database system is ready to accept connections" >&2
while [ ! -e "$2.stop" ]; do sleep 0.05; done
"#;

    #[test]
    fn port_that_another_process_has_taken_is_replaced() {
        let programs = tempfile::tempdir().expect("a folder");
        let postgres = programs.path().join("postgres");
        fs::write(&postgres, POSTGRES).expect("a program");
        for path in [programs.path(), &postgres] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        let data = DataDir::temporary().expect("a folder");
        let cluster = data.path().join("postgres").join(CLUSTER);
        fs::create_dir_all(&cluster).expect("a cluster");
        let run_as = RunAs::find().expect("a user");

        let started = start(programs.path().to_owned(), &data, run_as, 0);

        assert!(cluster.with_extension("started").exists());
        fs::write(cluster.with_extension("stop"), "").expect("a file");
        started.expect("it starts at the second attempt");
    }
}
