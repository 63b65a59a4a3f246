//! Where a value lies in the data, kept on the stack and written out only when it is told.

/// How much of a member's name is told.
const SHOWN_CHARACTERS_MAX: usize = 200;

/// A value's place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    above: Option<&'p Self>,
    step: Step<'p>,
    depth: usize,
}

/// One step into a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'p> {
    /// A member that the schema names.
    Member(&'p str),
    /// A member of any name.
    Entry(&'p str),
    Element(usize),
}

impl Place<'static> {
    /// The data itself.
    pub(super) const DATA: Self = Self { above: None, step: Step::Member("data"), depth: 0 };
}

impl<'p> Place<'p> {
    pub(super) const fn below(&'p self, step: Step<'p>) -> Self {
        Self { above: Some(self), step, depth: self.depth + 1 }
    }

    pub(super) const fn depth(&self) -> usize {
        self.depth
    }

    /// As a pointer into the event.
    pub(super) fn pointer(&self) -> String {
        let mut pointer = self.above.map(Place::pointer).unwrap_or_default();
        pointer.push('/');
        match self.step {
            Step::Member(name) | Step::Entry(name) => {
                let name: String = name.chars().take(SHOWN_CHARACTERS_MAX).collect();
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            }
            Step::Element(index) => pointer.push_str(&index.to_string()),
        }
        pointer
    }

    /// The same with `*` for what the schema does not name.
    pub(super) fn in_schemas_names(&self) -> String {
        let above = self.above.map(Place::in_schemas_names).unwrap_or_default();
        match self.step {
            Step::Member(_) => {
                let own = Place { above: None, ..*self };
                above + &own.pointer()
            }
            Step::Entry(_) | Step::Element(_) => above + "/*",
        }
    }
}
