//! Counts the selections of a document with its fragments expanded. The time is
//! linear in the size of the document, because each fragment is counted once.

use std::collections::HashMap;

use apollo_compiler::Name;
use apollo_compiler::ast::{Definition, Document, FragmentDefinition, Selection};

/// Maximum nesting depth of selections, with fragments expanded. The limit
/// bounds the use of the stack, because all code that processes an operation
/// recurses to this depth. apollo-compiler's own limit for nested fragments is
/// higher.
pub(super) const MAX_LEVELS: usize = 90;

/// The introspection fields.
const SCHEMA: [&str; 2] = ["__schema", "__type"];
/// The list fields of introspection types that lead to other types.
const SCHEMA_LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

/// The size of a selection set, with its fragments expanded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DocumentSize {
    pub selections: usize,
    pub aliases: usize,
    /// Number of fields directly in the set.
    pub fields: usize,
    pub depth: usize,
    pub introspection_depth: usize,
    /// Nesting depth of selections, including fragments.
    pub levels: usize,
    /// Nesting depth of introspection lists.
    pub lists: usize,
    /// Whether the set itself has a field other than introspection and
    /// `__typename`.
    pub has_other_fields: bool,
    /// Whether the set contains `__schema` or `__type`.
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
        self.has_other_fields |= other.has_other_fields;
        self.schema |= other.schema;
    }
}

/// Counts the selections of a document, and each fragment only once.
pub(super) struct SizeCounter<'a> {
    fragments: HashMap<&'a Name, &'a FragmentDefinition>,
    counted: HashMap<&'a Name, DocumentSize>,
    /// Number of selections that were visited.
    pub steps: usize,
}

impl<'a> SizeCounter<'a> {
    pub fn new(document: &'a Document) -> Self {
        let fragments = document.definitions.iter();
        let fragments = fragments.filter_map(Definition::as_fragment_definition);
        let fragments = fragments.map(|fragment| (&fragment.name, &**fragment));
        Self {
            fragments: fragments.collect(),
            counted: HashMap::new(),
            steps: 0,
        }
    }

    /// Counts selections. Stops at the maximum nesting depth, which is enough
    /// to reject the document.
    pub fn selections(&mut self, selections: &'a [Selection], deep: usize) -> DocumentSize {
        let mut size = DocumentSize::default();
        if deep > MAX_LEVELS {
            size.levels = 1;
            return size;
        }
        for selection in selections {
            self.steps += 1;
            size.selections = size.selections.saturating_add(1);
            match selection {
                Selection::Field(field) => {
                    let below = self.selections(&field.selection_set, deep + 1);
                    let name = field.name.as_str();
                    let of_schema = name.starts_with("__");
                    let deep = below.depth.saturating_add(1);
                    size.add(DocumentSize {
                        fields: 1,
                        aliases: below.aliases.saturating_add(field.alias.is_some().into()),
                        depth: if of_schema { 1 } else { deep },
                        introspection_depth: if of_schema {
                            deep
                        } else {
                            below.introspection_depth
                        },
                        lists: below.lists + usize::from(SCHEMA_LISTS.contains(&name)),
                        has_other_fields: !SCHEMA.contains(&name) && name != "__typename",
                        schema: SCHEMA.contains(&name) || below.schema,
                        ..below
                    });
                }
                Selection::InlineFragment(inline) => {
                    let below = self.selections(&inline.selection_set, deep + 1);
                    size.add(below);
                }
                Selection::FragmentSpread(spread) => {
                    size.add(self.fragment(&spread.fragment_name, deep + 1));
                }
            }
        }
        size.levels += 1;
        size
    }

    pub fn fragment(&mut self, name: &'a Name, deep: usize) -> DocumentSize {
        if let Some(size) = self.counted.get(name) {
            return *size;
        }
        // Validation rejects a fragment that contains itself.
        self.counted.insert(name, DocumentSize::default());
        let size = match self.fragments.get(name).copied() {
            Some(fragment) => self.selections(&fragment.selection_set, deep),
            // Validation rejects an unknown fragment.
            None => DocumentSize {
                has_other_fields: true,
                ..DocumentSize::default()
            },
        };
        self.counted.insert(name, size);
        size
    }
}

#[cfg(test)]
mod tests {
    use apollo_compiler::parser::Parser;

    use super::*;

    /// Returns the size of a document, and the number of steps.
    fn counted(text: &str) -> (DocumentSize, usize) {
        let document = Parser::new().parse_ast(text, "document");
        let document = document.expect("a document");
        let mut definitions = document.definitions.iter();
        let operation = definitions.find_map(Definition::as_operation_definition);
        let mut counting = SizeCounter::new(&document);
        let size = counting.selections(&operation.expect("an operation").selection_set, 0);
        (size, counting.steps)
    }

    #[test]
    fn fragments_are_expanded_in_the_count_and_not_in_the_steps() {
        let (size, steps) =
            counted("{ a ...f b: c { ...f } } fragment f on T { x y: z { w } ... on T { v } }");
        assert_eq!((size.selections, size.aliases), (14, 3));
        assert_eq!((size.fields, size.depth), (5, 3));
        assert_eq!(steps, 9, "each selection of the document once");

        let doubling = (0..60).map(|number| {
            let next = number + 1;
            format!("fragment f{number} on T {{ ...f{next} ...f{next} }}")
        });
        let doubling: Vec<String> = doubling.collect();
        let doubling = doubling.join(" ");
        let (size, steps) = counted(&format!("{{ ...f0 }} {doubling} fragment f60 on T {{ a }}"));
        assert!(size.selections > 1 << 60);
        assert_eq!(steps, 1 + 60 * 2 + 1);
    }

    #[test]
    fn nested_fragments_count_with_their_expanded_depth() {
        let chain = |links: usize, inline: usize| {
            let inside = format!("{}LINK{}", "...{".repeat(inline), "}".repeat(inline));
            // Spread in reverse order, so that each fragment is counted before
            // it is needed.
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
        assert!(levels(10, 5) <= MAX_LEVELS);
        assert!(levels(60, 10) > MAX_LEVELS);
        assert!(levels(100, 0) > MAX_LEVELS);
        assert!(levels(300, 1) > MAX_LEVELS);
        assert!(levels(20, 190) > MAX_LEVELS);
    }

    #[test]
    fn fragment_cycle_is_counted_in_finite_time() {
        let (size, steps) = counted("{ ...f } fragment f on T { a ...g } fragment g on T { ...f }");
        assert_eq!((size.selections, steps), (4, 4));
    }
}
