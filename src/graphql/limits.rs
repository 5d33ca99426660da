//! How much an operation may ask for, known before anything of it is executed.
//!
//! async-graphql compares depth and complexity after it has expanded every
//! fragment: some hundred bytes of fragments in fragments would cost it
//! seconds and hundreds of megabytes. Here each fragment is counted once, so
//! that the time is linear in the document.

use std::collections::HashMap;

use apollo_compiler::Name;
use apollo_compiler::ast::{Definition, Document, FragmentDefinition, Selection};
use apollo_compiler::executable::{self, ExecutableDocument};
use apollo_compiler::response::JsonMap;

/// The most of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a document.
    pub document_bytes: usize,
    /// Tokens of a document.
    pub tokens: usize,
    /// Selections of an operation, with its fragments expanded.
    pub selections: usize,
    /// Aliases of an operation, with its fragments expanded.
    pub aliases: usize,
    /// Fields at the root of an operation, with its fragments expanded.
    pub root_fields: usize,
    /// Fields inside of each other.
    pub depth: usize,
    /// The same below `__schema` and `__type`.
    pub introspection_depth: usize,
    /// Objects that an operation can answer, by the sizes that it asks for.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 32 * 1024,
            tokens: 4000,
            selections: 1000,
            aliases: 30,
            root_fields: 20,
            depth: 10,
            introspection_depth: 20,
            nodes: 5000,
        }
    }
}

/// The lists of the schema's own types that lead to other types, and how many
/// of them may be inside of each other: each multiplies the answer.
const SCHEMA_LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];
const MOST_LISTS: usize = 3;

/// How deep selections may be inside of each other, with fragments expanded:
/// everything that goes through an operation goes down as deep.
const MOST_LEVELS: usize = 200;

/// How many items a connection gives when it is not asked for a number, and at
/// most.
const USUAL_PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;

/// A limit that is passed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The operation has {value} {what}, and {most} are the most. Ask for less at a time.")]
pub(super) struct Exceeded {
    what: &'static str,
    value: usize,
    most: usize,
}

fn within(what: &'static str, value: usize, most: usize) -> Result<(), Exceeded> {
    if value <= most {
        Ok(())
    } else {
        Err(Exceeded { what, value, most })
    }
}

impl Limits {
    /// Whether a text may be parsed at all.
    pub(super) fn check_bytes(&self, document: &str) -> Result<(), Exceeded> {
        within("bytes", document.len(), self.document_bytes)
    }

    /// Whether a document may be looked at more closely: all of its operations
    /// together, since all of them are validated, and each fragment.
    pub(super) fn check_shape(&self, document: &Document) -> Result<(), Exceeded> {
        let mut counting = Counting::new(document);
        let mut shape = Shape::default();
        for definition in &document.definitions {
            match definition {
                Definition::OperationDefinition(operation) => {
                    shape.add(counting.selections(&operation.selection_set, 0));
                }
                Definition::FragmentDefinition(fragment) => {
                    self.check(counting.fragment(&fragment.name, 0))?;
                }
                _ => {}
            }
        }
        tracing::trace!(steps = counting.steps, ?shape, "a document was counted");
        self.check(shape)
    }

    fn check(&self, shape: Shape) -> Result<(), Exceeded> {
        within("levels of selections", shape.levels, MOST_LEVELS)?;
        within("selections", shape.selections, self.selections)?;
        within("aliases", shape.aliases, self.aliases)?;
        within("fields at its root", shape.fields, self.root_fields)?;
        within("levels of fields", shape.depth, self.depth)?;
        within(
            "levels of fields of the schema",
            shape.introspection_depth,
            self.introspection_depth,
        )?;
        within(
            "lists of the schema inside of each other",
            shape.lists,
            MOST_LISTS,
        )
    }

    /// Whether an operation may be executed with these variables.
    pub(super) fn check_nodes(
        &self,
        document: &ExecutableDocument,
        operation: &executable::SelectionSet,
        variables: &JsonMap,
    ) -> Result<(), Exceeded> {
        let mut estimate = Estimate {
            document,
            variables,
            of_fragments: HashMap::new(),
        };
        let nodes = estimate.selections(operation).of_size(LARGEST_PAGE);
        within("objects to answer", nodes, self.nodes)
    }
}

/// What a selection set adds up to, with its fragments expanded.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    selections: usize,
    aliases: usize,
    /// Fields of the set itself, not those below them.
    fields: usize,
    depth: usize,
    introspection_depth: usize,
    /// How deep selections, fragments too, are inside of each other.
    levels: usize,
    /// How many lists of the schema are inside of each other.
    lists: usize,
}

impl Shape {
    fn add(&mut self, other: Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.fields = self.fields.saturating_add(other.fields);
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.levels = self.levels.max(other.levels);
        self.lists = self.lists.max(other.lists);
    }
}

struct Counting<'a> {
    fragments: HashMap<&'a Name, &'a FragmentDefinition>,
    counted: HashMap<&'a Name, Shape>,
    /// How many selections were looked at.
    steps: usize,
}

