//! Lowering of ops to dispatches, packed weights and scratch buffers, all plain data.

use super::packing::Packing;
use crate::error::{Error, Result};
use crate::kernel::{Area, ConvChoice, Dispatch, KernelKey, Operand, Params, Size, Target, View, shader_struct};
use crate::tensor::{BlockedLayout, LANES, Layout, Precision, Shape, TensorDesc};

/// Weights in a kernel's own order, computed from parameters when a session is created.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedWeights {
    /// Indices of the node's inputs that are packed.
    pub inputs: Vec<usize>,
    /// Number of packed elements.
    pub len: usize,
    /// Storage precision.
    pub precision: Precision,
    /// How they are computed from the inputs.
    pub packing: Packing,
}

/// For [`Lowering::reads`] of packed weights, which kernels read again for every few pixels. Their storage depends only on
/// whether an element is read more than once, so the exact number does not matter.
pub const MANY_READS: f64 = f64::INFINITY;

/// A lowered node.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// Dispatches, in order.
    pub dispatches: Vec<Dispatch>,
    /// Packed weights, by index.
    pub weights: Vec<PackedWeights>,
    /// Size of each scratch buffer, bytes. They are live only within this node.
    pub scratch: Vec<u64>,
    /// The chosen kernel family and the reason, where there is a choice.
    pub choice: Option<ConvChoice>,
    /// Average number of reads per element of an input or scratch buffer, where it is not 1.
    pub reads: Vec<(Operand, f64)>,
}

/// Context in which an op is lowered.
#[derive(Debug)]
pub struct Lowering<'a> {
    /// The node's label, for errors.
    pub label: &'a str,
    /// Device and options to lower for.
    pub target: &'a Target,
    /// Descriptions of the node's inputs.
    pub inputs: &'a [TensorDesc],
    /// Descriptions of the node's outputs.
    pub outputs: &'a [TensorDesc],
    /// Whether weights change from run to run, so that packing can only reorder them.
    pub training: bool,
    lowered: Lowered,
}

impl<'a> Lowering<'a> {
    /// An empty lowering of a node.
    pub fn new(label: &'a str, target: &'a Target, inputs: &'a [TensorDesc], outputs: &'a [TensorDesc]) -> Self {
        Self { label, target, inputs, outputs, training: false, lowered: Lowered::default() }
    }

    /// The finished result.
    pub fn finish(self) -> Lowered {
        self.lowered
    }

    /// Shape of input `i`.
    pub fn input(&self, i: usize) -> Shape {
        self.inputs[i].shape
    }

    /// Shape of output `i`.
    pub fn output(&self, i: usize) -> Shape {
        self.outputs[i].shape
    }

    /// The shader's view of blocked input `i`.
    pub fn input_view(&self, i: usize) -> View {
        view(&self.inputs[i], 0, 0)
    }

    /// The shader's view of a blocked tensor.
    pub fn view(desc: &TensorDesc) -> View {
        view(desc, 0, 0)
    }

    /// The view of blocked input `i` whose pixel (0, 0) is the input's pixel `(y, x)`: a crop without a copy.
    pub fn cropped_view(&self, i: usize, y: usize, x: usize) -> View {
        view(&self.inputs[i], y, x)
    }

    /// Input `i` for a kernel that reads blocked tensors, with its view. A parameter is packed like a blocked tensor.
    pub fn blocked_input(&mut self, i: usize) -> (Operand, View) {
        let desc = self.inputs[i];
        let view = Self::view(&TensorDesc::blocked(desc.shape));
        if desc.layout == Layout::Blocked {
            return (Operand::Input(i), view);
        }
        let len = (BlockedLayout::new(desc.shape).bytes(Precision::F32) / 4) as usize;
        (self.weights([i], len, Packing::Blocked(desc.shape)), view)
    }

    /// The shader's view of blocked output `i`.
    pub fn output_view(&self, i: usize) -> View {
        view(&self.outputs[i], 0, 0)
    }

    /// Adds packed weights of `len` elements, computed from the node's inputs `inputs` and stored in the plan's
    /// precision: `array<Stored>` in the shader.
    pub fn weights(&mut self, inputs: impl Into<Vec<usize>>, len: usize, packing: Packing) -> Operand {
        self.packed(inputs.into(), len, self.target.options.precision, packing)
    }

    /// The same stored in `f32` whatever the plan's precision: for small tensors that benefit from more bits.
    pub fn weights_f32(&mut self, inputs: impl Into<Vec<usize>>, len: usize, packing: Packing) -> Operand {
        self.packed(inputs.into(), len, Precision::F32, packing)
    }

    fn packed(&mut self, inputs: Vec<usize>, len: usize, precision: Precision, packing: Packing) -> Operand {
        self.lowered.weights.push(PackedWeights { inputs, len, precision, packing });
        Operand::Weights(self.lowered.weights.len() - 1)
    }

    /// Records the chosen kernel family and the reason.
    pub fn explain(&mut self, choice: ConvChoice) {
        self.lowered.choice = Some(choice);
    }

    /// Adds a scratch buffer; the index is for [`Operand::ScratchRead`] and [`Operand::ScratchWrite`].
    pub fn scratch(&mut self, bytes: u64) -> usize {
        self.lowered.scratch.push(bytes);
        self.lowered.scratch.len() - 1
    }

    /// Maximum number of storage buffers that an op can bind; `f16` plans reserve one for the overflow flag.
    pub fn max_bindings(&self) -> usize {
        let guard = usize::from(self.target.options.precision == Precision::F16);
        (self.target.caps.max_storage_buffers as usize).saturating_sub(guard)
    }

    /// Records how often kernels read each element of an input or scratch buffer, on average. The default is 1.
    pub fn reads(&mut self, operand: Operand, times: f64) {
        self.lowered.reads.push((operand, times));
    }

