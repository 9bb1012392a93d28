//! Where a graph runs: on a GPU, or on the CPU reference.

use super::{Session, WeightPool};
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, PrecisionChoice};
use crate::graph::{Graph, rewrite};
use crate::kernel::{Caps, Target};
use crate::plan::{Plan, PlanMemory};
use crate::tensor::{HostTensor, MAX_INDEXED, Precision};
use crate::text::mib;
use std::collections::BTreeMap;

/// What runs a network.
#[derive(Clone, Debug)]
pub enum Backend {
    /// A GPU.
    Gpu(Gpu),
    /// The CPU reference of every op, on all threads: slow, available everywhere, an independent oracle. Never chosen
    /// silently.
    Cpu,
}

impl Backend {
    /// The name of the CPU reference in [`Backend::open`].
    pub const CPU: &str = "cpu";

    /// Opens the device that the user names: `auto`, an index, part of a name, or `cpu`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(device: &str) -> Result<Self> {
        block_on(Self::open_async(device))
    }

    /// [`Self::open`] as a future.
    pub async fn open_async(device: &str) -> Result<Self> {
        if device.eq_ignore_ascii_case(Self::CPU) {
            return Ok(Self::Cpu);
        }
        let choice = device.parse().unwrap_or_default();
        Ok(Self::Gpu(Gpu::new_async(&choice).await?))
    }

    /// The device in one line.
    pub fn describe(&self) -> String {
        match self {
            Self::Gpu(gpu) => gpu.describe(),
            Self::Cpu => format!("cpu (reference executor, slow, {} threads)", crate::parallel::threads()),
        }
    }

    /// The same, with [`Gpu::with_deterministic_tiling`] kernels; the CPU reference is always deterministic.
    #[must_use]
    pub fn with_deterministic_tiling(&self) -> Self {
        match self {
            Self::Gpu(gpu) => Self::Gpu(gpu.with_deterministic_tiling()),
            Self::Cpu => Self::Cpu,
        }
    }

    /// The same, storing activations and weights in the requested precision: [`Gpu::with_precision`]. The CPU reference
    /// computes in `f64` and stores `f32`; it rejects [`PrecisionChoice::F16`].
    pub fn with_precision(&self, choice: PrecisionChoice) -> Result<Self> {
        match (self, choice) {
            (Self::Gpu(gpu), _) => Ok(Self::Gpu(gpu.with_precision(choice)?)),
            (Self::Cpu, PrecisionChoice::F16) => {
                Err(Error::invalid("precision f16", "the CPU reference has f32 only; use f32 or auto"))
            }
            (Self::Cpu, _) => Ok(Self::Cpu),
        }
    }

    /// Does `work` on this backend. If it fails with [`Error::F16Range`], warns through `log` and repeats it in `f32`; the
    /// second value is then the reason, to be shown to the user.
    pub fn or_f32<T>(&self, mut work: impl FnMut(&Self) -> Result<T>) -> Result<(T, Option<String>)> {
        match work(self) {
            Err(e) => {
                let wide = self.widened(e)?;
                work(&wide.backend).map(|value| (value, Some(wide.reason)))
            }
            result => result.map(|value| (value, None)),
        }
    }

    /// [`Self::or_f32`] for asynchronous work.
    pub async fn or_f32_async<T>(&self, mut work: impl AsyncFnMut(&Self) -> Result<T>) -> Result<(T, Option<String>)> {
        match work(self).await {
            Err(e) => {
                let wide = self.widened(e)?;
                work(&wide.backend).await.map(|value| (value, Some(wide.reason)))
            }
            result => result.map(|value| (value, None)),
        }
    }

    /// The backend for repeating work that failed with [`Error::F16Range`]; any other error is returned.
    fn widened(&self, e: Error) -> Result<Widened> {
        if !matches!(e, Error::F16Range { .. }) {
            return Err(e);
        }
        log::warn!("{e}: repeating in f32");
        Ok(Widened { backend: self.with_precision(PrecisionChoice::F32)?, reason: e.to_string() })
    }

    /// How activations and weights are stored.
    pub fn precision(&self) -> Precision {
        self.gpu().map_or(Precision::F32, |gpu| gpu.target().options.precision)
    }

    /// The GPU, if it is one.
    pub fn gpu(&self) -> Option<&Gpu> {
        match self {
            Self::Gpu(gpu) => Some(gpu),
            Self::Cpu => None,
        }
    }

    /// Runs a graph once; to run it more often, use the [`Executable`] of [`Self::prepare`]. For [`Error::F16Range`] see
    /// [`Self::or_f32`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(
        &self,
        graph: &Graph,
        inputs: &BTreeMap<String, HostTensor>,
        stored: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
    ) -> Result<BTreeMap<String, HostTensor>> {
        block_on(self.run_async(graph, inputs, stored))
    }

    /// [`Self::run`] as a future.
    pub async fn run_async(
        &self,
        graph: &Graph,
        inputs: &BTreeMap<String, HostTensor>,
        stored: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
    ) -> Result<BTreeMap<String, HostTensor>> {
        let mut executable = self.prepare_async(graph, stored).await?;
        for (name, _) in graph.inputs() {
            let tensor = inputs.get(name).ok_or_else(|| Error::invalid(format!("input `{name}`"), "is missing"))?;
            executable.write(name, tensor.data())?;
        }
        executable.run_async(|_, _| Ok(())).await?;
        let mut outputs = BTreeMap::new();
        for name in executable.output_names() {
            let value = executable.read_async(&name).await?;
            outputs.insert(name, value);
        }
        Ok(outputs)
    }

    /// The memory that a graph needs; nothing is allocated. Fails with [`Error::Limit`] if the device cannot hold it, or if
    /// it exceeds `max` bytes.
    pub fn memory(&self, graph: &Graph, max: u64) -> Result<PlanMemory> {
        match self.plan(graph, max)? {
            Planning::Fits(planned) => Ok(planned.memory),
            Planning::Exceeds(excess) => Err(excess.into()),
        }
    }

    /// Plans a graph; on a GPU it is rewritten first. Nothing is allocated. Fails with [`Error::Limit`] if the device cannot
    /// hold it; more than `limit` bytes are not an error but [`Planning::Exceeds`].
    pub fn plan(&self, graph: &Graph, limit: u64) -> Result<Planning> {
        let unlimited = Target::from(Caps::unlimited());
        let rewritten;
        let (graph, target) = match self {
            Self::Gpu(gpu) => {
                rewritten = rewrite::optimise(graph, gpu.target())?;
                (&rewritten, gpu.target())
            }
            // Planned for a device without limits: the same values are live at once.
            Self::Cpu => (graph, &unlimited),
        };
        // Planning a graph that is far too large would take long.
        let min = Plan::min_memory(graph, target)?;
        if min > limit {
            return Ok(Planning::Exceeds(Excess { needed: min, at_least: true, limit }));
        }
        let plan = Plan::new(graph, target)?;
        let memory = plan.memory;
        if memory.total() > limit {
            return Ok(Planning::Exceeds(Excess { needed: memory.total(), at_least: false, limit }));
        }
        let program = match self {
            Self::Gpu(_) => Program::Plan(plan),
            Self::Cpu => Program::Graph(graph.clone()),
        };
        Ok(Planning::Fits(Box::new(PlannedGraph { memory, program })))
    }

    /// Makes a graph ready to run; on a GPU it is rewritten first.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn prepare(
        &self,
        graph: &Graph,
        stored: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
    ) -> Result<Executable> {
        block_on(self.prepare_async(graph, stored))
    }

    /// [`Self::prepare`] as a future.
    pub async fn prepare_async(
        &self,
        graph: &Graph,
        stored: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
    ) -> Result<Executable> {
        let program = match self {
            Self::Gpu(gpu) => Program::Plan(Plan::new(&rewrite::optimise(graph, gpu.target())?, gpu.target())?),
            Self::Cpu => Program::Graph(graph.clone()),
        };
        self.load(program, stored, &WeightPool::default()).await
    }

    /// Makes a graph ready to run that [`Self::plan`] of this backend has planned. On a GPU its weights are in a pool of the
    /// model on this device.
    pub async fn prepare_planned_async(
        &self,
        planned: PlannedGraph,
        stored: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
        pool: &WeightPool,
    ) -> Result<Executable> {
        self.load(planned.program, stored, pool).await
    }

    async fn load(
        &self,
        program: Program,
        mut stored: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
        pool: &WeightPool,
    ) -> Result<Executable> {
        match (self, program) {
            (Self::Gpu(gpu), Program::Plan(plan)) => {
                Ok(Executable::Gpu(Box::new(Session::new_sharing(gpu, plan, stored, pool, None).await?)))
            }
            (Self::Cpu, Program::Graph(graph)) => {
                // A failed allocation would abort the program.
                graph.values().iter().try_for_each(|v| v.desc.check_size(&v.name, MAX_INDEXED))?;
                let mut parameters = BTreeMap::new();
                for (name, dims) in graph.parameters() {
                    parameters.insert(name.to_string(), stored(name, dims)?);
                }
                Ok(Executable::Cpu(Box::new(Reference { graph, parameters, ..Default::default() })))
            }
            _ => Err(Error::invalid("planned graph", "was planned for another backend")),
        }
    }
}

