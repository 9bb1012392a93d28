//! The graph: nodes holding ops, typed values, named inputs, parameters and outputs. Pure data; every rewrite is a
//! function from one graph to another.

mod autodiff;
mod checkpointing;
mod formula;
mod param;
mod receptive_field;
pub mod rewrite;
mod training;

pub use crate::ops::ValueId;
pub use autodiff::{differentiate, differentiate_checkpointed, differentiate_from};
pub use formula::Formula;
pub use param::{Derived, ParamSource, Parameter};
pub use receptive_field::{Footprint, Pitch, edge_pixels, footprint, pitch};
pub use training::{BN_MOMENTUM, DROPOUT_SEED, DropoutAt, is_statistic, training};

use crate::error::{Error, Result};
use crate::ops::Op;
use crate::tensor::{HostTensor, MAX_ELEMENTS, Shape, TensorDesc};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum ValueKind {
    /// Given by the caller.
    Input,
    /// A parameter.
    Parameter(Parameter),
    /// A persistent variable with its dimensions: a linear tensor that stays on the device between runs, such as a
    /// parameter in training. Its new value is among [`Graph::updates`].
    Variable(Vec<usize>),
    /// Output `output` of node `node`.
    Node {
        /// Index of the node.
        node: usize,
        /// Index of its output.
        output: usize,
    },
}

/// A value: a tensor that will exist when the graph runs.
#[derive(Clone, Debug)]
pub struct Value {
    /// Input, parameter or node label.
    pub name: String,
    /// Shape and storage.
    pub desc: TensorDesc,
    /// Origin.
    pub kind: ValueKind,
}

/// An op applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    /// Position in the network, such as `enc.0.conv1`.
    pub label: String,
    /// The op.
    pub op: Arc<dyn Op>,
    /// Data first, then parameters, in the op's order.
    pub inputs: Vec<ValueId>,
    /// Its outputs.
    pub outputs: Vec<ValueId>,
}

