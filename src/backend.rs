//! What a graph runs on: a GPU, or the reference executor on the CPU.

use crate::error::Result;
use crate::gpu::{DeviceChoice, Gpu};
use crate::graph::Graph;
use crate::plan::Plan;
use crate::session::Session;
use crate::tensor::HostTensor;
use std::collections::BTreeMap;

/// A GPU, or the reference executor on the CPU: slow, everywhere, and independent of every kernel.
#[derive(Clone, Debug)]
pub enum Backend {
    /// An opened adapter.
    Gpu(Gpu),
    /// Every op's plain loops.
    Cpu,
}

impl Backend {
    /// What users call the reference executor. It is never chosen silently.
    pub const CPU: &str = "cpu";

    /// Opens the device of that name: `auto`, an index, a part of a name, or `cpu`.
    pub fn open(device: &str) -> Result<Self> {
        if device.eq_ignore_ascii_case(Self::CPU) {
            return Ok(Self::Cpu);
        }
        let choice = device.parse().unwrap_or(DeviceChoice::Auto);
        Gpu::new(&choice).map(Self::Gpu)
    }

    /// One line that says what it is.
    pub fn describe(&self) -> String {
        match self {
            Self::Gpu(gpu) => gpu.describe(),
            Self::Cpu => "cpu (reference executor, slow)".into(),
        }
    }

    /// The GPU, if it is one.
    pub fn gpu(&self) -> Option<&Gpu> {
        match self {
            Self::Gpu(gpu) => Some(gpu),
            Self::Cpu => None,
        }
    }

    /// Runs a graph once. `stored` gives the checkpoint's parameters by name and dimensions. What runs more than once
    /// should make a [`Session`] and keep it.
    pub fn run(
        &self,
        graph: &Graph,
        inputs: &BTreeMap<String, HostTensor>,
        stored: impl FnMut(&str, &[usize]) -> Result<HostTensor>,
    ) -> Result<BTreeMap<String, HostTensor>> {
        match self {
            Self::Gpu(gpu) => Session::new(gpu, Plan::new(graph, gpu.caps())?, stored)?.run_all(inputs),
            Self::Cpu => graph.run_reference(inputs, stored, |_, _| Ok(())),
        }
    }
}
