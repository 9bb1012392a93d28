//! What the opened device can do: limits beside what the built-in models need, features, speed.

use super::report::{Report, Row};
use crate::cli::{hints, output};
use serde_json::{Value, json};
use unet_wgpu::Result;
use unet_wgpu::low_level::gpu::Gpu;
use unet_wgpu::low_level::kernel::AdapterClass;
use unet_wgpu::low_level::model::Model;
use unet_wgpu::low_level::plan::PlanMemory;
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::low_level::weights::builtin;

/// Edge of an image that the built-in models are planned for, pixels.
const EDGE: usize = 512;

pub(super) fn add(report: &mut Report, backend: &Backend, gpu: &Gpu) -> Result<()> {
    limits(report, backend, gpu)?;
    features(report, gpu)?;
    speed(report, gpu)
}

fn limits(report: &mut Report, backend: &Backend, gpu: &Gpu) -> Result<()> {
    let caps = gpu.caps();
    let mut rows = vec![
        Row::new("binding", format!("{} of a buffer at a time", output::bytes(caps.max_binding_bytes))),
        Row::new("buffer", output::bytes(caps.max_buffer_bytes)),
        Row::new("bindings", format!("{} storage buffers per kernel", caps.max_storage_buffers)),
    ];
    let mut models = Vec::new();
    for builtin in builtin::BUILTIN {
        let name = builtin.name;
        match memory(backend, name) {
            Ok(m) => {
                let (total, binding) = (output::bytes(m.total()), output::bytes(m.largest_binding));
                rows.push(Row::new("models", format!("{name} {EDGE}x{EDGE}: {total}, largest binding {binding}")));
                models.push(json!({ "name": name, "bytes": m.total(), "binding_bytes": m.largest_binding }));
            }
            Err(e) => {
                let why = hints::error_text(&e);
                rows.push(Row::new("models", format!("{name} {EDGE}x{EDGE}: in smaller tiles ({why})")));
                report.advise(format!(
                    "{name} does not fit this device at {EDGE}x{EDGE}: it runs in smaller tiles, slower"
                ));
                models.push(json!({ "name": name, "limited": why }));
            }
        }
    }
    let document = json!({
        "binding_bytes": caps.max_binding_bytes, "buffer_bytes": caps.max_buffer_bytes,
        "storage_buffers": caps.max_storage_buffers, "size": [EDGE, EDGE], "models": models,
    });
    report.section("limits", "Limits, and what the built-in models need", &rows, document)
}

fn memory(backend: &Backend, name: &str) -> Result<PlanMemory> {
    backend.memory(&Model::open(name)?.whole_graph(1, EDGE, EDGE)?, u64::MAX)
}

fn features(report: &mut Report, gpu: &Gpu) -> Result<()> {
    let mut rows: Vec<Row> =
        gpu.present_features().map(|f| Row::new("has", format!("{}: {}", f.name, f.gives))).collect();
    for f in gpu.missing_features() {
        rows.push(Row::new("lacks", format!("{}: {}", f.name, f.gives)));
        if f.fast {
            report.advise(format!("{} is missing ({}): a newer driver may have it", f.name, f.gives));
        }
    }
    let policy = &gpu.target().policy;
    let storage = policy.storage[0].name();
    rows.push(Row::new(
        "kernels",
        match policy.broadcast_lanes {
            Some(lanes) => format!("tensor storage: {storage}; for subgroups of {lanes}"),
            None => format!("tensor storage: {storage}"),
        },
    ));
    let names = |all: &mut dyn Iterator<Item = &'static str>| all.map(Value::from).collect::<Vec<_>>();
    let document = json!({
        "has": names(&mut gpu.present_features().map(|f| f.name)),
        "lacks": gpu.missing_features().map(|f| json!({ "name": f.name, "gives": f.gives })).collect::<Vec<_>>(),
        "storage": storage, "broadcast_lanes": policy.broadcast_lanes,
    });
    report.section("features", "Features", &rows, document)
}

fn speed(report: &mut Report, gpu: &Gpu) -> Result<()> {
    let peak = match gpu.measure_peak() {
        Ok(peak) => peak,
        Err(e) => {
            report.problem(format!("measuring the speed failed: {}", hints::error_text(&e)));
            return Ok(());
        }
    };
    let software = gpu.caps().class == AdapterClass::Cpu;
    let mut rows = vec![
        Row::new("arithmetic", format!("{:.0} GFLOP/s of 32-bit multiply-adds", peak.gflops)),
        Row::new("memory", format!("{:.1} GB/s, read and written, of a copy", peak.gbytes)),
    ];
    if software {
        rows.push(Row::new("", "software rendering: a GPU has ten to a hundred times as much"));
    }
    report.section("speed", "Speed, measured", &rows, json!({ "gflops": peak.gflops, "gbytes_per_s": peak.gbytes }))
}