/// The outcome of planning a graph within a memory limit.
#[derive(Debug)]
pub enum Planning {
    /// It fits.
    Fits(Box<PlannedGraph>),
    /// It needs more memory than the limit.
    Exceeds(Excess),
}

/// A graph that is planned for a backend.
#[derive(Debug)]
pub struct PlannedGraph {
    /// The memory it needs on the device.
    pub memory: PlanMemory,
    program: Program,
}

impl PlannedGraph {
    /// The plan, on a GPU.
    pub(crate) fn plan(&self) -> Option<&Plan> {
        match &self.program {
            Program::Plan(plan) => Some(plan),
            Program::Graph(_) => None,
        }
    }
}

/// What a backend runs.
#[derive(Debug)]
enum Program {
    /// On a GPU.
    Plan(Plan),
    /// On the CPU reference.
    Graph(Graph),
}

/// Memory need of a graph that exceeds its limit, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// The memory that it needs.
    pub needed: u64,
    /// Whether `needed` is only a lower bound.
    pub at_least: bool,
    /// The limit.
    pub limit: u64,
}

impl Excess {
    /// The need as text.
    pub fn needed(&self) -> String {
        if self.at_least { format!("at least {}", mib(self.needed)) } else { mib(self.needed) }
    }
}

impl From<Excess> for Error {
    fn from(excess: Excess) -> Self {
        let limit = format!("{} of memory", mib(excess.limit));
        Self::Limit { what: "the network".into(), needed: excess.needed(), limit }
    }
}

