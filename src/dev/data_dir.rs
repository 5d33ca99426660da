//! Where the embedded services keep their data.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::DevError;

/// A directory that is ours alone as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
    temporary: Option<TempDir>,
}

impl DataDir {
    /// A directory that stays. Made if it is not there; refused while another
    /// process uses it.
    pub fn open(path: &Path) -> Result<Self, DevError> {
        let shown = path.display();
        // Searchable by all, so that PostgreSQL's user gets to its own folder.
        let made = DirBuilder::new().recursive(true).mode(0o711).create(path);
        made.map_err(DevError::io(format!(
            "the data directory {shown} cannot be made"
        )))?;
        let path = path
            .canonicalize()
            .map_err(DevError::io(format!("the data directory {shown}")))?;
        let lock = lock(&path)?;
        Ok(Self {
            path,
            _lock: lock,
            temporary: None,
        })
    }

    /// A directory that goes with this.
    pub fn temporary() -> Result<Self, DevError> {
        let temporary = tempfile::Builder::new().prefix("cruddur-").tempdir();
        let temporary = temporary.map_err(DevError::io("no temporary directory"))?;
        Ok(Self {
            path: temporary.path().to_owned(),
            _lock: lock(temporary.path())?,
            temporary: Some(temporary),
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes when this goes.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }
}

/// The lock is the system's: it goes with the process, however that ends.
fn lock(path: &Path) -> Result<File, DevError> {
    let file = path.join("lock");
    let lock = File::create(&file).map_err(DevError::io(format!(
        "{} cannot be written",
        file.display()
    )))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(DevError::InUse(path.to_owned())),
        Err(TryLockError::Error(cause)) => {
            Err(DevError::io(format!("{} cannot be locked", file.display()))(cause))
        }
    }
}
