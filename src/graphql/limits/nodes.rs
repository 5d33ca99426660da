//! How many objects an operation can answer, by the sizes that it asks for.

use std::collections::HashMap;

use apollo_compiler::Name;
use apollo_compiler::executable::{self, ExecutableDocument};
use apollo_compiler::response::JsonMap;

/// How many items a connection gives when it is not asked for a number, and at
/// most.
const USUAL_PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;

/// How many objects a selection set stands for: so many, and so many more for
/// each item of the page that it is part of.
#[derive(Clone, Copy, Debug, Default)]
struct Nodes {
    fixed: usize,
    per_item: usize,
}

impl Nodes {
    fn of_size(self, items: usize) -> usize {
        self.fixed
            .saturating_add(self.per_item.saturating_mul(items))
    }

    fn add(&mut self, other: Self) {
        self.fixed = self.fixed.saturating_add(other.fixed);
        self.per_item = self.per_item.saturating_add(other.per_item);
    }
}

/// Goes through an operation, each fragment once.
pub(super) struct Estimate<'a> {
    document: &'a ExecutableDocument,
    variables: &'a JsonMap,
    of_fragments: HashMap<&'a Name, Nodes>,
}

impl<'a> Estimate<'a> {
    pub fn new(document: &'a ExecutableDocument, variables: &'a JsonMap) -> Self {
        Self {
            document,
            variables,
            of_fragments: HashMap::new(),
        }
    }

    /// How many objects an operation can answer.
    pub fn nodes(&mut self, operation: &'a executable::SelectionSet) -> usize {
        self.selections(operation).of_size(LARGEST_PAGE)
    }

    fn selections(&mut self, set: &'a executable::SelectionSet) -> Nodes {
        let mut nodes = Nodes::default();
        for selection in &set.selections {
            match selection {
                executable::Selection::Field(field) => nodes.add(self.field(field)),
                executable::Selection::InlineFragment(inline) => {
                    nodes.add(self.selections(&inline.selection_set));
                }
                executable::Selection::FragmentSpread(spread) => {
                    nodes.add(self.fragment(&spread.fragment_name));
                }
            }
        }
        nodes
    }

    fn field(&mut self, field: &'a executable::Field) -> Nodes {
        // The schema has a size of its own.
        if field.selection_set.selections.is_empty() || field.name.starts_with("__") {
            return Nodes::default();
        }
        let below = self.selections(&field.selection_set);
        let is_connection = field.definition.argument_by_name("first").is_some();
        if is_connection {
            let items = self.page_size(field);
            return Nodes {
                fixed: below.of_size(items).saturating_add(1),
                per_item: 0,
            };
        }
        let one = below.fixed.saturating_add(1);
        if field.definition.ty.is_list() {
            Nodes {
                fixed: 0,
                per_item: one.saturating_add(below.per_item),
            }
        } else {
            Nodes {
                fixed: one,
                ..below
            }
        }
    }

    fn fragment(&mut self, name: &'a Name) -> Nodes {
        if let Some(nodes) = self.of_fragments.get(name) {
            return *nodes;
        }
        self.of_fragments.insert(name, Nodes::default());
        let fragment = self.document.fragments.get(name);
        let nodes = fragment.map_or_else(Nodes::default, |fragment| {
            self.selections(&fragment.selection_set)
        });
        self.of_fragments.insert(name, nodes);
        nodes
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
