//! Checks of a group without a head, beyond the missing head.

use std::collections::BTreeSet;

use super::finding::{Finding, FindingKind, Remedy};
use super::numbers::two;
use crate::model::{Message, MessageGroupId, UserId};
use crate::store::{FoundRow, ScannedItem, Stored};

/// A row, and the item that it was read from.
type Row = (FoundRow, ScannedItem);

/// Returns the problems that exist in addition to the missing head: duplicate
/// rows, rows that do not show the newest message, and participants without a
/// row. The repair of the group also repairs them.
pub(super) fn hidden(
    group: MessageGroupId,
    items: Vec<ScannedItem>,
    newest: &Message,
) -> Vec<Finding> {
    let row = |item: ScannedItem| match item.clone().read() {
        // A row whose UUIDs are stored in another form is reported at its own
        // item.
        Ok(Stored::GroupRow(row)) if row.row_key().is_canonical() => Some((row, item)),
        _ => None,
    };
    let mut rows: Vec<Row> = items.into_iter().filter_map(row).collect();
    rows.sort_by(|(one, _), (other, _)| (one.owner, &other.key).cmp(&(other.owner, &one.key)));
    let mut found = Vec::new();
    let mut current: Option<&FoundRow> = None;
    for (row, item) in &rows {
        let detail = match current {
            Some(current) if current.owner == row.owner => Some((
                FindingKind::DuplicateRow,
                format!("the current row is at {}", current.key),
            )),
            _ => {
                current = Some(row);
                let shows_it = row.key == newest.key && row.body == newest.body;
                let detail = "it does not show the newest message".to_owned();
                (!shows_it).then_some((FindingKind::StaleRow, detail))
            }
        };
        found.extend(detail.map(|(kind, detail)| of_row(group, kind, detail, row, item)));
    }
    found.extend(missing(group, &rows));
    found
}

fn of_row(
    group: MessageGroupId,
    kind: FindingKind,
    detail: String,
    row: &FoundRow,
    item: &ScannedItem,
) -> Finding {
    let remedy = Remedy::Group(group, Some(row.row_key()));
    Finding {
        item: Some(item.clone()),
        ..Finding::new(kind, Some(group), detail, remedy)
    }
}

fn missing(group: MessageGroupId, rows: &[Row]) -> Vec<Finding> {
    let named = rows.iter().flat_map(|(row, _)| *row.participants());
    let Some(participants) = two(named.collect::<BTreeSet<UserId>>()) else {
        return Vec::new();
    };
    let has_none = |owner: &UserId| rows.iter().all(|(row, _)| row.owner != *owner);
    let missing = participants.into_iter().filter(has_none).map(|owner| {
        let detail = format!("row of {owner}");
        let remedy = Remedy::Group(group, None);
        Finding::new(FindingKind::MissingRow, Some(group), detail, remedy)
    });
    missing.collect()
}
