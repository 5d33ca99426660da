//! The user that PostgreSQL runs as. PostgreSQL refuses to run as root.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Uid, User, geteuid};

use crate::dev::{DevError, DevResult};

/// The user that PostgreSQL runs as.
pub(super) enum RunAs {
    /// The current user, who is not root.
    CurrentUser,
    /// Another user, because the current user is root.
    User(User),
    /// The current user with another ID, because the current user is root of a user namespace that
    /// has no other user.
    Renumbered,
}

impl RunAs {
    /// Returns the user to run as. For root this is `postgres`, or else `nobody`.
    pub fn find() -> DevResult<Self> {
        if geteuid() != Uid::from_raw(0) {
            return Ok(Self::CurrentUser);
        }
        let find = |name| User::from_name(name).ok().flatten();
        let user = find("postgres").or_else(|| find("nobody"));
        let user = user.ok_or_else(|| {
            DevError::Postgres(
                "it refuses to run as root, and neither the user postgres nor the user nobody exists"
                    .to_owned(),
            )
        })?;
        let is_mapped = |file: &str, id| {
            // Systems without user namespaces have every user.
            fs::read_to_string(file).map_or(true, |map| is_mapped(&map, id))
        };
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        if is_mapped("/proc/self/uid_map", uid) && is_mapped("/proc/self/gid_map", gid) {
            Ok(Self::User(user))
        } else {
            Ok(Self::Renumbered)
        }
    }

    /// Returns the other user, if there is one.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::User(user) => Some(user),
            Self::CurrentUser | Self::Renumbered => None,
        }
    }

    /// Returns a command that runs a program as that user.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::CurrentUser => Command::new(program),
            Self::User(user) => {
                let mut command = Command::new(program);
                command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
                command
            }
            Self::Renumbered => {
                let mut command = Command::new("unshare");
                command
                    .args(["--user", "--map-user=1000", "--map-group=1000", "--"])
                    .arg(program);
                command
            }
        }
    }

    /// Returns the folder on the way to a path that the other user cannot enter, if there is one.
    pub fn closed_folder(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let Some(user) = self.user() else {
            return Ok(None);
        };
        for folder in path.ancestors().filter(|folder| folder.is_absolute()) {
            let metadata = fs::metadata(folder)?;
            if metadata.permissions().mode() & 0o001 == 0 && metadata.uid() != user.uid.as_raw() {
                return Ok(Some(folder.to_owned()));
            }
        }
        Ok(None)
    }
}

/// Returns whether a map of `user_namespaces(7)` contains an ID. Each line has the first ID inside,
/// the first ID outside, and the count.
fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.nth(1)) {
            (Some(Ok(first)), Some(Ok(count))) => (first..first + count).contains(&id.into()),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::is_mapped;

    #[test]
    fn id_is_mapped_where_a_line_of_the_map_has_it() {
        let all = "         0          0 4294967295\n";
        let root_only = "         0          0          1\n";
        let rootless = "0 1000 1\n1 100000 65536\n";
        for (map, id, expected) in [
            (all, 101, true),
            (root_only, 0, true),
            (root_only, 101, false),
            (rootless, 65_534, true),
            (rootless, 70_000, false),
            ("", 101, false),
        ] {
            assert_eq!(is_mapped(map, id), expected, "{map:?} {id}");
        }
    }
}
