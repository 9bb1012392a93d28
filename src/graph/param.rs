//! Parameters: read from a checkpoint, or computed from other parameters when weights are loaded.

use super::{Formula, ValueId};
use crate::error::{Error, Result};
use crate::tensor::HostTensor;
use serde::{Deserialize, Serialize};

/// A parameter of the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Dimensions as in the checkpoint (rank 1 to 4).
    pub dims: Vec<usize>,
    /// Source of its elements.
    pub source: ParamSource,
}

/// Source of a parameter's elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ParamSource {
    /// The checkpoint, under the value's name.
    Stored,
    /// Other parameters.
    Derived(Derived),
}

/// How a parameter is computed from others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Derived {
    /// The parameters it is computed from.
    pub from: Vec<ValueId>,
    /// The computation.
    pub formula: Formula,
}

impl Parameter {
    /// The parameters this one is computed from.
    pub fn sources(&self) -> impl Iterator<Item = ValueId> {
        let from = match &self.source {
            ParamSource::Stored => &[][..],
            ParamSource::Derived(d) => &d.from,
        };
        from.iter().copied()
    }

    /// The same with other ids for its sources.
    #[must_use]
    pub fn mapped(&self, f: impl Fn(ValueId) -> ValueId) -> Self {
        let source = match &self.source {
            ParamSource::Stored => ParamSource::Stored,
            ParamSource::Derived(d) => ParamSource::Derived(Derived {
                from: d.from.iter().map(|&v| f(v)).collect(),
                formula: d.formula.clone(),
            }),
        };
        Self { dims: self.dims.clone(), source }
    }

    /// The elements: from `stored` by name, or computed from the values evaluated before.
    pub fn evaluate(
        &self,
        name: &str,
        values: &[Option<HostTensor>],
        stored: &mut impl FnMut(&str, &[usize]) -> Result<HostTensor>,
    ) -> Result<HostTensor> {
        match &self.source {
            ParamSource::Stored => stored(name, &self.dims),
            ParamSource::Derived(d) => {
                let from: Option<Vec<&HostTensor>> = d.from.iter().map(|v| values[v.index()].as_ref()).collect();
                d.formula.evaluate(
                    &from.ok_or_else(|| Error::invalid(format!("parameter `{name}`"), "its source is not loaded"))?,
                )
            }
        }
    }
}
