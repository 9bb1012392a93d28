//! What a plan that was read back may get wrong: indices of what it does not have.

use super::{Plan, Resource};
use crate::error::{Error, Result};
use std::collections::BTreeSet;

/// Maximum number of values of a graph: many times that of the largest networks.
const MAX_VALUES: usize = 1 << 20;

impl Plan {
    /// Fails where a dispatch, a parameter or packed weights refer to something that the plan does not have.
    pub(crate) fn check_references(&self) -> Result<()> {
        for dispatch in &self.dispatches {
            let missing = |r: &&Resource| match **r {
                Resource::Slot { slot, offset, bytes, .. } => {
                    let end = offset.checked_add(bytes);
                    self.slots.get(slot).is_none_or(|s| end.is_none_or(|end| end > s.bytes))
                }
                Resource::Weights(w) => w >= self.weights.len(),
                Resource::IoBinding { io_binding, .. } => io_binding >= self.io.len(),
                Resource::Variable { variable, .. } => variable >= self.variables.len(),
                Resource::Overflow(node) => node >= self.nodes.len(),
            };
            if let Some(r) = dispatch.bindings.iter().find(missing) {
                return Err(Error::op(&dispatch.label, format!("binds {r:?}, which the plan does not have")));
            }
            if dispatch.node >= self.nodes.len() {
                return Err(Error::op(&dispatch.label, format!("is of node {}, which is not there", dispatch.node)));
            }
        }
        let values = self.parameters.iter().map(|p| p.value).chain(self.variables.iter().map(|v| v.value));
        if let Some(v) = values.max().filter(|v| v.index() >= MAX_VALUES) {
            return Err(Error::invalid("plan", format!("numbers a value {}, more than {MAX_VALUES}", v.index())));
        }
        let mut known = BTreeSet::new();
        for p in &self.parameters {
            if let Some(v) = p.parameter.sources().find(|v| !known.contains(v)) {
                let reason = format!("is computed from {v:?}, which is not a parameter before it");
                return Err(Error::invalid(format!("parameter `{}`", p.name), reason));
            }
            known.insert(p.value);
        }
        known.extend(self.variables.iter().map(|v| v.value));
        if self.weights.iter().flat_map(|w| &w.from).any(|v| !known.contains(v)) {
            return Err(Error::invalid("plan", "packs weights of a value that is not a parameter"));
        }
        Ok(())
    }
}