impl<'a> Counting<'a> {
    fn new(document: &'a Document) -> Self {
        let definitions = document.definitions.iter();
        let fragments = definitions.filter_map(|definition| match definition {
            Definition::FragmentDefinition(fragment) => Some((&fragment.name, &**fragment)),
            _ => None,
        });
        Self {
            fragments: fragments.collect(),
            counted: HashMap::new(),
            steps: 0,
        }
    }

    /// Goes no deeper than it has to, to see that it is too deep.
    fn selections(&mut self, selections: &'a [Selection], deep: usize) -> Shape {
        let mut shape = Shape::default();
        if deep > MOST_LEVELS {
            shape.levels = 1;
            return shape;
        }
        for selection in selections {
            self.steps += 1;
            shape.selections = shape.selections.saturating_add(1);
            match selection {
                Selection::Field(field) => {
                    let below = self.selections(&field.selection_set, deep + 1);
                    let of_schema = field.name.starts_with("__");
                    let deep = below.depth.saturating_add(1);
                    shape.add(Shape {
                        fields: 1,
                        aliases: below.aliases.saturating_add(field.alias.is_some().into()),
                        depth: if of_schema { 1 } else { deep },
                        introspection_depth: if of_schema {
                            deep
                        } else {
                            below.introspection_depth
                        },
                        lists: below.lists
                            + usize::from(SCHEMA_LISTS.contains(&field.name.as_str())),
                        ..below
                    });
                }
                Selection::InlineFragment(inline) => {
                    let below = self.selections(&inline.selection_set, deep + 1);
                    shape.add(below);
                }
                Selection::FragmentSpread(spread) => {
                    shape.add(self.fragment(&spread.fragment_name, deep + 1));
                }
            }
        }
        shape.levels += 1;
        shape
    }

    fn fragment(&mut self, name: &'a Name, deep: usize) -> Shape {
        if let Some(shape) = self.counted.get(name) {
            return *shape;
        }
        // One that contains itself is for validation to refuse.
        self.counted.insert(name, Shape::default());
        let fragment = self.fragments.get(name).copied();
        let shape = fragment.map_or_else(Shape::default, |fragment| {
            self.selections(&fragment.selection_set, deep)
        });
        self.counted.insert(name, shape);
        shape
    }
}

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

struct Estimate<'a> {
    document: &'a ExecutableDocument,
    variables: &'a JsonMap,
    of_fragments: HashMap<&'a Name, Nodes>,
}

impl<'a> Estimate<'a> {
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

#[cfg(test)]
mod tests {
    use apollo_compiler::parser::Parser;

    use super::*;

    /// What a document is counted as, and in how many steps.
    fn counted(text: &str) -> (Shape, usize) {
        let document = Parser::new().parse_ast(text, "document");
        let document = document.expect("a document");
        let operation = document.definitions.iter().find_map(|definition| {
            let Definition::OperationDefinition(operation) = definition else {
                return None;
            };
            Some(operation)
        });
        let mut counting = Counting::new(&document);
        let shape = counting.selections(&operation.expect("an operation").selection_set, 0);
        (shape, counting.steps)
    }

    #[test]
    fn fragments_are_expanded_in_the_count_and_not_in_the_steps() {
        let (shape, steps) =
            counted("{ a ...f b: c { ...f } } fragment f on T { x y: z { w } ... on T { v } }");
        assert_eq!((shape.selections, shape.aliases), (14, 3));
        assert_eq!((shape.fields, shape.depth), (5, 3));
        assert_eq!(steps, 9, "each selection of the document once");

        let doubling = (0..60).map(|number| {
            let next = number + 1;
            format!("fragment f{number} on T {{ ...f{next} ...f{next} }}")
        });
        let doubling: Vec<String> = doubling.collect();
        let doubling = doubling.join(" ");
        let (shape, steps) = counted(&format!("{{ ...f0 }} {doubling} fragment f60 on T {{ a }}"));
        assert!(shape.selections > 1 << 60);
        assert_eq!(steps, 1 + 60 * 2 + 1);
    }

    #[test]
    fn fragments_inside_of_fragments_are_as_deep_as_they_are_expanded() {
        let chain = |links: usize, inline: usize| {
            let inside = format!("{}LINK{}", "...{".repeat(inline), "}".repeat(inline));
            // Counted from the end: each fragment is there before it is needed.
            let spreads: String = (0..links)
                .rev()
                .map(|number| inside.replace("LINK", &format!("...f{number} ")))
                .collect();
            let fragments = (0..links).map(|number| {
                let link = inside.replace("LINK", &format!("...f{}", number + 1));
                format!("fragment f{number} on T {{ {link} }}")
            });
            let fragments: Vec<String> = fragments.collect();
            format!(
                "{{ {spreads} }} {} fragment f{links} on T {{ a }}",
                fragments.join(" ")
            )
        };
        let levels = |links, inline| counted(&chain(links, inline)).0.levels;
        assert!(levels(10, 5) <= MOST_LEVELS);
        assert!(levels(60, 10) > MOST_LEVELS);
        assert!(levels(300, 1) > MOST_LEVELS);
        assert!(levels(20, 190) > MOST_LEVELS);
    }

    #[test]
    fn a_fragment_in_itself_ends() {
        let (shape, steps) =
            counted("{ ...f } fragment f on T { a ...g } fragment g on T { ...f }");
        assert_eq!((shape.selections, steps), (4, 4));
    }
}
