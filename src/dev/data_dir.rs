//! The directory in which the embedded services store their data.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{DevError, DevResult};

/// A data directory, locked for this process until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
    temporary: Option<TempDir>,
}

impl DataDir {
    /// Opens a persistent directory, and creates it if it does not exist. Fails if another process
    /// uses it.
    pub fn open(path: &Path) -> DevResult<Self> {
        let shown = path.display();
        // All users can traverse it, so that PostgreSQL's user can access its own folder.
        let made = DirBuilder::new().recursive(true).mode(0o711).create(path);
        made.map_err(DevError::io(format!(
            "cannot create the data directory {shown}"
        )))?;
        let failed = DevError::io(format!("the data directory {shown}"));
        let path = path.canonicalize().map_err(failed)?;
        let lock = lock(&path)?;
        Ok(Self {
            path,
            _lock: lock,
            temporary: None,
        })
    }

    /// Creates a directory that is removed when this is dropped.
    pub fn temporary() -> DevResult<Self> {
        let temporary = tempfile::Builder::new().prefix("cruddur-").tempdir();
        let temporary = temporary.map_err(DevError::io("cannot create a temporary directory"))?;
        Ok(Self {
            path: temporary.path().to_owned(),
            _lock: lock(temporary.path())?,
            temporary: Some(temporary),
        })
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the directory is removed when this is dropped.
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }
}

/// Locks the directory. The operating system releases the lock when the process ends for any
/// reason.
fn lock(path: &Path) -> DevResult<File> {
    let file = path.join("lock");
    let lock =
        File::create(&file).map_err(DevError::io(format!("cannot write {}", file.display())))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(DevError::InUse(path.to_owned())),
        Err(TryLockError::Error(cause)) => Err(DevError::io(format!(
            "cannot lock {}",
            file.display()
        ))(cause)),
    }
}
