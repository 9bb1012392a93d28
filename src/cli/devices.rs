//! `unet devices`

use super::{Common, hints, output};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use unet_wgpu::low_level::gpu::{AdapterSummary, DeviceChoice, adapters};
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::{Error, Result};

/// List the devices of this machine, and say which one would be used and why
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet devices                      the one that would be used is marked with *
  unet devices --device nvidia      which one `--device nvidia` means
  unet devices --json")]
pub(super) struct Devices {}

/// The device that would be used, and why.
pub(super) struct Choice {
    /// `None` is the CPU reference.
    pub index: Option<usize>,
    pub reason: String,
}

impl Devices {
    pub(super) fn run(&self, common: &Common) -> Result<ExitCode> {
        let all = adapters();
        let choice = choose(&all, common.device())?;
        if common.json {
            output::json(&document(&all, choice.as_ref()))?;
        } else {
            output::line(&text(&all, choice.as_ref()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// `None` if no device is requested and there is no adapter.
pub(super) fn choose(all: &[AdapterSummary], device: &str) -> Result<Option<Choice>> {
    if device.eq_ignore_ascii_case(Backend::CPU) {
        return Ok(Some(Choice { index: None, reason: "requested by --device cpu".into() }));
    }
    let choice: DeviceChoice = device.parse().unwrap_or_default();
    let found = choice.select(all);
    let reason = match (&choice, all.len()) {
        (DeviceChoice::Auto, 0) => return Ok(None),
        (DeviceChoice::Auto, 1) => "it is the only adapter".into(),
        (DeviceChoice::Auto, _) => {
            "the order of preference is discrete, integrated, virtual, software rendering".into()
        }
        _ => format!("requested by --device {device}"),
    };
    let Some(found) = found else {
        let available = all.iter().map(|a| format!("{}: {}", a.index, a.info.name)).collect();
        return Err(Error::UnknownAdapter { requested: device.into(), available });
    };
    Ok(Some(Choice { index: Some(found.index), reason }))
}

pub(super) fn kind(a: &AdapterSummary) -> &'static str {
    match a.info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => "software rendering on the CPU",
        wgpu::DeviceType::Other => "unknown",
    }
}

/// Whether an adapter computes on the CPU.
pub(super) fn is_software(a: &AdapterSummary) -> bool {
    a.info.device_type == wgpu::DeviceType::Cpu
}

fn has(a: &AdapterSummary, feature: wgpu::Features) -> bool {
    a.features.contains(feature)
}

pub(super) fn driver(a: &AdapterSummary) -> String {
    let parts = [a.info.driver.as_str(), a.info.driver_info.as_str()];
    let known: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
    if known.is_empty() { "unknown".into() } else { known.join(" ") }
}

fn text(all: &[AdapterSummary], choice: Option<&Choice>) -> String {
    let mark = |index| if choice.is_some_and(|c| c.index == index) { '*' } else { ' ' };
    let mut lines = Vec::new();
    for a in all {
        let (info, limits) = (&a.info, &a.limits);
        let yes = |feature| if has(a, feature) { "yes" } else { "no" };
        let subgroups = match (has(a, wgpu::Features::SUBGROUP), info.subgroup_min_size, info.subgroup_max_size) {
            (false, ..) => "no".to_string(),
            (true, min, max) if min == max => format!("of {min}"),
            (true, min, max) => format!("of {min} to {max}"),
        };
        lines.push(format!("{} {}: {}", mark(Some(a.index)), a.index, info.name));
        let mut row = |name: &str, value: String| lines.push(format!("       {name:<10}{value}"));
        row("type", kind(a).into());
        row("backend", format!("{:?}", info.backend));
        row("driver", driver(a));
        if !info.device_pci_bus_id.is_empty() {
            row("PCI", info.device_pci_bus_id.clone());
        }
        row(
            "limits",
            format!(
                "{} per binding, {} per buffer, {} storage buffers per stage, {} workgroup memory",
                output::bytes(limits.max_storage_buffer_binding_size),
                output::bytes(limits.max_buffer_size),
                limits.max_storage_buffers_per_shader_stage,
                output::bytes(limits.max_compute_workgroup_storage_size.into()),
            ),
        );
        let f16 = yes(wgpu::Features::SHADER_F16);
        row("features", format!("f16 {f16}, subgroups {subgroups}, timers {}", yes(wgpu::Features::TIMESTAMP_QUERY)));
    }
    lines.push(format!("{} cpu: reference executor", mark(None)));
    lines.push("       slow, plain loops for checking results; used only with `--device cpu`".into());
    lines.push(String::new());
    lines.push(match choice {
        Some(Choice { index: Some(i), reason }) => format!("Would use {i}, {}: {reason}.", all[*i].info.name),
        Some(Choice { index: None, reason }) => format!("Would use cpu: {reason}."),
        None => {
            let hint = hints::error_text(&Error::NoAdapter);
            let mut letters = hint.chars();
            format!("{}{}.", letters.next().map(|c| c.to_ascii_uppercase()).unwrap_or_default(), letters.as_str())
        }
    });
    lines.join("\n")
}

fn document(all: &[AdapterSummary], choice: Option<&Choice>) -> Value {
    let is = |index| choice.is_some_and(|c| c.index == index);
    let adapter = |a: &AdapterSummary| {
        let (info, limits) = (&a.info, &a.limits);
        json!({
            "index": a.index,
            "name": info.name,
            "type": kind(a),
            "backend": format!("{:?}", info.backend),
            "driver": driver(a),
            "vendor_id": info.vendor,
            "device_id": info.device,
            "pci_address": info.device_pci_bus_id,
            "limits": {
                "binding_bytes": limits.max_storage_buffer_binding_size,
                "buffer_bytes": limits.max_buffer_size,
                "storage_buffers_per_stage": limits.max_storage_buffers_per_shader_stage,
                "workgroup_memory_bytes": limits.max_compute_workgroup_storage_size,
                "workgroup_invocations": limits.max_compute_invocations_per_workgroup,
            },
            "features": {
                "f16": has(a, wgpu::Features::SHADER_F16),
                "subgroups": has(a, wgpu::Features::SUBGROUP),
                "subgroup_size": [info.subgroup_min_size, info.subgroup_max_size],
                "timestamp_queries": has(a, wgpu::Features::TIMESTAMP_QUERY),
            },
            "used": is(Some(a.index)),
        })
    };
    json!({
        "adapters": all.iter().map(adapter).collect::<Vec<_>>(),
        "cpu": { "name": "reference executor", "used": is(None) },
        "used": choice.map(|c| c.index.map_or_else(|| Value::from(Backend::CPU), Value::from)),
        "reason": choice.map(|c| c.reason.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_adapter() {
        assert!(choose(&[], "auto").unwrap().is_none());
        let text = text(&[], None);
        assert!(text.contains("No GPU adapter found. Install a Vulkan"), "{text}");
        assert_eq!(document(&[], None)["used"], Value::Null);
        assert!(matches!(choose(&[], "0"), Err(Error::UnknownAdapter { .. })));
        assert_eq!(choose(&[], "CPU").unwrap().unwrap().index, None);
    }
}
