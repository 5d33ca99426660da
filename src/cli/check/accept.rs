//! Accepted findings: they are counted, but `--repair` does not repair them, and they do not affect
//! the exit code.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{CliError, CliResult};
use crate::messaging::{Finding, FindingKind};

/// A finding as `check` prints it, without the items that a repair would delete.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FindingLine {
    kind: String,
    key: String,
    message_group_uuid: Option<String>,
    #[serde(default)]
    detail: String,
}

impl FindingLine {
    pub fn of(finding: &Finding) -> Self {
        Self {
            kind: finding.kind.name().to_owned(),
            key: finding.key(),
            message_group_uuid: finding.group.map(|group| group.to_string()),
            detail: finding.detail.clone(),
        }
    }

    /// Returns what identifies the finding: kind, key and, if it does not change by itself, the
    /// detail.
    fn identity(self) -> Identity {
        let mut kinds = FindingKind::ALL.iter();
        let varies = kinds.any(|kind| kind.name() == self.kind && kind.detail_varies());
        (self.kind, self.key, (!varies).then_some(self.detail))
    }
}

type Identity = (String, String, Option<String>);

/// The accepted findings, and for each of them whether this run has found it.
#[derive(Debug, Default)]
pub(super) struct AcceptedFindings(BTreeMap<Identity, bool>);

impl AcceptedFindings {
    /// Reads a file with the output of `check` or of `--write-accepted`. Blank lines and lines that
    /// begin with `#` are ignored.
    pub fn read(path: &Path) -> CliResult<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| CliError::Usage(format!("--accept {}: {cause}", path.display())))?;
        let mut accepted = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let read = parse(line).map_err(|cause| {
                let location = format!("--accept {}, line {}", path.display(), number + 1);
                CliError::Usage(format!("{location}: {cause}"))
            })?;
            let entry = read.map(|finding| (finding.identity(), false));
            accepted.0.extend(entry);
        }
        Ok(accepted)
    }

    /// Returns whether a finding is accepted, and records that it was found.
    pub fn accepts(&mut self, finding: &Finding) -> bool {
        let accepted = self.0.get_mut(&FindingLine::of(finding).identity());
        accepted.map(|is_found| *is_found = true).is_some()
    }

    /// Returns how many of the accepted findings were not found.
    pub fn outdated(&self) -> usize {
        self.0.values().filter(|is_found| !**is_found).count()
    }
}

/// Parses a line; `None` for a line with the result of a repair or with the summary.
fn parse(line: &str) -> Result<Option<FindingLine>, String> {
    let value: Value = serde_json::from_str(line).map_err(|cause| cause.to_string())?;
    if value.get("summary").is_some() || value.get("repaired").is_some() {
        return Ok(None);
    }
    serde_json::from_value(value)
        .map(Some)
        .map_err(|cause| format!("this is not a finding of `cruddur check`: {cause}"))
}

/// Atomically writes findings to a file, one per line.
pub(super) fn write(path: &Path, findings: &[FindingLine]) -> CliResult<()> {
    let findings: BTreeSet<&FindingLine> = findings.iter().collect();
    let mut text = String::new();
    for finding in findings {
        let line = serde_json::to_string(finding).map_err(std::io::Error::from)?;
        text.push_str(&line);
        text.push('\n');
    }
    replace(path, text.as_bytes())
        .map_err(|cause| CliError::Failed(format!("--write-accepted {}: {cause}", path.display())))
}

/// Atomically replaces a file's contents: a process that is killed leaves either the old or the new
/// contents.
pub(super) fn replace(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = Path::new(&beside);
    let written = std::fs::File::create(beside)
        .and_then(|mut file| file.write_all(contents))
        .and_then(|()| std::fs::rename(beside, path));
    if written.is_err() {
        // The temporary file is not needed, and the first error is more informative.
        let _ = std::fs::remove_file(beside);
    }
    written
}
