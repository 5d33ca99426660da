//! What a document adds up to, in time linear in it: each fragment is counted
//! once.

use std::collections::HashMap;

use apollo_compiler::Name;
use apollo_compiler::ast::{Definition, Document, FragmentDefinition, Selection};

/// How deep selections may be inside of each other, with fragments expanded:
/// everything that goes through an operation goes down as deep. The validation
/// of fragments in fragments has an end of its own behind this.
pub(super) const MOST_LEVELS: usize = 90;

/// The fields that ask for the schema.
const SCHEMA: [&str; 2] = ["__schema", "__type"];
/// The lists of the schema's own types that lead to other types.
const SCHEMA_LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

/// What a selection set adds up to, with its fragments expanded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DocumentSize {
    pub selections: usize,
    pub aliases: usize,
    /// Fields of the set itself, not those below them.
    pub fields: usize,
    pub depth: usize,
    pub introspection_depth: usize,
    /// How deep selections, fragments too, are inside of each other.
    pub levels: usize,
    /// How many lists of the schema are inside of each other.
    pub lists: usize,
    /// Whether the set itself has a field that is not about the schema.
    pub beside_schema: bool,
    /// Whether the schema is asked for, beside the name of a type.
    pub schema: bool,
}

impl DocumentSize {
    pub fn add(&mut self, other: Self) {
        self.selections = self.selections.saturating_add(other.selections);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.fields = self.fields.saturating_add(other.fields);
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.levels = self.levels.max(other.levels);
        self.lists = self.lists.max(other.lists);
        self.beside_schema |= other.beside_schema;
        self.schema |= other.schema;
    }
}

/// Goes through a document, each fragment once.
pub(super) struct SizeCounter<'a> {
    fragments: HashMap<&'a Name, &'a FragmentDefinition>,
    counted: HashMap<&'a Name, DocumentSize>,
    /// How many selections were looked at.
    pub steps: usize,
}

impl<'a> SizeCounter<'a> {
    pub fn new(document: &'a Document) -> Self {
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
    pub fn selections(&mut self, selections: &'a [Selection], deep: usize) -> DocumentSize {
        let mut shape = DocumentSize::default();
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
                    let name = field.name.as_str();
                    let of_schema = name.starts_with("__");
                    let deep = below.depth.saturating_add(1);
                    shape.add(DocumentSize {
                        fields: 1,
                        aliases: below.aliases.saturating_add(field.alias.is_some().into()),
                        depth: if of_schema { 1 } else { deep },
                        introspection_depth: if of_schema {
                            deep
                        } else {
                            below.introspection_depth
                        },
                        lists: below.lists + usize::from(SCHEMA_LISTS.contains(&name)),
                        beside_schema: !SCHEMA.contains(&name) && name != "__typename",
                        schema: SCHEMA.contains(&name) || below.schema,
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

    pub fn fragment(&mut self, name: &'a Name, deep: usize) -> DocumentSize {
        if let Some(shape) = self.counted.get(name) {
            return *shape;
        }
        // One that contains itself is for validation to refuse.
        self.counted.insert(name, DocumentSize::default());
        let shape = match self.fragments.get(name).copied() {
            Some(fragment) => self.selections(&fragment.selection_set, deep),
            // Nobody knows what it is to be.
            None => DocumentSize {
                beside_schema: true,
                ..DocumentSize::default()
            },
        };
        self.counted.insert(name, shape);
        shape
    }
}

#[cfg(test)]
mod tests {
    use apollo_compiler::parser::Parser;

    use super::*;

    /// What a document is counted as, and in how many steps.
    fn counted(text: &str) -> (DocumentSize, usize) {
        let document = Parser::new().parse_ast(text, "document");
        let document = document.expect("a document");
        let operation = document.definitions.iter().find_map(|definition| {
            let Definition::OperationDefinition(operation) = definition else {
                return None;
            };
            Some(operation)
        });
        let mut counting = SizeCounter::new(&document);
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
        assert!(levels(100, 0) > MOST_LEVELS);
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