/// A directed acyclic graph of ops; nodes are in topological order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    values: Vec<Value>,
    nodes: Vec<Node>,
    outputs: Vec<(String, ValueId)>,
    updates: Vec<(ValueId, ValueId)>,
    /// The first parameter of each name.
    parameters_by_name: HashMap<String, ValueId>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// All values.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// All nodes, in topological order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Named outputs, in order of declaration.
    pub fn outputs(&self) -> &[(String, ValueId)] {
        &self.outputs
    }

    /// Variables with their new values, in order of declaration.
    pub fn updates(&self) -> &[(ValueId, ValueId)] {
        &self.updates
    }

    /// Named inputs, in order of declaration.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, ValueId)> {
        self.ids().filter(|&v| matches!(self.value(v).kind, ValueKind::Input)).map(|v| (self.value(v).name.as_str(), v))
    }

    /// Parameters read from a checkpoint: name and dimensions.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.values.iter().filter_map(|v| match &v.kind {
            ValueKind::Parameter(Parameter { dims, source: ParamSource::Stored }) => Some((v.name.as_str(), &dims[..])),
            _ => None,
        })
    }

    /// A value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// Shape of a value.
    pub fn shape(&self, id: ValueId) -> Shape {
        self.value(id).desc.shape
    }

    /// The node that produces a value.
    pub fn producer(&self, id: ValueId) -> Option<&Node> {
        match self.value(id).kind {
            ValueKind::Node { node, .. } => Some(&self.nodes[node]),
            _ => None,
        }
    }

    /// Ids of all values.
    pub fn ids(&self) -> impl Iterator<Item = ValueId> + use<> {
        (0..self.values.len()).map(ValueId::new)
    }

    /// Number of reads of each value: by nodes, as an output, and as the new value of a variable.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.values.len()];
        for id in self.nodes.iter().flat_map(|n| &n.inputs).chain(self.results()) {
            uses[id.index()] += 1;
        }
        uses
    }

    /// The results of a run: outputs and new values of variables.
    fn results(&self) -> impl Iterator<Item = &ValueId> {
        self.outputs.iter().map(|o| &o.1).chain(self.updates.iter().map(|u| &u.1))
    }

    /// Sum of [`Op::macs`] over all nodes.
    pub fn macs(&self) -> u64 {
        self.nodes.iter().map(|n| self.node_macs(n)).sum()
    }

    /// [`Op::macs`] of one node.
    pub fn node_macs(&self, node: &Node) -> u64 {
        node.op.macs(&self.descs(&node.inputs), &self.descs(&node.outputs))
    }

    /// Descriptions of some values.
    pub fn descs(&self, ids: &[ValueId]) -> Vec<TensorDesc> {
        ids.iter().map(|&v| self.value(v).desc).collect()
    }

    fn push(&mut self, name: String, desc: TensorDesc, kind: ValueKind) -> ValueId {
        let id = ValueId::new(self.values.len());
        if matches!(kind, ValueKind::Parameter(_)) && !self.parameters_by_name.contains_key(&name) {
            self.parameters_by_name.insert(name.clone(), id);
        }
        self.values.push(Value { name, desc, kind });
        id
    }

    /// Declares an input.
    pub fn input(&mut self, name: impl Into<String>, desc: TensorDesc) -> ValueId {
        self.push(name.into(), desc, ValueKind::Input)
    }

    /// Declares a parameter of the checkpoint, or returns the one of this name.
    pub fn parameter(&mut self, name: impl Into<String>, dims: &[usize]) -> Result<ValueId> {
        let name = name.into();
        let desc = parameter_desc(&name, dims)?;
        if let Some(&id) = self.parameters_by_name.get(&name) {
            return match &self.value(id).kind {
                ValueKind::Parameter(p) if p.dims == dims => Ok(id),
                _ => Err(Error::invalid(format!("parameter `{name}`"), format!("declared twice, now as {dims:?}"))),
            };
        }
        let parameter = Parameter { dims: dims.to_vec(), source: ParamSource::Stored };
        Ok(self.push(name, desc, ValueKind::Parameter(parameter)))
    }

    /// Declares a parameter computed from others when weights are loaded.
    pub fn derived(&mut self, name: impl Into<String>, dims: &[usize], derived: Derived) -> Result<ValueId> {
        let name = name.into();
        let desc = parameter_desc(&name, dims)?;
        let parameter = Parameter { dims: dims.to_vec(), source: ParamSource::Derived(derived) };
        Ok(self.push(name, desc, ValueKind::Parameter(parameter)))
    }

    /// Declares a persistent variable.
    pub fn variable(&mut self, name: impl Into<String>, dims: &[usize]) -> Result<ValueId> {
        let name = name.into();
        let desc = parameter_desc(&name, dims)?;
        Ok(self.push(name, desc, ValueKind::Variable(dims.to_vec())))
    }

    /// Sets the new value of a variable after a run: a node's linear output of its shape. That node and nodes before it
    /// may read the variable.
    pub fn update(&mut self, variable: ValueId, next: ValueId) -> Result<()> {
        let (old, new) = (self.value(variable), self.value(next));
        let made = matches!(new.kind, ValueKind::Node { .. }) && matches!(old.kind, ValueKind::Variable(_));
        if !made || old.desc != new.desc || self.updates.iter().any(|u| u.0 == variable || u.1 == next) {
            let reason = format!("cannot become `{}`, {:?}", new.name, new.desc);
            return Err(Error::invalid(format!("variable `{}`, {:?}", old.name, old.desc), reason));
        }
        self.updates.push((variable, next));
        Ok(())
    }

    /// Adds a node and returns all its outputs.
    pub fn node_shared(
        &mut self,
        label: impl Into<String>,
        op: Arc<dyn Op>,
        inputs: &[ValueId],
    ) -> Result<Vec<ValueId>> {
        let label = label.into();
        let descs = op.infer(&self.descs(inputs)).map_err(|e| Error::op(&label, e.to_string()))?;
        descs.iter().try_for_each(|d| d.check_size(&label, MAX_ELEMENTS))?;
        let node = self.nodes.len();
        let outputs: Vec<_> = descs
            .into_iter()
            .enumerate()
            .map(|(output, desc)| self.push(label.clone(), desc, ValueKind::Node { node, output }))
            .collect();
        self.nodes.push(Node { label, op, inputs: inputs.to_vec(), outputs: outputs.clone() });
        Ok(outputs)
    }

    /// Adds a node and returns its first output.
    pub fn node(&mut self, label: impl Into<String>, op: impl Op, inputs: &[ValueId]) -> Result<ValueId> {
        Ok(self.node_shared(label, Arc::new(op), inputs)?[0])
    }

    /// Declares a value as an output.
    pub fn output(&mut self, name: impl Into<String>, value: ValueId) {
        self.outputs.push((name.into(), value));
    }

    /// Builds another graph by visiting every node in order. `f` may emit something else in a node's place and return
    /// the values that replace its outputs; if it returns `None`, the node is copied. Nodes without
    /// readers are dropped at the end.
    pub fn rebuild(&self, mut f: impl FnMut(&mut Rebuild<'_>, &Node) -> Result<Option<Vec<ValueId>>>) -> Result<Graph> {
        let mut cx = Rebuild { old: self, new: Graph::new(), map: vec![None; self.values.len()] };
        // Inputs stay in order even if nothing reads them: they are the caller's contract.
        for (_, id) in self.inputs() {
            cx.map(id)?;
        }
        for node in &self.nodes {
            let outputs = match f(&mut cx, node)? {
                Some(outputs) => outputs,
                None => {
                    let inputs = cx.map_all(&node.inputs)?;
                    cx.new.node_shared(node.label.clone(), node.op.clone(), &inputs)?
                }
            };
            for (&old, new) in node.outputs.iter().zip(outputs) {
                cx.map[old.index()] = Some(new);
            }
        }
        for (name, id) in &self.outputs {
            let id = cx.map(*id)?;
            cx.new.output(name.clone(), id);
        }
        for (variable, next) in &self.updates {
            let (variable, next) = (cx.map(*variable)?, cx.map(*next)?);
            cx.new.update(variable, next)?;
        }
        Ok(cx.new.without_dead_nodes())
    }

    /// The same graph without nodes and parameters that no output needs.
    pub fn without_dead_nodes(&self) -> Graph {
        let mut live = vec![false; self.values.len()];
        let mut stack: Vec<ValueId> = self.results().copied().chain(self.updates.iter().map(|u| u.0)).collect();
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut live[id.index()], true) {
                continue;
            }
            match &self.value(id).kind {
                ValueKind::Input | ValueKind::Variable(_) => {}
                ValueKind::Parameter(p) => stack.extend(p.sources()),
                ValueKind::Node { node, .. } => stack.extend(&self.nodes[*node].inputs),
            }
        }
        let keep_node: Vec<bool> = self.nodes.iter().map(|n| n.outputs.iter().any(|o| live[o.index()])).collect();
        // All outputs of a live node stay.
        for (node, _) in self.nodes.iter().zip(&keep_node).filter(|k| *k.1) {
            node.outputs.iter().for_each(|o| live[o.index()] = true);
        }
        let mut map = vec![ValueId::new(u32::MAX as usize); self.values.len()];
        let mut node_map = vec![usize::MAX; self.nodes.len()];
        for (new_index, (i, _)) in keep_node.iter().enumerate().filter(|k| *k.1).enumerate() {
            node_map[i] = new_index;
        }
        let mut new = Graph::new();
        for id in self.ids() {
            let value = self.value(id);
            if live[id.index()] || matches!(value.kind, ValueKind::Input) {
                let kind = match &value.kind {
                    ValueKind::Input => ValueKind::Input,
                    ValueKind::Variable(dims) => ValueKind::Variable(dims.clone()),
                    ValueKind::Parameter(p) => ValueKind::Parameter(p.mapped(|v| map[v.index()])),
                    ValueKind::Node { node, output } => ValueKind::Node { node: node_map[*node], output: *output },
                };
                map[id.index()] = new.push(value.name.clone(), value.desc, kind);
            }
        }
        let remap = |ids: &[ValueId]| ids.iter().map(|v| map[v.index()]).collect::<Vec<_>>();
        for (node, _) in self.nodes.iter().zip(&keep_node).filter(|k| *k.1) {
            new.nodes.push(Node { inputs: remap(&node.inputs), outputs: remap(&node.outputs), ..node.clone() });
        }
        new.outputs = self.outputs.iter().map(|(n, v)| (n.clone(), map[v.index()])).collect();
        new.updates = self.updates.iter().map(|(s, n)| (map[s.index()], map[n.index()])).collect();
        new
    }

    /// The elements of every parameter and the initial ones of every variable, by value: stored ones from `stored`
    /// (name, dimensions), derived ones computed.
    pub fn evaluate_parameters(
        &self,
        stored: &mut impl FnMut(&str, &[usize]) -> Result<HostTensor>,
    ) -> Result<Vec<Option<HostTensor>>> {
        let mut values: Vec<Option<HostTensor>> = vec![None; self.values.len()];
        for (i, value) in self.values.iter().enumerate() {
            match &value.kind {
                ValueKind::Parameter(p) => values[i] = Some(p.evaluate(&value.name, &values, stored)?),
                ValueKind::Variable(dims) => values[i] = Some(stored(&value.name, dims)?),
                ValueKind::Input | ValueKind::Node { .. } => {}
            }
        }
        Ok(values)
    }

    /// Runs the graph with every op's CPU reference: the oracle, and `Backend::Cpu`. Returns outputs and
    /// new values of variables by name. `inputs` are by name, `stored` returns the checkpoint's parameters, and
    /// `progress(done, of)` may cancel by returning an error.
    pub fn run_reference(
        &self,
        inputs: &BTreeMap<String, HostTensor>,
        mut stored: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
        mut progress: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<BTreeMap<String, HostTensor>> {
        let mut values = self.evaluate_parameters(&mut stored)?;
        for (name, id) in self.inputs() {
            let t = inputs.get(name).ok_or_else(|| Error::invalid(format!("input `{name}`"), "is missing"))?;
            if t.shape()? != self.shape(id) {
                let reason = format!("the graph is for shape {}, got {:?}", self.shape(id), t.dims());
                return Err(Error::invalid(format!("input `{name}`"), reason));
            }
            values[id.index()] = Some(t.clone());
        }
        let mut uses = self.uses();
        for (i, node) in self.nodes.iter().enumerate() {
            progress(i, self.nodes.len())?;
            let args: Option<Vec<&HostTensor>> = node.inputs.iter().map(|v| values[v.index()].as_ref()).collect();
            let args = args.ok_or_else(|| Error::op(&node.label, "an input has no value"))?;
            let results = node.op.reference(&args).map_err(|e| Error::op(&node.label, e.to_string()))?;
            for (v, r) in node.outputs.iter().zip(results) {
                values[v.index()] = Some(r);
            }
            for v in &node.inputs {
                uses[v.index()] -= 1;
                if uses[v.index()] == 0 {
                    values[v.index()] = None;
                }
            }
        }
        let updated = self.updates.iter().map(|(variable, next)| (&self.value(*variable).name, next));
        self.outputs
            .iter()
            .map(|(name, v)| (name, v))
            .chain(updated)
            .map(|(name, v)| {
                let t = values[v.index()]
                    .clone()
                    .ok_or_else(|| Error::invalid(format!("output `{name}`"), "has no value"))?;
                Ok((name.clone(), t))
            })
            .collect()
    }
}

