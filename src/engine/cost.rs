//! How much an operation may respond with, by the page sizes that it asks for
//! and by what the schema declares of its fields.

use apollo_compiler::ast::Value;
use apollo_compiler::response::JsonMap;

use super::plan::{Plan, PlannedField};

/// Bytes of a value of which nothing is declared: more than most have.
const BYTES_OF_VALUE: usize = 256;
/// Items of a list that is not part of a page.
const ITEMS_OF_LIST: usize = 100;
/// Bytes around a value and its name.
const BYTES_AROUND: usize = 8;

/// What a field may add to a response. The schema declares it beside the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldCost {
    /// The name of the type of object.
    pub ty: &'static str,
    /// The name of the field.
    pub field: &'static str,
    /// How much it may add.
    pub cost: Cost,
}

/// How much a field may add to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// A value of at most so many bytes.
    Bytes(usize),
    /// A connection, whose pages have as many items as `first` or `last` say.
    Page {
        /// How many without either.
        default: usize,
        /// How many at most.
        most: usize,
    },
}

/// How large a response may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Objects.
    pub nodes: usize,
    /// Bytes as JSON.
    pub bytes: usize,
}

impl Size {
    fn plus(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn times(self, count: usize) -> Self {
        Self {
            nodes: self.nodes.saturating_mul(count),
            bytes: self.bytes.saturating_mul(count),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.max(other.nodes),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

/// What a selection set stands for: so much, and so much more for each item of
/// the page that it is part of.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    fixed: Size,
    per_item: Size,
}

impl Amount {
    fn of_page(self, items: usize) -> Size {
        self.fixed.plus(self.per_item.times(items))
    }

    fn plus(self, other: Self) -> Self {
        Self {
            fixed: self.fixed.plus(other.fixed),
            per_item: self.per_item.plus(other.per_item),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            fixed: self.fixed.max(other.fixed),
            per_item: self.per_item.max(other.per_item),
        }
    }
}

/// How large the response of an operation may be.
pub(super) fn size(plan: &Plan, variables: &JsonMap) -> Size {
    let amount = plan
        .root
        .iter()
        .map(|field| amount_of(field, variables))
        .fold(Amount::default(), Amount::plus);
    amount.of_page(ITEMS_OF_LIST)
}

fn amount_of(field: &PlannedField, variables: &JsonMap) -> Amount {
    let name = Size {
        nodes: 0,
        bytes: field.key().len() + BYTES_AROUND,
    };
    if field.objects.is_empty() {
        let bytes = match field.cost {
            Some(Cost::Bytes(bytes)) => bytes,
            _ => BYTES_OF_VALUE,
        };
        let fixed = name.plus(Size { nodes: 0, bytes });
        return Amount {
            fixed,
            ..Amount::default()
        };
    }
    // The schema has a size of its own.
    if field.is_of_schema() {
        return Amount::default();
    }
    let below = field.objects.iter().map(|object| {
        let fields = object.fields.iter();
        fields
            .map(|field| amount_of(field, variables))
            .fold(Amount::default(), Amount::plus)
    });
    // It is an object of one of the types.
    let below = below.fold(Amount::default(), Amount::max);
    let one = Size {
        nodes: 1,
        bytes: BYTES_AROUND,
    };
    let below = if field.definition.ty.is_list() {
        Amount {
            fixed: Size::default(),
            per_item: below.fixed.plus(below.per_item).plus(one),
        }
    } else {
        Amount {
            fixed: below.fixed.plus(one),
            ..below
        }
    };
    if let Some(Cost::Page { default, most }) = field.cost {
        let page = below.of_page(page_size(field, variables, default).min(most));
        return Amount {
            fixed: page.plus(name),
            ..Amount::default()
        };
    }
    Amount {
        fixed: below.fixed.plus(name),
        ..below
    }
}

/// How many items a connection is asked for.
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
