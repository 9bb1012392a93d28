//! From graph to plan: lowers every node, places its tensors, keeps halos zero and resolves the bindings.

use super::memory::{self, Item, Place};
use super::resident::{self, pack_on_device};
use super::{
    IoBinding, Plan, PlanMemory, PlannedDispatch, PlannedNode, PlannedParameter, PlannedWeights, Resource, SlotKind,
};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, ValueId, ValueKind};
use crate::kernel::{Dispatch, KernelKey, Operand, TEXTURES, Target, TensorStorage, may_be_texture, texture_size};
use crate::ops::{Lowered, Lowering, halo};
use crate::tensor::{BlockedLayout, LANES, Layout, MAX_INDEXED, Precision, TensorDesc};
use crate::text::mib;
use std::collections::HashMap;

impl Plan {
    /// Plans a graph for a device. Fails if a tensor is larger than the device can bind; the error names it.
    pub fn new(graph: &Graph, target: &Target) -> Result<Self> {
        check_values(graph, target)?;
        let lowered = lower_nodes(graph, target)?;
        let io = io(graph)?;
        let io_of = |v: ValueId| {
            let name = graph.outputs().iter().find(|o| o.1 == v).map(|o| &o.0);
            let name = name.unwrap_or(&graph.value(v).name);
            io.iter().position(|p| p.names.contains(name))
        };
        let variables = resident::variables(graph)?;
        let variable_of = |v: ValueId| {
            let updated = graph.updates().iter().find(|u| u.1 == v).map_or(v, |u| u.0);
            variables.iter().position(|s| s.value == updated)
        };
        let tensors = Tensors::new(graph, &lowered, target);
        let textures =
            if target.options.storage == TensorStorage::Aliased { SlotKind::Aliased } else { SlotKind::Texture };
        let (places, slots) = memory::place(&tensors.items, target.caps.max_buffer_bytes, textures);
        let mut plan = Plan {
            nodes: graph.nodes().iter().map(planned_node).collect(),
            parameters: planned_parameters(graph),
            outputs: graph.outputs().iter().map(|o| o.0.clone()).collect(),
            macs: graph.macs(),
            weights: Vec::new(),
            dispatches: Vec::new(),
            live: memory::live_sets(&tensors.items, graph.nodes().len()),
            memory: PlanMemory {
                slots: slots.iter().map(|s| s.bytes).sum(),
                live: memory::largest_live_set(&tensors.items),
                io: io.iter().map(IoBinding::bytes).sum(),
                variables: variables.iter().map(|s| s.bytes).sum(),
                ..PlanMemory::default()
            },
            slots,
            io: io.clone(),
            variables: variables.clone(),
            precision: target.options.precision,
            reused_memory: target.options.reused_memory,
        };
        for (i, (node, low)) in graph.nodes().iter().zip(&lowered).enumerate() {
            let first_weights = plan.weights.len();
            for (k, w) in low.weights.iter().enumerate() {
                let from = w.inputs.iter().map(|&k| node.inputs[k]).collect();
                let texture = target.options.storage != TensorStorage::Buffers
                    && w.precision == Precision::F32
                    && texture_size(w.len as u64 * 4).is_some()
                    && all_may_be_textures(low, Operand::Weights(k));
                plan.weights.push(PlannedWeights {
                    from,
                    len: w.len,
                    precision: w.precision,
                    packing: w.packing.clone(),
                    texture,
                });
            }
            for &v in &node.outputs {
                if tensors.needs_clean_halo(graph, v, &places) {
                    let halo_of = tensors.resource(v, &places, true)?;
                    plan.push(halo_dispatch(node, i, graph.value(v).desc, halo_of, target.options.precision));
                }
            }
            let parts = parts(low);
            for (k, d) in low.dispatches.iter().enumerate() {
                let value = |v: ValueId, writes: bool| match graph.value(v).kind {
                    ValueKind::Parameter(_) => {
                        Err(Error::op(&node.label, format!("binds parameter `{}` unpacked", graph.value(v).name)))
                    }
                    _ if variable_of(v).is_some() => {
                        Ok(Resource::Variable { variable: variable_of(v).unwrap_or(0), writes })
                    }
                    _ if graph.value(v).desc.layout == Layout::Linear && io_of(v).is_some() => {
                        Ok(Resource::IoBinding { io_binding: io_of(v).unwrap_or(0), writes })
                    }
                    _ => tensors.resource(v, &places, writes),
                };
                let bind = |operand: &Operand| match *operand {
                    Operand::Input(k) => value(node.inputs[k], false),
                    Operand::Output(k) => value(node.outputs[k], true),
                    Operand::OutputRead(k) => value(node.outputs[k], false),
                    Operand::Weights(k) => Ok(Resource::Weights(first_weights + k)),
                    Operand::ScratchRead(k) => Ok(tensors.scratch(i, k, &places, false)),
                    Operand::ScratchWrite(k) => Ok(tensors.scratch(i, k, &places, true)),
                    Operand::Overflow => Ok(Resource::Overflow(i)),
                };
                let bindings = d.bindings.iter().map(bind).collect::<Result<Vec<_>>>()?;
                let macs = if k == 0 { graph.node_macs(node) } else { 0 };
                plan.push(PlannedDispatch {
                    label: node.label.clone(),
                    kernel: d.kernel.clone(),
                    params: d.params.clone(),
                    bindings,
                    workgroups: d.workgroups,
                    macs,
                    bytes: traffic(graph, node, low, d, parts[k], target.options.precision),
                    choice: low.choice,
                    node: i,
                });
            }
        }
        plan.memory.weights = plan.weights.iter().map(PlannedWeights::bytes).sum();
        plan.check(target)?;
        Ok(plan)
    }

