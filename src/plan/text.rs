//! A plan as a table of text.

use super::{Plan, Resource};
use std::fmt;

impl fmt::Display for Plan {
    /// A line of totals, then a row per dispatch: node, kernel, workgroups, what it reads and what it writes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dispatches, slots) = (self.dispatches.len(), self.slots.len());
        let (bytes, weights) = (self.memory.slots, self.memory.weights);
        writeln!(f, "{dispatches} dispatches; {bytes} bytes in {slots} slots, {weights} bytes of weights")?;
        let mut rows = vec![["node", "kernel", "workgroups", "bindings"].map(String::from)];
        for dispatch in &self.dispatches {
            let (written, read): (Vec<_>, Vec<_>) = dispatch.bindings.iter().partition(|r| r.is_written());
            let names = |all: Vec<&Resource>| all.iter().map(|r| self.name_of(r)).collect::<Vec<_>>().join(", ");
            rows.push([
                dispatch.label.clone(),
                dispatch.kernel.to_string(),
                dispatch.workgroups.map(|n| n.to_string()).join(" x "),
                format!("{} -> {}", names(read), names(written)),
            ]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let [node, kernel, workgroups] = [0, 1, 2].map(width);
        for [a, b, c, d] in &rows {
            writeln!(f, "{a:<node$}  {b:<kernel$}  {c:<workgroups$}  {d}")?;
        }
        Ok(())
    }
}

impl Plan {
    /// A binding in the table: inputs, outputs and variables by name, slots with the range of bytes.
    fn name_of(&self, resource: &Resource) -> String {
        let named = |name: Option<&str>, kind: &str, i: usize| name.map_or(format!("{kind} {i}"), String::from);
        match *resource {
            Resource::Slot { slot, offset, bytes, .. } => {
                format!("slot {slot} [{offset}..{}]", offset.saturating_add(bytes))
            }
            Resource::Weights(w) => format!("weights {w}"),
            Resource::IoBinding { io_binding, .. } => {
                let name = self.io.get(io_binding).and_then(|b| b.names.first());
                named(name.map(String::as_str), "io", io_binding)
            }
            Resource::Variable { variable, .. } => {
                named(self.variables.get(variable).map(|v| v.name.as_str()), "variable", variable)
            }
            Resource::Overflow(node) => format!("overflow {node}"),
        }
    }
}

impl Resource {
    /// Whether the kernel may write it.
    fn is_written(&self) -> bool {
        match *self {
            Self::Slot { writes, .. } | Self::IoBinding { writes, .. } | Self::Variable { writes, .. } => writes,
            Self::Weights(_) => false,
            Self::Overflow(_) => true,
        }
    }
}
