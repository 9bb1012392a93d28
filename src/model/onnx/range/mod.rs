//! Infers the meaning of a network's output from the network alone, by interval arithmetic from input to output.
//!
//! `poly` represents the bounds of values, `pointwise` and `moved` propagate them through operations, and `linear`
//! bounds convolutions.

mod linear;
mod moved;
mod nodes;
mod pointwise;
mod poly;
mod reading;

pub(super) use reading::{Meaning, Reading};

use crate::graph::{Graph, ValueId, ValueKind};
use crate::tensor::HostTensor;
use crate::weights::Weights;
use poly::{Info, Knowledge, Poly};
use std::collections::HashMap;
use std::sync::Arc;

/// Maximum number of parameter elements read: those of the largest networks.
const MAX: usize = 1 << 28;
/// Maximum number of elements of a parameter that is cached.
const MAX_CACHED: usize = 1 << 16;

/// A factor in 0..1, and the bounds of the other factor.
type Share = (Poly, [f64; 2]);

/// The known properties of a value of the graph.
#[derive(Clone, Debug)]
struct Known {
    value: Poly,
    /// Number of channels and value of each concatenated part.
    parts: Vec<(usize, Poly)>,
    /// Factors in 0..1, with the bounds of the other factor.
    shares: Vec<Share>,
}

impl Known {
    fn plain(value: Poly) -> Self {
        Self { value, parts: Vec::new(), shares: Vec::new() }
    }
}

/// State of the analysis.
struct Analysis<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    known: Knowledge,
    values: HashMap<ValueId, Known>,
    parameters: HashMap<ValueId, Option<Arc<HostTensor>>>,
    /// Remaining number of parameter elements that may be read.
    left: usize,
}

/// Infers the meaning of `output` of a graph.
pub(super) fn read(graph: &Graph, weights: &Weights, output: ValueId) -> Reading {
    let mut analysis = Analysis {
        graph,
        weights,
        known: Knowledge::default(),
        values: HashMap::new(),
        parameters: HashMap::new(),
        left: MAX,
    };
    for node in graph.nodes() {
        let first = analysis.node(node);
        for (i, &v) in node.outputs.iter().enumerate() {
            let known = if i == 0 { first.clone() } else { analysis.unknown(v) };
            analysis.values.insert(v, known);
        }
        if node.outputs.contains(&output) {
            break;
        }
    }
    let value = analysis.value(output);
    analysis.reading(&value.value, graph.shape(output).c)
}

impl Analysis<'_> {
    /// An unbounded value.
    fn unknown(&mut self, v: ValueId) -> Known {
        let channels = self.graph.shape(v).c;
        let key = format!("value {}", v.index());
        let a = self.known.atom(key, |_| Info::within(f64::NEG_INFINITY, f64::INFINITY, channels));
        Known::plain(Poly::atom(a))
    }

    /// The known properties of a value; those of a parameter follow from its elements.
    fn value(&mut self, v: ValueId) -> Known {
        if let Some(known) = self.values.get(&v) {
            return known.clone();
        }
        let elements = self.parameter(v).filter(|t| !t.data().is_empty());
        let Some(t) = elements else { return self.unknown(v) };
        let range = t
            .data()
            .iter()
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[lo, hi], &v| [lo.min(v.into()), hi.max(v.into())]);
        let value = if range[0] == range[1] {
            Poly::constant(range[0])
        } else {
            let channels = self.graph.shape(v).c;
            Poly::atom(self.known.atom(format!("value {}", v.index()), |_| Info::within(range[0], range[1], channels)))
        };
        let known = Known::plain(value);
        self.values.insert(v, known.clone());
        known
    }

    /// The elements of a parameter.
    fn parameter(&mut self, v: ValueId) -> Option<Arc<HostTensor>> {
        if let Some(known) = self.parameters.get(&v) {
            return known.clone();
        }
        let value = self.graph.value(v);
        let ValueKind::Parameter(p) = &value.kind else { return None };
        let elements = p.dims.iter().product::<usize>();
        self.left = self.left.checked_sub(elements)?;
        let (name, from) = (value.name.clone(), p.sources().collect::<Vec<_>>());
        let sources: Option<Vec<_>> = from.iter().map(|&v| self.parameter(v)).collect();
        let sources = sources?;
        let mut values = vec![None; from.iter().map(|v| v.index() + 1).max().unwrap_or(0)];
        for (v, t) in from.iter().zip(&sources) {
            values[v.index()] = Some((**t).clone());
        }
        let weights = self.weights;
        let mut stored = |key: &str, dims: &[usize]| weights.require(key, dims).cloned();
        let found = p.evaluate(&name, &values, &mut stored).ok().map(Arc::new);
        // Large ones are not cached, as they are read once.
        if elements <= MAX_CACHED {
            self.parameters.insert(v, found.clone());
        }
        found
    }
}
