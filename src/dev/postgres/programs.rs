//! Where PostgreSQL's programs are.

use std::cmp::Reverse;
use std::fs;
use std::path::PathBuf;

/// The folder with PostgreSQL's programs: the first on PATH, or else the
/// newest in the places where systems put them.
pub(super) fn find_programs() -> Option<PathBuf> {
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