    /// Adds a dispatch, with the mask of its texture bindings in the kernel's key.
    fn push(&mut self, mut dispatch: PlannedDispatch) {
        let texture = |r: &Resource| match *r {
            Resource::Slot { slot, writes, .. } => match self.slots[slot].kind {
                SlotKind::Buffer => false,
                SlotKind::Texture => true,
                SlotKind::Aliased => !writes,
            },
            Resource::Weights(w) => self.weights[w].texture,
            Resource::IoBinding { .. } | Resource::Variable { .. } | Resource::Overflow(_) => false,
        };
        let bit = |(i, r): (u32, &Resource)| if texture(r) { 2u32.checked_shl(i).unwrap_or(0) } else { 0 };
        let textures: u32 = (0..).zip(&dispatch.bindings).map(bit).sum();
        if textures != 0 {
            dispatch.kernel = dispatch.kernel.with(TEXTURES, textures);
        }
        self.dispatches.push(dispatch);
    }

    /// Lower bound on the bytes of any plan of the graph: tensors alive at once, inputs and outputs. Needs no planning.
    pub fn min_memory(graph: &Graph, target: &Target) -> Result<u64> {
        let io: u64 = io(graph)?.iter().map(IoBinding::bytes).sum();
        Ok(io + memory::largest_live_set(&Tensors::new(graph, &[], target).items))
    }

    /// Bytes of activations alive while each node of a graph runs, without the scratch of kernels.
    pub fn live_bytes(graph: &Graph, target: &Target) -> Vec<u64> {
        memory::live_sets(&Tensors::new(graph, &[], target).items, graph.nodes().len())
    }

    /// Checks the invariants of every plan, and records its largest binding.
    fn check(&mut self, target: &Target) -> Result<()> {
        for dispatch in &self.dispatches {
            // Buffer, range in it, and whether it is written.
            let mut used: Vec<(usize, std::ops::Range<u64>, bool)> = Vec::new();
            for r in &dispatch.bindings {
                let bytes = match *r {
                    Resource::Slot { slot, offset, bytes, writes } => {
                        used.push((slot, offset..offset + bytes, writes));
                        bytes
                    }
                    Resource::Weights(w) => self.weights[w].bytes(),
                    Resource::Variable { variable, writes } => {
                        used.push((self.slots.len() + variable, 0..self.variables[variable].bytes, writes));
                        self.variables[variable].bytes
                    }
                    Resource::IoBinding { io_binding, .. } => self.io[io_binding].bytes(),
                    // Write-only flag; concurrent writers are fine.
                    Resource::Overflow(_) => continue,
                };
                self.memory.largest_binding = self.memory.largest_binding.max(bytes);
                check_binding(|| format!("{} ({})", dispatch.label, dispatch.kernel), bytes, target)?;
            }
            let clash = |(i, (slot, range, writes)): (usize, &(usize, std::ops::Range<u64>, bool))| {
                // wgpu tracks whole buffers, but each texture separately; several writes to one buffer are compatible.
                let whole = self.slots.get(*slot).is_none_or(|s| s.kind != SlotKind::Aliased);
                used[..i].iter().any(|(other, o, w)| {
                    let over = whole || o.start < range.end && range.start < o.end;
                    other == slot && (*writes || *w) && over
                })
            };
            if used.iter().enumerate().any(clash) {
                return Err(Error::op(&dispatch.label, "planned to read and write one buffer in a dispatch"));
            }
        }
        match self.slots.iter().map(|s| s.bytes).find(|&s| s > target.caps.max_buffer_bytes) {
            Some(s) => Err(Error::Limit {
                what: "the largest buffer".into(),
                needed: mib(s),
                limit: mib(target.caps.max_buffer_bytes),
            }),
            None => Ok(()),
        }
    }
}

