//! Search for PostgreSQL's installed programs.

use std::cmp::Reverse;
use std::fs;
use std::path::PathBuf;

/// Returns the folder with PostgreSQL's programs: the first one on PATH, or else the newest in the
/// locations where packages install them.
pub(super) fn find_programs() -> Option<PathBuf> {
    let has_both =
        |folder: &PathBuf| folder.join("postgres").is_file() && folder.join("initdb").is_file();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(has_both);
    let mut installed = PLACES
        .iter()
        .flat_map(|(folder, end)| versions(folder, end));
    on_path.or_else(|| installed.find(has_both))
}

/// Folders that contain one folder per version, and the path of the programs in each of those.
const PLACES: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", "bin"),
    ("/usr", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
];

/// Returns the folders below one of the [`PLACES`] that look like PostgreSQL's, newest version
/// first.
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
