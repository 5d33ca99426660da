//! How much an operation can answer, by the sizes that it asks for.

use std::collections::HashMap;

use apollo_compiler::Name;
use apollo_compiler::executable::{self, ExecutableDocument};
use apollo_compiler::response::JsonMap;

use crate::model::MessageBody;

/// How many items a connection gives when it is not asked for a number, and at
/// most.
const USUAL_PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;
/// Bytes of a message's body at most: as JSON a character has up to six.
const LARGEST_BODY: usize = 6 * MessageBody::MAX_LENGTH;
/// Bytes of any other value: more than most have.
const LARGEST_VALUE: usize = 256;
/// Bytes around a value and its name.
const AROUND: usize = 8;

/// How large an answer can be.
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

    fn add(&mut self, other: Self) {
        self.fixed = self.fixed.plus(other.fixed);
        self.per_item = self.per_item.plus(other.per_item);
    }
}

/// Goes through an operation, each fragment once.
pub(super) struct Estimate<'a> {
    document: &'a ExecutableDocument,
    variables: &'a JsonMap,
    of_fragments: HashMap<&'a Name, Amount>,
}

impl<'a> Estimate<'a> {
    pub fn new(document: &'a ExecutableDocument, variables: &'a JsonMap) -> Self {
        Self {
            document,
            variables,
            of_fragments: HashMap::new(),
        }
    }

    /// How large the answer of an operation can be.
    pub fn size(&mut self, operation: &'a executable::SelectionSet) -> Size {
        self.selections(operation).of_page(LARGEST_PAGE)
    }

    fn selections(&mut self, set: &'a executable::SelectionSet) -> Amount {
        let mut amount = Amount::default();
        for selection in &set.selections {
            match selection {
                executable::Selection::Field(field) => amount.add(self.field(field)),
                executable::Selection::InlineFragment(inline) => {
                    amount.add(self.selections(&inline.selection_set));
                }
                executable::Selection::FragmentSpread(spread) => {
                    amount.add(self.fragment(&spread.fragment_name));
                }
            }
        }
        amount
    }

    fn field(&mut self, field: &'a executable::Field) -> Amount {
        let name = Size {
            nodes: 0,
            bytes: field.response_key().len() + AROUND,
        };
        if field.selection_set.selections.is_empty() {
            let value = match field.name.as_str() {
                "body" => LARGEST_BODY,
                _ => LARGEST_VALUE,
            };
            let value = Size {
                nodes: 0,
                bytes: value,
            };
            return Amount {
                fixed: name.plus(value),
                ..Amount::default()
            };
        }
        // The schema has a size of its own.
        if field.name.starts_with("__") {
            return Amount::default();
        }
        let below = self.selections(&field.selection_set);
        let one = Size {
            nodes: 1,
            bytes: AROUND,
        };
        if field.definition.argument_by_name("first").is_some() {
            let page = below.of_page(self.page_size(field));
            return Amount {
                fixed: page.plus(one).plus(name),
                ..Amount::default()
            };
        }
        if field.definition.ty.is_list() {
            return Amount {
                fixed: name,
                per_item: below.fixed.plus(below.per_item).plus(one),
            };
        }
        Amount {
            fixed: below.fixed.plus(one).plus(name),
            ..below
        }
    }

    fn fragment(&mut self, name: &'a Name) -> Amount {
        if let Some(amount) = self.of_fragments.get(name) {
            return *amount;
        }
        self.of_fragments.insert(name, Amount::default());
        let fragment = self.document.fragments.get(name);
        let amount = fragment.map_or_else(Amount::default, |fragment| {
            self.selections(&fragment.selection_set)
        });
        self.of_fragments.insert(name, amount);
        amount
    }

    /// How many items a connection is asked for.
    fn page_size(&self, field: &executable::Field) -> usize {
        let asked = ["first", "last"].into_iter().find_map(|name| {
            let argument = field.arguments.iter().find(|given| given.name == name)?;
            match &*argument.value {
                executable::Value::Int(number) => number.try_to_i32().ok(),
                executable::Value::Variable(variable) => {
                    let given = self.variables.get(variable.as_str())?.as_i64()?;
                    i32::try_from(given).ok()
                }
                _ => None,
            }
        });
        let asked = asked.map(|asked| usize::try_from(asked).unwrap_or(0));
        asked.unwrap_or(USUAL_PAGE).min(LARGEST_PAGE)
    }
}
