//! Times convolutions on every family of kernels with criterion: `cargo bench --bench kernels`.
//!
//! `CASES="IC,OC,H,W[,K[,PAD]] .."` names the convolutions; `IC` may be a sum as in `64+64` for several sources, `T` in place
//! of `K` is the transposed convolution 2x2 with stride 2. Arguments after `--` are criterion's: a part of a benchmark's
//! name, `--save-baseline NAME`, `--baseline NAME`. Of families that lead to the same kernels, the first is timed, under its name.
//! `benches/conv.rs` runs families in turns, which a busy machine needs.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use std::time::Duration;
use unet_wgpu::error::{Error, Result};
use unet_wgpu::gpu::{DeviceChoice, Gpu};
use unet_wgpu::kernel::{Caps, ConvFamily};
use unet_wgpu::ops::{ActivationKind, Conv2d, ConvTranspose2d, InputKind, OpCase, Source};
use unet_wgpu::plan::Plan;
use unet_wgpu::session::Session;
use unet_wgpu::tensor::Shape;
use unet_wgpu::testing::{case_graph, lowered, random_parameter};

const CASES: &str = "64,64,64,64 16,16,128,128 64+64,64,64,64 64,2,128,128,1 128,64,32,32,T";

fn case(text: &str) -> Option<OpCase> {
    let fields: Vec<&str> = text.split(',').collect();
    let number = |i: usize| fields.get(i).and_then(|f| f.parse::<usize>().ok());
    let channels: Vec<usize> = fields.first()?.split('+').map(|c| c.parse().ok()).collect::<Option<_>>()?;
    let (total, out, h, w) = (channels.iter().sum::<usize>(), number(1)?, number(2)?, number(3)?);
    let shapes: Vec<Shape> = channels.iter().map(|&c| Shape::new(1, c, h, w)).collect();
    if fields.get(4) == Some(&"T") {
        let case = OpCase::new(text, ConvTranspose2d::up2(out), &shapes);
        return Some(case.parameter(&[total, out, 2, 2], InputKind::Parameter).parameter(&[out], InputKind::Parameter));
    }
    let kernel = number(4).unwrap_or(3);
    let mut op = Conv2d::new(out, kernel, number(5).unwrap_or(kernel / 2)).with_bias(true);
    op.activation = ActivationKind::Relu;
    op.sources = vec![Source::WHOLE; channels.len()];
    let case = OpCase::new(text, op, &shapes).parameter(&[out, total, kernel, kernel], InputKind::Parameter);
    Some(case.parameter(&[out], InputKind::Parameter))
}

/// A session of the operation's own dispatches.
fn session(gpu: &Gpu, caps: &Caps, case: &OpCase) -> Result<Session> {
    let mut plan = Plan::new(&case_graph(case)?, caps)?;
    plan.steps.retain(|s| s.label == case.name);
    Session::new(gpu, plan, random_parameter)
}

fn bench(criterion: &mut Criterion, gpu: &Gpu, text: &str) -> Result<()> {
    let case = case(text).ok_or_else(|| Error::invalid(text.to_string(), "wanted IC,OC,H,W[,K[,PAD]]"))?;
    let mut group = criterion.benchmark_group(text);
    group.sampling_mode(SamplingMode::Flat);
    let mut kernels = Vec::new();
    for family in ConvFamily::ALL {
        let caps = Caps { conv: Some(family), ..gpu.caps().clone() };
        // A family that does not apply, or is all the same to the operation, runs on kernels already timed.
        let used: Vec<_> = lowered(&caps, &case)?.dispatches.into_iter().map(|d| d.kernel).collect();
        if kernels.contains(&used) {
            continue;
        }
        kernels.push(used);
        let mut session = session(gpu, &caps, &case)?;
        session.warm_up()?;
        let macs = session.plan().steps.iter().map(|s| s.macs).sum::<u64>();
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