/// Rejects tensors that are too large before lowering, which casts strides to 32 bits and may split large tensors into
/// very many dispatches.
fn check_values(graph: &Graph, target: &Target) -> Result<()> {
    for v in graph.values() {
        v.desc.check_size(&v.name, MAX_INDEXED)?;
        if !matches!(v.kind, ValueKind::Parameter(_)) {
            check_binding(|| v.name.clone(), v.desc.bytes(target.options.precision), target)?;
        }
    }
    Ok(())
}

fn check_binding(owner: impl FnOnce() -> String, bytes: u64, target: &Target) -> Result<()> {
    if bytes <= target.caps.max_binding_bytes {
        return Ok(());
    }
    Err(Error::Limit {
        what: format!("a tensor of {}", owner()),
        needed: format!("{} in one binding", mib(bytes)),
        limit: mib(target.caps.max_binding_bytes),
    })
}

fn lower_nodes(graph: &Graph, target: &Target) -> Result<Vec<Lowered>> {
    let lower = |node: &Node| {
        let (inputs, outputs) = (graph.descs(&node.inputs), graph.descs(&node.outputs));
        let mut cx = Lowering::new(&node.label, target, &inputs, &outputs);
        cx.training = resident::is_training(graph);
        node.op.lower(&mut cx)?;
        let fixed = |k: usize| matches!(graph.value(node.inputs[k]).kind, ValueKind::Parameter(_));
        pack_on_device(&node.label, cx.finish(), target, &inputs, |k| !fixed(k))
    };
    graph.nodes().iter().map(lower).collect()
}

fn planned_node(node: &Node) -> PlannedNode {
    PlannedNode { label: node.label.clone(), op: node.op.name().to_string() }
}

fn planned_parameters(graph: &Graph) -> Vec<PlannedParameter> {
    let planned = |value| match &graph.value(value).kind {
        ValueKind::Parameter(parameter) => {
            Some(PlannedParameter { value, name: graph.value(value).name.clone(), parameter: parameter.clone() })
        }
        _ => None,
    };
    graph.ids().filter_map(planned).collect()
}

fn io(graph: &Graph) -> Result<Vec<IoBinding>> {
    let mut io = Vec::new();
    for (name, v) in graph.inputs() {
        io.push(IoBinding { names: vec![name.to_string()], desc: graph.value(v).desc, is_input: true });
    }
    let mut seen: HashMap<ValueId, usize> = HashMap::new();
    for (name, v) in graph.outputs() {
        if let Some(&io_binding) = seen.get(v) {
            let io_binding: &mut IoBinding = &mut io[io_binding];
            io_binding.names.push(name.clone());
            continue;
        }
        if !matches!(graph.value(*v).kind, ValueKind::Node { .. }) {
            return Err(Error::invalid(format!("output `{name}`"), "is an input or a parameter, not a result"));
        }
        seen.insert(*v, io.len());
        io.push(IoBinding { names: vec![name.clone()], desc: graph.value(*v).desc, is_input: false });
    }
    match io.iter().find(|p| p.desc.layout != Layout::Linear) {
        Some(p) => Err(Error::invalid(
            format!("input or output `{}`", p.names[0]),
            "is not in plain NCHW; import or export it",
        )),
        None => Ok(io),
    }
}

/// The tensors in slots: node outputs, except those of the graph, and scratch.
struct Tensors {
    items: Vec<Item>,
    of_value: HashMap<ValueId, usize>,
    /// The value of each item; `None` for scratch.
    values: Vec<Option<ValueId>>,
    of_scratch: HashMap<(usize, usize), usize>,
    bytes: Vec<u64>,
    precision: Precision,
    /// Whether other plans write the memory between runs.
    reused: bool,
}