    /// Adds a dispatch. `params` is the shader's `Params`, `bindings` follow it in order.
    pub fn dispatch(
        &mut self,
        kernel: KernelKey,
        params: impl Into<Params>,
        bindings: impl Into<Vec<Operand>>,
        workgroups: [usize; 3],
    ) -> Result<()> {
        let mut bindings = bindings.into();
        let kernel = kernel.stored(self.target.options.precision, bindings.len());
        if self.target.options.precision == Precision::F16 {
            bindings.push(Operand::Overflow);
        }
        let limit = self.target.caps.max_workgroups as usize;
        if workgroups.iter().any(|&g| g > limit) {
            return Err(Error::Limit {
                what: format!("{} ({kernel})", self.label),
                needed: format!("{workgroups:?} workgroups"),
                limit: format!("{limit} per dimension"),
            });
        }
        if bindings.len() > self.target.caps.max_storage_buffers as usize {
            return Err(Error::Limit {
                what: format!("{} ({kernel})", self.label),
                needed: format!("{} storage buffers", bindings.len()),
                limit: self.target.caps.max_storage_buffers.to_string(),
            });
        }
        // An empty grid is a no-op, and some drivers reject it.
        if workgroups.contains(&0) {
            return Ok(());
        }
        self.lowered.dispatches.push(Dispatch {
            kernel,
            params: params.into(),
            bindings,
            workgroups: workgroups.map(|g| g as u32),
        });
        Ok(())
    }

    /// Adds a blocked tensor in scratch memory with a cleared halo; returns its operands for writing and for reading.
    pub fn blocked_scratch(&mut self, desc: TensorDesc) -> [Operand; 2] {
        let k = self.scratch(desc.bytes(self.target.options.precision));
        let guard = (self.target.options.precision == Precision::F16).then_some(Operand::Overflow);
        self.lowered.dispatches.push(halo(desc, Operand::ScratchWrite(k), guard));
        [Operand::ScratchWrite(k), Operand::ScratchRead(k)]
    }

    /// Elements covered by a row of workgroups of [`Lowering::per_element`], a multiple of 64.
    pub fn linear_row(&self, len: usize) -> u32 {
        len.div_ceil(64).clamp(1, self.target.caps.max_workgroups as usize) as u32 * 64
    }

    /// Workgroups of 64 invocations with one of `len` elements each: one row, or several if the device's limit requires
    /// it.
    pub fn per_element(&self, len: usize) -> [usize; 3] {
        let row = self.linear_row(len) as usize;
        [row / 64, len.div_ceil(row), 1]
    }

    /// Workgroups with as many vec4s of a plane of `shape` as the device prefers, and `kernel` with their extent.
    pub fn per_area(&self, kernel: KernelKey, shape: Shape) -> (KernelKey, [usize; 3]) {
        let Area { height, columns, rows } = self.target.preset().area;
        let planes = shape.n * shape.c.div_ceil(LANES);
        let grid = [shape.w.div_ceil(columns as usize), shape.h.div_ceil(rows as usize), planes];
        (kernel.with("HEIGHT", height).with("COLUMNS", columns).with("ROWS", rows), grid)
    }

    /// Elements of a plain array that an invocation computes as the device prefers.
    pub fn elements_each(&self) -> usize {
        let Area { height, rows, .. } = self.target.preset().area;
        (rows / height) as usize
    }

    /// `kernel`, which sums over maps, with the rows of 16 invocations that share one.
    pub fn per_map(&self, kernel: KernelKey) -> KernelKey {
        kernel.with("HEIGHT", self.target.preset().map_rows)
    }

    /// Workgroups of 16 x 4 invocations with one vec4 of `shape` each.
    pub fn per_vec4(shape: Shape) -> [usize; 3] {
        [shape.w.div_ceil(16), shape.h.div_ceil(4), shape.n * shape.c.div_ceil(4)]
    }
}

fn view(desc: &TensorDesc, y: usize, x: usize) -> View {
    debug_assert_eq!(desc.layout, Layout::Blocked);
    let l = BlockedLayout::new(desc.shape);
    let [origin, row, plane, batch] = [l.origin + y * l.row + x, l.row, l.plane, l.batch].map(|v| v as u32);
    View { origin, row, plane, batch }
}

impl From<Shape> for Size {
    fn from(s: Shape) -> Self {
        let [w, h, blocks, c] = [s.w, s.h, s.c.div_ceil(LANES), s.c].map(|v| v as u32);
        Self { w, h, blocks, c }
    }
}

shader_struct! {
    /// Parameters of `halo`.
    struct HaloParams {
        /// W + 2
        row: u32,
        /// H
        height: u32,
        /// vec4s per plane.
        plane: u32,
        /// Halo pixels per plane.
        border: u32,
    }
}

/// The dispatch that clears the halo of a blocked tensor; `guard` is the last binding of every kernel of an `f16` plan.
pub fn halo<B>(desc: TensorDesc, target: B, guard: Option<B>) -> Dispatch<B> {
    let l = BlockedLayout::new(desc.shape);
    let border = 2 * l.row + 2 * desc.shape.h;
    let planes = desc.shape.n * l.blocks;
    let precision = if guard.is_some() { Precision::F16 } else { Precision::F32 };
    let [row, height, plane, edge] = [l.row, desc.shape.h, l.plane, border].map(|v| v as u32);
    Dispatch {
        kernel: KernelKey::new("halo").stored(precision, 1),
        params: HaloParams { row, height, plane, border: edge }.into(),
        bindings: [target].into_iter().chain(guard).collect(),
        workgroups: [border.div_ceil(64) as u32, planes as u32, 1],
    }
}