fn parameter_desc(name: &str, dims: &[usize]) -> Result<TensorDesc> {
    let desc = TensorDesc::linear(Shape::from_dims(dims)?);
    desc.check_size(name, MAX_ELEMENTS)?;
    Ok(desc)
}

/// The state of [`Graph::rebuild`]: the new graph so far, and the map from old to new values.
#[derive(Debug)]
pub struct Rebuild<'a> {
    /// The source graph.
    pub old: &'a Graph,
    /// The graph under construction.
    pub new: Graph,
    map: Vec<Option<ValueId>>,
}

impl Rebuild<'_> {
    /// The new value that replaces an old one; inputs and parameters are copied at first use.
    pub fn map(&mut self, id: ValueId) -> Result<ValueId> {
        // Not recursive: parameters may be computed from others in long chains.
        let mut stack = vec![id];
        while let Some(&at) = stack.last() {
            if self.map[at.index()].is_some() {
                stack.pop();
                continue;
            }
            let value = self.old.value(at);
            let kind = match &value.kind {
                ValueKind::Input => ValueKind::Input,
                ValueKind::Variable(dims) => ValueKind::Variable(dims.clone()),
                ValueKind::Parameter(p) => {
                    let before = stack.len();
                    stack.extend(p.sources().filter(|v| self.map[v.index()].is_none()));
                    if stack.len() > before {
                        continue;
                    }
                    ValueKind::Parameter(p.mapped(|v| self.map[v.index()].unwrap_or(v)))
                }
                ValueKind::Node { .. } => return Err(Error::op(&value.name, "is used before it is produced")),
            };
            let new = self.new.push(value.name.clone(), value.desc, kind);
            self.map[at.index()] = Some(new);
            stack.pop();
        }
        self.map[id.index()].ok_or_else(|| Error::op(&self.old.value(id).name, "is used before it is produced"))
    }

    /// [`Self::map`] of several values.
    pub fn map_all(&mut self, ids: &[ValueId]) -> Result<Vec<ValueId>> {
        ids.iter().map(|&v| self.map(v)).collect()
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, v) in self.inputs() {
            writeln!(f, "input {name} {}", self.shape(v))?;
        }
        for node in &self.nodes {
            let args: Vec<_> = node.inputs.iter().map(|&v| self.value(v).name.as_str()).collect();
            let shape = node.outputs.first().map(|&o| self.shape(o).to_string()).unwrap_or_default();
            writeln!(f, "{} = {}({}) {shape}", node.label, node.op.name(), args.join(", "))?;
        }
        for (name, v) in &self.outputs {
            writeln!(f, "output {name} = {} {}", self.value(*v).name, self.shape(*v))?;
        }
        Ok(())
    }
}
