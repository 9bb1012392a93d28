//! Times one convolution on every family of kernels, interleaved: `cargo bench --bench conv -- IC,OC,H,W[,K[,PAD]] ...`.
//!
//! `benches/case` reads the cases. `FAMILIES=winograd,subgroup` limits the families, `ROUNDS=9` sets the number of runs,
//! `BUFFERS=1` also times each family without storage textures,
//! `ONLY=part_of_a_name` times only the dispatches of such shaders, `GPU_PATH=1` chooses kernels as for a device without subgroups. Prints minimum and median of the convolution's own
//! dispatches and how far its output lies from the first family's.

mod case;

use case::case;
use std::time::Instant;
use unet_wgpu::low_level::gpu::{DeviceChoice, Gpu};
use unet_wgpu::low_level::kernel::{AdapterClass, Caps, ConvFamily, Target, TensorStorage};
use unet_wgpu::low_level::ops::OpCase;
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::Session;
use unet_wgpu::low_level::tensor::HostTensor;
use unet_wgpu::testing::case_graph;
use unet_wgpu::{Error, Result};

/// A session that runs the whole case once, and then only the operation's own dispatches.
fn session(gpu: &Gpu, target: &Target, case: &OpCase, inputs: &[HostTensor]) -> Result<(Session, HostTensor, String)> {
    let graph = case_graph(case)?;
    let named = inputs.iter().enumerate().map(|(i, t)| (format!("x{i}"), t.clone())).collect();
    let stored = |name: &str, _: &[usize]| {
        let index = name[1..].parse::<usize>().map_err(|e| Error::invalid(name, e.to_string()))?;
        Ok(inputs[index].clone())
    };
    let mut full = Session::new(gpu, Plan::new(&graph, target)?, stored)?;
    let mut outputs = full.run_all(&named)?;
    let output = outputs.remove("y0").ok_or_else(|| Error::invalid("output", "missing"))?;
    let mut plan = Plan::new(&graph, target)?;
    plan.dispatches.retain(|s| s.label == case.name);
    if let Ok(only) = std::env::var("ONLY") {
        plan.dispatches.retain(|s| s.kernel.shader.contains(&only));
    }
    let kernels: std::collections::BTreeSet<String> = plan.dispatches.iter().map(|s| s.kernel.to_string()).collect();
    Ok((Session::new(gpu, plan, stored)?, output, kernels.into_iter().collect::<Vec<_>>().join(" + ")))
}

/// CPU time of all threads so far, in ms, where Linux tells: on a busy machine steadier than the clock for software
/// rendering.
fn cpu_ms() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let time = |task: std::fs::DirEntry| -> Option<f64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    tasks.filter_map(time).sum::<f64>() / 1e6
}

fn bench(gpu: &Gpu, text: &str) -> Result<()> {
    let case = case(text)?;
    let inputs = case.inputs()?;
    let families = std::env::var("FAMILIES").unwrap_or_else(|_| "tile,subgroup,gemm,winograd".into());
    let rounds = std::env::var("ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(7);
    let mut runs = Vec::new();
    let both = if std::env::var_os("BUFFERS").is_some() { 2 } else { 1 };
    for (family, storage) in families
        .split(',')
        .flat_map(|f| [(f, gpu.target().options.storage), (f, TensorStorage::Buffers)].into_iter().take(both))
    {
        let family: ConvFamily = family.parse()?;
        let mut target = gpu.target().clone().with_conv(family).with_storage(storage);
        if std::env::var_os("GPU_PATH").is_some() {
            let caps = Caps { class: AdapterClass::Other, subgroup: None, ..target.caps.clone() };
            target = target.with_caps(caps).with_storage(TensorStorage::Buffers);
        }
        let start = Instant::now();
        let (session, output, kernels) = session(gpu, &target, &case, &inputs)?;
        runs.push((family, session, output, kernels, start.elapsed().as_secs_f64(), Vec::new(), Vec::new()));
    }
    for _ in 0..rounds {
        for run in &mut runs {
            let (start, cpu) = (Instant::now(), cpu_ms());
            run.1.run()?;
            run.5.push(start.elapsed().as_secs_f64() * 1e3);
            run.6.push(cpu_ms() - cpu);
        }
    }
    println!("{text}");
    let reference = runs[0].2.clone();
    for (family, session, output, kernels, setup, mut times, mut cpu) in runs {
        times.sort_by(f64::total_cmp);
        cpu.sort_by(f64::total_cmp);
        let flop = 2.0 * session.plan().dispatches.iter().map(|s| s.macs as f64).sum::<f64>();
        let error = output.compare(&reference)?;
        println!(
            "  {:9} min {:8.2} ms {:6.1} GFLOP/s   median {:8.2} ms   cpu {:8.2} ms   off {:.1e}   setup {setup:.1} s   {kernels}",
            family.name(),
            times[0],
            flop / times[0] / 1e6,
            times[times.len() / 2],
            cpu[0],
            error.max_error / error.scale.max(1e-30),
        );
    }
    Ok(())
}

fn main() -> Result<()> {
    let gpu = Gpu::new(&DeviceChoice::Auto)?;
    println!("{}", gpu.describe());
    // Cargo itself passes `--bench`.
    let mut cases: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if cases.is_empty() {
        cases = ["64,64,64,64", "16,16,128,128", "64+64,64,64,64", "128,64,32,32,T"].map(String::from).to_vec();
    }
    for text in &cases {
        bench(&gpu, text)?;
    }
    Ok(())
}
