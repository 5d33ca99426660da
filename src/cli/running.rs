//! The address of a running server, for `healthcheck`.
//!
//! `serve` may get its address as an option, which another process in the same container cannot
//! see. Therefore it writes the address to a file, and locks the file while it runs. `healthcheck`
//! looks for locked files, because a server that was killed leaves an unlocked one. The file also
//! contains the server's `LISTEN_ADDR`: `healthcheck` uses only a server with the same value, and
//! not one of another environment on the same machine.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

const PREFIX: &str = "cruddur-serve-";
/// The environment variable with the address of a server.
pub(super) const LISTEN_ADDR: &str = "LISTEN_ADDR";

#[derive(Serialize, Deserialize)]
struct Record {
    address: SocketAddr,
    /// The server's `LISTEN_ADDR`.
    variable: Option<String>,
}

/// The file of a running server. It is removed when this is dropped.
pub(super) struct RunningFile {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Drop for RunningFile {
    fn drop(&mut self) {
        // A file that cannot be removed has no lock, so it is not mistaken for a server.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Writes the address of this server to a file in the first writable folder.
pub(super) fn record(address: SocketAddr) -> io::Result<RunningFile> {
    let variable = std::env::var(LISTEN_ADDR).ok();
    let text = serde_json::to_vec(&Record { address, variable })?;
    let mut result = Err(io::ErrorKind::NotFound.into());
    for folder in folders() {
        result = write(&folder, &text);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn write(folder: &Path, text: &[u8]) -> io::Result<RunningFile> {
    let name = Uuid::new_v4().simple().to_string();
    // The file has a hidden name until it is locked, so that no reader finds it unlocked.
    let hidden = folder.join(format!(".{PREFIX}{name}"));
    let path = folder.join(format!("{PREFIX}{name}"));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&hidden)?;
    let written = file
        .try_lock()
        .map_err(io::Error::from)
        .and_then(|()| file.write_all(text))
        .and_then(|()| std::fs::rename(&hidden, &path));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&hidden);
        return Err(error);
    }
    Ok(RunningFile { path, _file: file })
}

/// Returns the addresses of the servers that are running here with the same `LISTEN_ADDR` as this
/// process.
pub(super) fn running() -> Vec<SocketAddr> {
    let variable = std::env::var(LISTEN_ADDR).ok();
    let files = folders()
        .into_iter()
        .filter_map(|folder| folder.read_dir().ok());
    let paths = files.flatten().flatten().filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.starts_with(PREFIX))
    });
    let records = paths.filter_map(|entry| read(&entry.path()));
    let records = records.filter(|record| record.variable == variable);
    let mut addresses: Vec<SocketAddr> = records.map(|record| record.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Reads a file if its server still holds the lock.
fn read(path: &Path) -> Option<Record> {
    let file = File::open(path).ok()?;
    let owner = file.metadata().ok()?.uid();
    if own_user().is_some_and(|own| own != owner && own != 0 && owner != 0) {
        return None;
    }
    if let Err(TryLockError::WouldBlock) = file.try_lock_shared() {
        return serde_json::from_reader(&file).ok();
    }
    // The file is not locked, so its server was killed.
    let _ = std::fs::remove_file(path);
    None
}

/// Returns the user ID of this process, if the system reports it.
fn own_user() -> Option<u32> {
    let process = std::fs::metadata("/proc/self").ok()?;
    Some(process.uid())
}

/// Returns the possible folders of the file. The last one is in memory, and is writable in
/// containers with a read-only file system.
fn folders() -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let shared = [std::env::temp_dir(), PathBuf::from("/dev/shm")];
    let mut folders: Vec<PathBuf> = runtime.into_iter().chain(shared).collect();
    folders.dedup();
    folders
}