impl Tensors {
    fn new(graph: &Graph, lowered: &[Lowered], target: &Target) -> Self {
        let align = |b: u64| b.div_ceil(target.caps.storage_alignment) * target.caps.storage_alignment;
        let is_io = |v: ValueId| graph.outputs().iter().any(|o| o.1 == v) || graph.updates().iter().any(|u| u.1 == v);
        let mut t = Self {
            items: vec![],
            of_value: HashMap::new(),
            values: vec![],
            of_scratch: HashMap::new(),
            bytes: vec![],
            precision: target.options.precision,
            reused: target.options.reused_memory,
        };
        for (i, node) in graph.nodes().iter().enumerate() {
            for &v in node.outputs.iter().filter(|&&v| !is_io(v)) {
                let bytes = graph.value(v).desc.bytes(target.options.precision);
                t.of_value.insert(v, t.items.len());
                t.values.push(Some(v));
                let texture = target.options.storage != TensorStorage::Buffers
                    && value_is_texture(graph, lowered, v, bytes, target);
                t.items.push(Item { bytes: align(bytes), first: i, last: i, written: vec![i], read: vec![], texture });
                t.bytes.push(bytes);
            }
            for v in &node.inputs {
                if let Some(&item) = t.of_value.get(v) {
                    t.items[item].last = i;
                    t.items[item].read.push(i);
                }
            }
            let scratch = lowered.get(i).map_or(&[][..], |l| &l.scratch);
            for (k, &bytes) in scratch.iter().enumerate() {
                t.of_scratch.insert((i, k), t.items.len());
                t.values.push(None);
                // Written and read within the node, so it never shares a buffer with other tensors of the node.
                let texture = lowered.get(i).is_some_and(|l| scratch_is_texture(l, k, bytes, target));
                t.items.push(Item { bytes: align(bytes), first: i, last: i, written: vec![i], read: vec![i], texture });
                t.bytes.push(bytes);
            }
        }
        t
    }

    fn resource(&self, v: ValueId, places: &[Place], writes: bool) -> Result<Resource> {
        let item = *self.of_value.get(&v).ok_or_else(|| Error::op("planner", "a value has no tensor"))?;
        Ok(self.at(item, places, writes))
    }

    fn scratch(&self, node: usize, k: usize, places: &[Place], writes: bool) -> Resource {
        self.at(self.of_scratch[&(node, k)], places, writes)
    }

    fn at(&self, item: usize, places: &[Place], writes: bool) -> Resource {
        let Place { slot, offset } = places[item];
        Resource::Slot { slot, offset, bytes: self.bytes[item], writes }
    }

    /// Whether the halo of `v` must be cleared before `v` is written: some node reads it, and another tensor whose halo
    /// lies elsewhere uses the same memory at another time, or other plans do. New buffers are zero, so a tensor with memory
    /// of its own needs no clearing.
    fn needs_clean_halo(&self, graph: &Graph, v: ValueId, places: &[Place]) -> bool {
        let desc = graph.value(v).desc;
        let Some(&item) = self.of_value.get(&v) else { return false };
        let read = |n: &Node| n.inputs.iter().enumerate().any(|(k, &i)| i == v && n.op.reads_halo(k));
        if desc.layout != Layout::Blocked || !graph.nodes().iter().any(read) {
            return false;
        }
        if self.reused {
            return true;
        }
        let layout = BlockedLayout::new(desc.shape);
        let plane_bytes = (layout.plane * LANES) as u64 * self.precision.bytes();
        let (place, bytes) = (places[item], self.items[item].bytes);
        let coincides = |other: usize| {
            let shape = self.values[other].map(|v| graph.value(v).desc);
            let same = |d: TensorDesc| d.layout == Layout::Blocked && BlockedLayout::new(d.shape).same_planes(&layout);
            shape.is_some_and(same) && places[other].offset.abs_diff(place.offset) % plane_bytes == 0
        };
        (0..self.items.len()).any(|other| {
            let p = places[other];
            let overlaps = p.slot == place.slot
                && p.offset < place.offset + bytes
                && place.offset < p.offset + self.items[other].bytes;
            other != item && overlaps && !coincides(other)
        })
    }
}

/// Whether every kernel of a lowering that binds an operand accepts a texture there.
fn all_may_be_textures(low: &Lowered, operand: Operand) -> bool {
    // There are few kernels, and perhaps hundreds of dispatches; a look is at the text of the shader.
    let mut seen: Vec<(&KernelKey, usize)> = Vec::new();
    low.dispatches.iter().all(|d| {
        (0..).zip(&d.bindings).all(|(i, &o)| {
            if o != operand || seen.contains(&(&d.kernel, i)) {
                return true;
            }
            seen.push((&d.kernel, i));
            may_be_texture(&d.kernel, i + 1)
        })
    })
}

/// Whether every kernel of a lowering that writes an operand can write a texture there.
fn may_be_written(low: &Lowered, operand: Operand, target: &Target) -> bool {
    target.options.storage == TensorStorage::Aliased || all_may_be_textures(low, operand)
}

