//! `select` of tuning stages.

use super::Reader;
use crate::plan::params::{SelectBy, SelectParams};
use crate::spec::{Fields, Node};

impl Reader<'_> {
    pub(super) fn select(&mut self, node: &Node) -> Option<SelectParams> {
        let mut fields = Fields::of(node, "select", self.diagnostics);
        let by = [
            ("frontier", SelectBy::Frontier),
            ("normalized_average", SelectBy::NormalizedAverage),
        ];
        let by = fields.choice("by", &by, SelectBy::Frontier, self.diagnostics);
        let on = self.foreign(&mut fields, "select", 32);
        fields.finish(self.diagnostics);
        Some(SelectParams { by, on: on? })
    }
}
