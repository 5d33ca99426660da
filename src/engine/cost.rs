//! Calculates the maximum size of a response from the requested page sizes and
//! the declared costs of fields.

use apollo_compiler::ast::Value;
use apollo_compiler::response::JsonMap;

use super::field_cost::DeclaredCost;
use super::plan::{Plan, PlannedField};

/// Assumed size in bytes of a leaf value without a declared cost. Most values are
/// smaller.
const BYTES_OF_VALUE: usize = 256;
/// Assumed number of items of a list that is not part of a page, because the
/// schema declares no maximum for it.
const ITEMS_OF_LIST: usize = 100;
/// Size in bytes of the JSON punctuation around a value and its name.
const BYTES_OF_PUNCTUATION: usize = 8;

/// The maximum size of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ResponseSize {
    /// Number of objects.
    pub nodes: usize,
    /// Size as JSON in bytes.
    pub bytes: usize,
}

impl ResponseSize {
    fn zip(self, other: Self, combine: fn(usize, usize) -> usize) -> Self {
        Self {
            nodes: combine(self.nodes, other.nodes),
            bytes: combine(self.bytes, other.bytes),
        }
    }

    fn plus(self, other: Self) -> Self {
        self.zip(other, usize::saturating_add)
    }

    fn times(self, count: usize) -> Self {
        let (nodes, bytes) = (count, count);
        self.zip(Self { nodes, bytes }, usize::saturating_mul)
    }
}

/// The size of a selection set: a fixed part, and a part for each item of the
/// page that contains it.
#[derive(Clone, Copy, Debug, Default)]
struct PagedSize {
    fixed: ResponseSize,
    per_item: ResponseSize,
}

impl PagedSize {
    fn of_page(self, items: usize) -> ResponseSize {
        self.fixed.plus(self.per_item.times(items))
    }

    fn zip(self, other: Self, combine: fn(usize, usize) -> usize) -> Self {
        Self {
            fixed: self.fixed.zip(other.fixed, combine),
            per_item: self.per_item.zip(other.per_item, combine),
        }
    }
}

/// Returns the maximum size of an operation's response.
pub(super) fn response_size(plan: &Plan, variables: &JsonMap) -> ResponseSize {
    total(&plan.root, variables).of_page(ITEMS_OF_LIST)
}

/// Returns the size of all fields of an object.
fn total(fields: &[PlannedField], variables: &JsonMap) -> PagedSize {
    let sizes = fields.iter().map(|field| size_of(field, variables));
    sizes.fold(PagedSize::default(), |total, size| {
        total.zip(size, usize::saturating_add)
    })
}

fn size_of(field: &PlannedField, variables: &JsonMap) -> PagedSize {
    let fixed = |fixed| PagedSize {
        fixed,
        ..PagedSize::default()
    };
    let name = ResponseSize {
        nodes: 0,
        bytes: field.key().len() + BYTES_OF_PUNCTUATION,
    };
    if field.objects.is_empty() {
        let bytes = match field.cost {
            Some(DeclaredCost::Bytes(bytes)) => bytes,
            _ => BYTES_OF_VALUE,
        };
        return fixed(name.plus(ResponseSize { nodes: 0, bytes }));
    }
    // The size of introspection is limited separately.
    if field.is_introspection_field() {
        return PagedSize::default();
    }
    let objects = field.objects.iter();
    let sizes = objects.map(|object| total(&object.fields, variables));
    // The object has one of the possible types, so the largest of their sizes
    // is the maximum.
    let mut below = sizes.fold(PagedSize::default(), |max, size| max.zip(size, usize::max));
    below.fixed = below.fixed.plus(ResponseSize {
        nodes: 1,
        bytes: BYTES_OF_PUNCTUATION,
    });
    if field.definition.ty.is_list() {
        below = PagedSize {
            fixed: ResponseSize::default(),
            per_item: below.fixed.plus(below.per_item),
        };
    }
    if let Some(DeclaredCost::Page { default, max }) = field.cost {
        below = fixed(below.of_page(page_size(field, variables, default).min(max)));
    }
    below.fixed = below.fixed.plus(name);
    below
}

/// Returns the requested number of items of a connection.
fn page_size(field: &PlannedField, variables: &JsonMap, default: usize) -> usize {
    let asked = ["first", "last"].into_iter().find_map(|name| {
        let (_, value) = field.arguments.iter().find(|(given, _)| given == name)?;
        match &**value {
            Value::Int(number) => number.try_to_i32().ok(),
            Value::Variable(variable) => {
                let given = variables.get(variable.as_str())?.as_i64()?;
                i32::try_from(given).ok()
            }
            _ => None,
        }
    });
    asked.map_or(default, |asked| usize::try_from(asked).unwrap_or(0))
}
