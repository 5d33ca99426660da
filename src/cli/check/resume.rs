//! The saved state of a run, from which a later run resumes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::{CliError, CliResult};
use super::accept::{FindingLine, replace};
use crate::messaging::FindingKind;
use crate::store::{ScanPosition, Segment};

/// Version of the state's format, so that a later version of the program can reject it.
const VERSION: u32 = 1;

/// The parameters of a run. Only a run with the same parameters can resume it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunParameters {
    pub version: u32,
    pub table: String,
    pub address: String,
    pub repair: bool,
}

impl RunParameters {
    pub fn new(table: &str, address: &str, repair: bool) -> Self {
        Self {
            version: VERSION,
            table: table.to_owned(),
            address: address.to_owned(),
            repair,
        }
    }
}

/// How far a segment of the table has been checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum SegmentProgress {
    /// The check has not started.
    NotStarted,
    /// The items up to this position are checked.
    #[serde(rename = "behind")]
    CheckedUpTo(ScanPosition),
    /// All items are checked.
    Done,
}

/// The progress of a run, and its findings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckState {
    run: RunParameters,
    segments: Vec<SegmentProgress>,
    pub items: u64,
    /// Number of findings by kind: found, repaired and accepted.
    pub findings: BTreeMap<FindingKind, [u64; 3]>,
    /// Number of heads that cannot be read: their groups may have no head.
    #[serde(default)]
    pub unreadable_heads: u64,
    /// Whether the table has the marker at the end of the run.
    #[serde(default)]
    pub is_marked: bool,
    /// The remaining findings, if they are to be written to a file.
    pub left: Vec<FindingLine>,
}

impl CheckState {
    pub fn new(run: RunParameters, segments: u16) -> Self {
        Self {
            run,
            segments: vec![SegmentProgress::NotStarted; segments.into()],
            items: 0,
            findings: BTreeMap::new(),
            unreadable_heads: 0,
            is_marked: false,
            left: Vec::new(),
        }
    }

    /// Returns the segments that are not completely checked, and where each begins.
    pub fn parts(&self) -> Vec<(Segment, Option<ScanPosition>)> {
        let of = u16::try_from(self.segments.len()).unwrap_or(u16::MAX);
        let parts = (0..of).zip(&self.segments);
        let parts = parts.filter_map(|(number, progress)| {
            let from = match progress {
                SegmentProgress::NotStarted => None,
                SegmentProgress::CheckedUpTo(position) => Some(position.clone()),
                SegmentProgress::Done => return None,
            };
            Some((Segment { number, of }, from))
        });
        parts.collect()
    }

    /// Returns how many findings of these kinds were not repaired.
    pub fn count_left(&self, kinds: &[FindingKind]) -> u64 {
        let counts = kinds.iter().filter_map(|kind| self.findings.get(kind));
        let left = counts.map(|[found, repaired, _]| found.saturating_sub(*repaired));
        left.sum()
    }

    /// Records that a segment was checked up to a position, or completely.
    pub fn advance(&mut self, segment: u16, next: Option<ScanPosition>) {
        if let Some(progress) = self.segments.get_mut(usize::from(segment)) {
            *progress = next.map_or(SegmentProgress::Done, SegmentProgress::CheckedUpTo);
        }
    }
}

/// The file in which a state is saved.
#[derive(Debug)]
pub(super) struct StateFile(pub PathBuf);

impl StateFile {
    fn failed(&self, cause: impl std::fmt::Display) -> CliError {
        CliError::Failed(format!("--resume {}: {cause}", self.0.display()))
    }

    /// Reads the state of an interrupted run; `None` if the file does not exist.
    pub fn read(
        &self,
        run: &RunParameters,
        segments: Option<u16>,
    ) -> CliResult<Option<CheckState>> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        let state: CheckState = serde_json::from_str(&text).map_err(|cause| {
            self.failed(format!(
                "this is not the state of a run: {cause}. Delete the file to start a new run."
            ))
        })?;
        let differs = |what: &str| {
            CliError::Usage(format!(
                "--resume {}: it is the state of a run {what}: continue that run, or delete the file to start a new one",
                self.0.display()
            ))
        };
        if state.run.version != run.version {
            return Err(differs("of another version"));
        }
        if (&state.run.table, &state.run.address) != (&run.table, &run.address) {
            let RunParameters { table, address, .. } = &state.run;
            return Err(differs(&format!("over the table {table} at {address}")));
        }
        if state.run.repair != run.repair {
            let with = if state.run.repair { "with" } else { "without" };
            return Err(differs(&format!("{with} --repair")));
        }
        if segments.is_some_and(|segments| usize::from(segments) != state.segments.len()) {
            let count = state.segments.len();
            return Err(differs(&format!("with --segments {count}")));
        }
        Ok(Some(state))
    }

    pub fn write(&self, state: &CheckState) -> CliResult<()> {
        let text = serde_json::to_vec(state).map_err(|cause| self.failed(cause))?;
        replace(&self.0, &text).map_err(|cause| self.failed(cause))
    }

    /// Deletes the file, because the run is complete and the next one starts from the beginning.
    pub fn delete(&self) -> CliResult<()> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }
}