/// How often a lowering reads each element of an operand.
fn reads(low: &Lowered, operand: Operand) -> f64 {
    let reported = low.reads.iter().filter(|r| r.0 == operand).map(|r| r.1).reduce(|a, b| a + b);
    reported.unwrap_or_else(|| if low.dispatches.iter().any(|d| d.bindings.contains(&operand)) { 1.0 } else { 0.0 })
}

fn is_texture(target: &Target, bytes: u64, reads: f64, possible: impl FnOnce() -> bool) -> bool {
    let requested = match target.options.storage {
        TensorStorage::Buffers => false,
        // Reads are four times as fast as from a buffer; the write is slower by as much as one read gains.
        TensorStorage::Textures => reads > 1.0,
        // Writes are as fast as to a buffer.
        TensorStorage::Aliased => reads > 0.0,
        TensorStorage::AlwaysTextures => true,
    };
    requested && texture_size(bytes).is_some() && possible()
}

fn value_is_texture(graph: &Graph, lowered: &[Lowered], v: ValueId, bytes: u64, target: &Target) -> bool {
    let mut times = 0.0;
    let mut possible = true;
    for (node, low) in graph.nodes().iter().zip(lowered) {
        let inputs = node.inputs.iter().enumerate().filter(|i| *i.1 == v).map(|i| Operand::Input(i.0));
        for operand in inputs {
            times += reads(low, operand);
            possible &= all_may_be_textures(low, operand);
        }
        let mut outputs = node.outputs.iter().enumerate().filter(|o| *o.1 == v).map(|o| Operand::Output(o.0));
        possible &= outputs.all(|operand| may_be_written(low, operand, target));
    }
    is_texture(target, bytes, times, || possible)
}

fn scratch_is_texture(low: &Lowered, k: usize, bytes: u64, target: &Target) -> bool {
    let [read, written] = [Operand::ScratchRead(k), Operand::ScratchWrite(k)];
    let possible = || all_may_be_textures(low, read) && may_be_written(low, written, target);
    is_texture(target, bytes, reads(low, read), possible)
}

/// For each dispatch of a node, how many have its kernel and its bindings: they split one piece of work.
fn parts(low: &Lowered) -> Vec<u64> {
    // The first of each kind, and their number. There are few kinds, and perhaps hundreds of dispatches.
    let mut kinds: Vec<(&Dispatch, u64)> = Vec::new();
    let mut of = Vec::with_capacity(low.dispatches.len());
    for d in &low.dispatches {
        let known = kinds.iter().position(|(first, _)| first.bindings == d.bindings && first.kernel == d.kernel);
        let kind = known.unwrap_or(kinds.len());
        if known.is_none() {
            kinds.push((d, 0));
        }
        kinds[kind].1 += 1;
        of.push(kind);
    }
    of.into_iter().map(|kind| kinds[kind].1).collect()
}

/// Min bytes that a dispatch moves. `parts` dispatches split one piece of work, so each moves its share of inputs and outputs,
/// but all weights and scratch.
fn traffic(graph: &Graph, node: &Node, low: &Lowered, d: &Dispatch, parts: u64, precision: Precision) -> u64 {
    // An accumulating kernel reads its output too.
    let accesses = if d.kernel.accumulates() { 2 } else { 1 };
    let operand = |o: &Operand| match *o {
        Operand::Input(k) => graph.value(node.inputs[k]).desc.bytes(precision) / parts,
        Operand::Output(k) => accesses * graph.value(node.outputs[k]).desc.bytes(precision) / parts,
        Operand::OutputRead(k) => graph.value(node.outputs[k]).desc.bytes(precision) / parts,
        Operand::Weights(k) => low.weights[k].len as u64 * low.weights[k].precision.bytes(),
        Operand::Overflow => 0,
        Operand::ScratchRead(k) | Operand::ScratchWrite(k) => low.scratch[k],
    };
    d.bindings.iter().map(operand).sum()
}

fn halo_dispatch(
    node: &Node,
    index: usize,
    desc: TensorDesc,
    target: Resource,
    precision: Precision,
) -> PlannedDispatch {
    let guard = (precision == Precision::F16).then_some(Resource::Overflow(index));
    let border = 2 * BlockedLayout::new(desc.shape).row + 2 * desc.shape.h;
    let vec4 = LANES as u64 * precision.bytes();
    let bytes = (border * desc.shape.n * BlockedLayout::new(desc.shape).blocks) as u64 * vec4;
    let Dispatch { kernel, params, bindings, workgroups } = halo(desc, target, guard);
    let label = node.label.clone();
    PlannedDispatch { label, kernel, params, bindings, workgroups, macs: 0, bytes, choice: None, node: index }
}
