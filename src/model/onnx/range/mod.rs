//! What a network's output is, from the network alone: interval arithmetic from its input to the output.
//!
//! `poly` holds what is known of values, `pointwise` and `moved` what operations make of them, `linear` bounds
//! convolutions.

mod linear;
mod moved;
mod nodes;
mod pointwise;
mod poly;
mod reading;

pub use reading::{Meaning, Reading};

use crate::graph::{Graph, ValueId, ValueKind};
use crate::tensor::HostTensor;
use crate::weights::Weights;
use poly::{About, Knowledge, Poly};
use std::collections::HashMap;
use std::sync::Arc;

/// Most elements of parameters that are looked at: those of the largest networks.
const MAX: usize = 1 << 28;
/// Elements of a parameter that is kept.
const KEPT: usize = 1 << 16;

/// A factor in 0..1, and the bounds of what it is of.
type Share = (Poly, [f64; 2]);

/// What is known of a value of the graph.
#[derive(Clone, Debug)]
struct Known {
    value: Poly,
    /// Channels and values of what it was joined from.
    parts: Vec<(usize, Poly)>,
    /// Factors in 0..1 and the bounds of what they were multiplied with.
    shares: Vec<Share>,
}

impl Known {
    fn plain(value: Poly) -> Self {
        Self { value, parts: Vec::new(), shares: Vec::new() }
    }
}

/// An analysis under way.
struct Analysis<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    known: Knowledge,
    values: HashMap<ValueId, Known>,
    parameters: HashMap<ValueId, Option<Arc<HostTensor>>>,
    /// Elements of parameters that may still be looked at.
    left: usize,
}

/// Works out what `output` of a graph is.
pub fn read(graph: &Graph, weights: &Weights, output: ValueId) -> Reading {
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
            let known = if i == 0 { first.clone() } else { analysis.anything(v) };
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
    /// A value of which nothing is known.
    fn anything(&mut self, v: ValueId) -> Known {
        let channels = self.graph.shape(v).c;
        let key = format!("value {}", v.index());
        let a = self.known.atom(key, |_| About::within(f64::NEG_INFINITY, f64::INFINITY, channels));
        Known::plain(Poly::atom(a))
    }

    /// What is known of a value: of a parameter its elements.
    fn value(&mut self, v: ValueId) -> Known {
        if let Some(known) = self.values.get(&v) {
            return known.clone();
        }
        let elements = self.parameter(v).filter(|t| !t.data().is_empty());
        let Some(t) = elements else { return self.anything(v) };
        let range = t
            .data()
            .iter()
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[lo, hi], &v| [lo.min(v.into()), hi.max(v.into())]);
        let value = if range[0] == range[1] {
            Poly::constant(range[0])
        } else {
            let channels = self.graph.shape(v).c;
            Poly::atom(self.known.atom(format!("value {}", v.index()), |_| About::within(range[0], range[1], channels)))
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
        // Large ones are looked at once.
        if elements <= KEPT {
            self.parameters.insert(v, found.clone());
        }
        found
    }
}
