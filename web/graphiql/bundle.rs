//! Bundles GraphiQL by npm while the program is built, for it to embed. Nothing
//! of it is fetched when the page is opened.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

const FOLDER: &str = "web/graphiql";
/// `skip` leaves it out.
const SETTING: &str = "CRUDDUR_GRAPHIQL";

/// Writes `graphiql_files.rs` to `out`: name and compressed bytes of each file
/// of the page. There is none without npm, or where npm fails.
pub fn bundle(out: &Path) -> io::Result<()> {
    println!("cargo::rerun-if-env-changed={SETTING}");
    let sources = sources()?;
    for source in &sources {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    let folder = out.join("graphiql");
    let is_left_out = env::var(SETTING).is_ok_and(|setting| setting == "skip");
    let files = if is_left_out {
        Vec::new()
    } else {
        match bundled(&folder, &sources) {
            Ok(files) => files,
            Err(why) => {
                println!("cargo::warning=GraphiQL is left out: {why}");
                // It is tried again with the next build.
                println!("cargo::rerun-if-changed={}", folder.join("none").display());
                Vec::new()
            }
        }
    };
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let file = file.to_string_lossy();
        // Writing to a string does not fail.
        let _ = writeln!(list, "    ({name:?}, include_bytes!({file:?}) as &[u8]),");
    }
    list.push(']');
    fs::write(out.join("graphiql_files.rs"), list)
}

/// What it is made from.
fn sources() -> io::Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for folder in [FOLDER, "web/graphiql/src"] {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_file() {
                sources.push(path);
            }
        }
    }
    sources.sort();
    Ok(sources)
}

/// The files of the page. They are made only when something has changed.
fn bundled(folder: &Path, sources: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let failed = |error: io::Error| error.to_string();
    let files = folder.join("files");
    let stamp = folder.join("stamp");
    let wanted = stamp_of(sources).map_err(failed)?;
    if fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
        // What a build that was broken off has left.
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(failed)?;
        }
        for source in sources {
            let within = source.strip_prefix(FOLDER).unwrap_or(source);
            let copy = folder.join(within);
            fs::create_dir_all(copy.parent().unwrap_or(folder)).map_err(failed)?;
            fs::copy(source, copy).map_err(failed)?;
        }
        run(
            folder,
            "npm",
            &[
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                // Without a network it is said at once.
                "--fetch-retries=0",
            ],
        )?;
        run(folder, "node", &["build.mjs", "files"])?;
        fs::remove_dir_all(folder.join("node_modules")).map_err(failed)?;
        fs::write(&stamp, wanted).map_err(failed)?;
    }
    let entries = fs::read_dir(files).map_err(failed)?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<io::Result<_>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn stamp_of(sources: &[PathBuf]) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    for source in sources {
        source.hash(&mut hasher);
        fs::read(source)?.hash(&mut hasher);
    }
    Ok(hasher.finish().to_string())
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            format!("there is no {program}. Install Node.js 20 or newer to have it")
        }
        _ => format!("{program}: {error}"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let mut lines = told.lines().map(str::trim);
    let first = lines.find(|line| line.contains("error") || line.contains("Error"));
    Err(format!(
        "`{program} {}` failed: {}",
        arguments.join(" "),
        first.unwrap_or("it does not say why")
    ))
}
