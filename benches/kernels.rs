//! Times convolutions on every family of kernels with criterion: `cargo bench --bench kernels`.
//!
//! `CASES="IC,OC,H,W[,K[,PAD]] .."` names the convolutions, as `benches/case` says. Arguments after `--` are criterion's: a part of a benchmark's
//! name, `--save-baseline NAME`, `--baseline NAME`. Of families that lead to the same kernels, the first is timed, under its name.
//! `benches/conv.rs` interleaves families, for busy machines.

mod case;

use case::case;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use std::time::Duration;
use unet_wgpu::Result;
use unet_wgpu::low_level::gpu::{DeviceChoice, Gpu};
use unet_wgpu::low_level::kernel::{ConvFamily, Target};
use unet_wgpu::low_level::ops::OpCase;
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::Session;
use unet_wgpu::testing::{case_graph, lowered, random_parameter};

const CASES: &str = "64,64,64,64 16,16,128,128 64+64,64,64,64 64,2,128,128,1 128,64,32,32,T";

/// A session of the operation's own dispatches.
fn session(gpu: &Gpu, target: &Target, case: &OpCase) -> Result<Session> {
    let mut plan = Plan::new(&case_graph(case)?, target)?;
    plan.dispatches.retain(|s| s.label == case.name);
    Session::new(gpu, plan, random_parameter)
}

fn bench(criterion: &mut Criterion, gpu: &Gpu, text: &str) -> Result<()> {
    let case = case(text)?;
    let mut group = criterion.benchmark_group(text);
    group.sampling_mode(SamplingMode::Flat);
    let mut kernels = Vec::new();
    for family in ConvFamily::ALL {
        let target = gpu.target().clone().with_conv(family);
        // A family that does not apply, or is all the same to the operation, runs on kernels already timed.
        let used: Vec<_> = lowered(&target, &case)?.dispatches.into_iter().map(|d| d.kernel).collect();
        if kernels.contains(&used) {
            continue;
        }
        kernels.push(used);
        let mut session = session(gpu, &target, &case)?;
        session.warm_up()?;
        let macs = session.plan().dispatches.iter().map(|s| s.macs).sum::<u64>();
        group.throughput(Throughput::Elements(macs));
        let mut failed = None;
        group.bench_function(BenchmarkId::from_parameter(family.name()), |b| {
            b.iter(|| failed = session.run().err());
        });
        if let Some(e) = failed {
            return Err(e);
        }
    }
    group.finish();
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let gpu = Gpu::new(&DeviceChoice::Auto)?;
    eprintln!("{}; throughput in multiply-adds", gpu.describe());
    let cases = std::env::var("CASES").unwrap_or_else(|_| CASES.into());
    for text in cases.split_whitespace() {
        bench(&mut criterion, &gpu, text)?;
    }
    criterion.final_summary();
    Ok(())
}
