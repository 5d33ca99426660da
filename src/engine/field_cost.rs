//! The costs that a schema declares for its fields.

/// A field and its maximum cost, which the schema declares next to the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldCost {
    /// Name of the object type.
    pub ty: &'static str,
    /// Name of the field.
    pub field: &'static str,
    /// Maximum cost.
    pub cost: DeclaredCost,
}

impl FieldCost {
    /// Declares the cost of a field of an object type.
    pub const fn new(ty: &'static str, field: &'static str, cost: DeclaredCost) -> Self {
        Self { ty, field, cost }
    }
}

/// The maximum cost of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclaredCost {
    /// A value of at most this number of bytes.
    Bytes(usize),
    /// A connection. `first` or `last` is the number of items of a page.
    Page {
        /// Number of items without `first` and `last`.
        default: usize,
        /// Maximum number of items.
        max: usize,
    },
}
