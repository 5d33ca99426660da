//! Findings that an operator has accepted: they are counted, but do not fail
//! the command, and `--repair` leaves them alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::CliError;
use crate::messaging::Finding;

/// A finding as `check` prints it, without what it would delete.
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
            key: finding.key.clone(),
            message_group_uuid: finding.group.map(|group| group.to_string()),
            detail: finding.detail.clone(),
        }
    }
}

/// What makes two findings the same one: kind, key, and what is wrong, where
/// that does not change by itself.
type Identity = (String, String, Option<String>);

fn identity(finding: &Finding) -> Identity {
    let kind = finding.kind.name().to_owned();
    let detail = (!finding.kind.detail_varies()).then(|| finding.detail.clone());
    (kind, finding.key.clone(), detail)
}

/// The accepted findings, and which of them were found again.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    /// Identity with and without detail: the kind decides which counts.
    findings: BTreeMap<(String, String), BTreeSet<String>>,
    found: BTreeSet<Identity>,
    count: usize,
}

impl Accepted {
    /// Reads the lines of a file: those that `check` prints, or
    /// `--write-accepted` writes. Blank lines and lines that begin with `#` are
    /// passed over.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| CliError::Usage(format!("--accept {}: {cause}", path.display())))?;
        let mut accepted = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let read = parse(line).map_err(|cause| {
                let place = format!("--accept {}, line {}", path.display(), number + 1);
                CliError::Usage(format!("{place}: {cause}"))
            })?;
            if let Some(FindingLine {
                kind, key, detail, ..
            }) = read
            {
                let details = accepted.findings.entry((kind, key)).or_default();
                accepted.count += usize::from(details.insert(detail));
            }
        }
        Ok(accepted)
    }

    /// Whether a finding is accepted.
    pub fn accepts(&mut self, finding: &Finding) -> bool {
        let (kind, key, detail) = identity(finding);
        let details = self.findings.get(&(kind.clone(), key.clone()));
        let accepts = details.is_some_and(|details| {
            detail
                .as_ref()
                .is_none_or(|detail| details.contains(detail))
        });
        if accepts {
            self.found.insert((kind, key, detail));
        }
        accepts
    }

    /// How many of the accepted findings were not found.
    pub fn outdated(&self) -> usize {
        self.count.saturating_sub(self.found.len())
    }
}

/// A line; `None` for one that says what became of a finding, or the summary.
fn parse(line: &str) -> Result<Option<FindingLine>, String> {
    let value: Value = serde_json::from_str(line).map_err(|cause| cause.to_string())?;
    if value.get("summary").is_some() || value.get("mended").is_some() {
        return Ok(None);
    }
    serde_json::from_value(value)
        .map(Some)
        .map_err(|cause| format!("this is not a finding of `cruddur check`: {cause}"))
}

/// Writes findings to a file, one a line, all or nothing.
pub(super) fn write(path: &Path, findings: &[FindingLine]) -> Result<(), CliError> {
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

/// Replaces a file's contents in one step, so that a process that is killed
/// leaves the old or the new ones.
pub(super) fn replace(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = Path::new(&beside);
    let written = std::fs::File::create(beside)
        .and_then(|mut file| file.write_all(contents))
        .and_then(|()| std::fs::rename(beside, path));
    if written.is_err() {
        // Nothing of it is needed, and the first error says more.
        let _ = std::fs::remove_file(beside);
    }
    written
}