/// An `f32` backend that replaces an `f16` one.
struct Widened {
    backend: Backend,
    /// What `f16` could not hold.
    reason: String,
}

/// A graph ready to run on its backend.
#[derive(Debug)]
pub enum Executable {
    /// On a GPU.
    Gpu(Box<Session>),
    /// On the CPU.
    Cpu(Box<Reference>),
}

/// A graph with its parameters, run by the CPU reference.
#[derive(Debug, Default)]
pub struct Reference {
    graph: Graph,
    parameters: BTreeMap<String, HostTensor>,
    inputs: BTreeMap<String, HostTensor>,
    outputs: BTreeMap<String, HostTensor>,
}

impl Executable {
    /// Writes an input, NCHW.
    pub fn write(&mut self, name: &str, data: &[f32]) -> Result<()> {
        match self {
            Self::Gpu(session) => session.write(name, data),
            Self::Cpu(r) => {
                let id = r.graph.inputs().find(|i| i.0 == name).map(|i| i.1);
                let id = id.ok_or_else(|| Error::invalid(format!("input `{name}`"), "unknown"))?;
                let tensor = HostTensor::new(r.graph.shape(id).dims(), data.to_vec())?;
                r.inputs.insert(name.to_string(), tensor);
                Ok(())
            }
        }
    }

    /// Runs; `progress(done, of)` may cancel by returning an error.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&mut self, progress: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
        block_on(self.run_async(progress))
    }

    /// [`Self::run`] as a future. The CPU reference is ready when it is first polled.
    pub async fn run_async(&mut self, mut progress: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
        match self {
            Self::Gpu(session) => session.run_with_async(progress).await,
            Self::Cpu(r) => {
                let Reference { graph, parameters, inputs, outputs } = &mut **r;
                let stored = |name: &str, _: &[usize]| {
                    let found = parameters.get(name).cloned();
                    found.ok_or_else(|| Error::ParameterMissing { key: name.into(), nearest: None })
                };
                *outputs = graph.run_reference(inputs, stored, &mut progress)?;
                let all = graph.nodes().len();
                progress(all, all)
            }
        }
    }

    /// Reads an output, NCHW.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&mut self, name: &str) -> Result<HostTensor> {
        block_on(self.read_async(name))
    }

    /// [`Self::read`] as a future.
    pub async fn read_async(&mut self, name: &str) -> Result<HostTensor> {
        match self {
            Self::Gpu(session) => session.read_async(name).await,
            Self::Cpu(r) => r
                .outputs
                .get(name)
                .cloned()
                .ok_or_else(|| Error::invalid(format!("output `{name}`"), "unknown, or not computed yet")),
        }
    }

    /// Names of the outputs.
    pub fn output_names(&self) -> Vec<String> {
        match self {
            Self::Gpu(session) => session.plan().outputs.clone(),
            Self::Cpu(r) => r.graph.outputs().iter().map(|o| o.0.clone()).collect(),
        }
    }

    /// How activations and weights are stored.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Gpu(session) => session.precision(),
            Self::Cpu(_) => Precision::F32,
        }
    }

    /// Bytes of device memory held; 0 on the CPU.
    pub fn device_bytes(&self) -> u64 {
        match self {
            Self::Gpu(session) => session.device_bytes(),
            Self::Cpu(_) => 0,
        }
    }

    /// The same without weights.
    pub(crate) fn bytes_without_weights(&self) -> u64 {
        match self {
            Self::Gpu(session) => session.device_bytes() - session.weight_bytes(),
            Self::Cpu(_) => 0,
        }
    }
}
