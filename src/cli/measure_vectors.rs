//! The hidden subcommand that times a small network on llvmpipe, for [`super::mesa`].

use super::{Common, mesa, output};
use clap::Args;
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use unet_wgpu::low_level::gpu::DeviceChoice;
use unet_wgpu::low_level::model::{INPUT, parse, whole_graph};
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::testing::{random_input, random_parameter};
use unet_wgpu::{Gpu, Result};

/// Time a small network at the width of vectors that the environment names
#[derive(Args)]
pub(super) struct MeasureVectors {}

/// How long runs are timed.
const TIME: Duration = Duration::from_millis(100);
const MIN_RUNS: usize = 3;
/// Edge of the network's input, pixels.
const EDGE: usize = 128;

impl MeasureVectors {
    /// Two levels of the U-Net of the paper: the kernels that take most of the time of every network, at a size that a run
    /// takes some 30 ms.
    pub(super) fn run(&self, _: &Common) -> Result<ExitCode> {
        let gpu = Gpu::new(&DeviceChoice::Name("llvmpipe".into()))?;
        let lanes = gpu.caps().subgroup.unwrap_or(0);
        let architecture = parse("unet", &json!({ "width": 64, "depth": 1, "padding": "same" }))?;
        let graph = whole_graph(&*architecture, 1, EDGE, EDGE)?;
        let input = random_input("bench", architecture.example().with_hw(EDGE, EDGE))?;
        let mut network = Backend::Gpu(gpu).prepare(&graph, random_parameter)?;
        network.write(INPUT, input.data())?;
        // Compiles the kernels.
        network.run(|_, _| Ok(()))?;
        let (start, mut best, mut runs) = (Instant::now(), f64::INFINITY, 0);
        while runs < MIN_RUNS || start.elapsed() < TIME {
            let run = Instant::now();
            network.run(|_, _| Ok(()))?;
            best = best.min(output::ms(run));
            runs += 1;
        }
        output::json(&mesa::document(lanes, best))?;
        Ok(ExitCode::SUCCESS)
    }
}
