//! `unet doctor`

mod device;
mod files;
mod hardware;
mod packages;
mod report;
mod self_test;

use super::{Common, devices, hints, mesa};
use clap::Args;
use report::{Report, Row};
use serde_json::json;
use std::process::ExitCode;
use unet_wgpu::low_level::gpu::{AdapterSummary, adapters};
use unet_wgpu::{Error, Result};

/// Examine this machine: device, driver, speed, limits, a self-test; and say what would make it faster
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet doctor                     about 15 seconds
  unet doctor --device nvidia     another device than the default
  unet doctor --seconds 0         without the self-test
  unet doctor --json > doctor.json

Exit code: 1 if there is no device, if it does not open, or if a check fails.")]
pub(super) struct Doctor {
    /// Seconds for the self-test; 0 leaves it out
    #[arg(long, default_value_t = 10, value_name = "N")]
    seconds: u32,
    /// Time Mesa's software renderer with vectors of 256 and of 512 bits, and use the faster from now on, whatever its version
    #[arg(long)]
    vectors: bool,
}

/// Variables that change what runs.
const VARIABLES: &[&str] = &[
    "UNET_DEVICE",
    "UNET_CACHE_DIR",
    "UNET_CONV",
    "UNET_OPERANDS",
    "UNET_CHECKED_SHADERS",
    "VK_DRIVER_FILES",
    "VK_ICD_FILENAMES",
    "VK_ADD_DRIVER_FILES",
    "WGPU_BACKEND",
    mesa::WIDTH,
    "MESA_SHADER_CACHE_DIR",
    "MESA_SHADER_CACHE_DISABLE",
    "MESA_VK_DEVICE_SELECT",
    "LP_NUM_THREADS",
];

impl Doctor {
    /// Whether both widths of vectors are measured before any driver is loaded.
    pub(super) fn measures_vectors(&self) -> bool {
        self.vectors
    }

    pub(super) fn run(&self, common: &Common) -> Result<ExitCode> {
        let all = adapters();
        let choice = devices::choose(&all, common.device())?;
        if choice.as_ref().is_some_and(|c| c.index.is_none()) {
            return Err(Error::invalid("--device cpu", "the CPU reference has no driver to examine"));
        }
        let mut report = Report::new(common.json);
        program(&mut report)?;
        hardware::add(&mut report, &all)?;
        let Some((adapter, reason)) = choice.and_then(|c| Some((all.get(c.index?)?, c.reason))) else {
            report.problem("no driver offers a device, neither a GPU nor a software renderer");
            return report.finish();
        };
        adapters_row(&mut report, &all, adapter, &reason)?;
        let backend = match common.backend() {
            Ok(backend) => backend,
            Err(e) => {
                report.problem(hints::error_text(&e));
                return report.finish();
            }
        };
        if let Some(gpu) = backend.gpu() {
            device::add(&mut report, &backend, gpu)?;
            files::add(&mut report, gpu, common)?;
        }
        if self.seconds > 0 {
            self_test::add(&mut report, &backend, self.seconds)?;
        }
        report.finish()
    }
}

fn program(report: &mut Report) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = format!("{threads} thread{}", if threads == 1 { "" } else { "s" });
    let processor = mesa::processor();
    let name = processor.clone().unwrap_or_else(|| arch.into());
    let mut rows = vec![Row::new("version", version), Row::new("system", format!("{os} {arch}, {name}, {threads}"))];
    let set: Vec<(&str, String)> = VARIABLES
        .iter()
        .filter(|&&name| !(mesa::set_by_us(name)))
        .filter_map(|&name| Some((name, std::env::var_os(name)?.to_string_lossy().into_owned())))
        .collect();
    for (name, value) in &set {
        rows.push(Row::new("variable", format!("{name}={value}")));
    }
    let variables: serde_json::Map<_, _> = set.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    let document =
        json!({ "version": version, "os": os, "arch": arch, "processor": processor, "variables": variables });
    report.section("program", "Program", &rows, document)
}

fn adapters_row(report: &mut Report, all: &[AdapterSummary], used: &AdapterSummary, reason: &str) -> Result<()> {
    let software = devices::is_software(used);
    let mut rows = vec![
        Row::new("name", format!("{} ({}: {reason})", used.info.name, used.index)),
        Row::new("type", devices::kind(used)),
        Row::new("driver", format!("{}, by {:?}", devices::driver(used), used.info.backend)),
    ];
    if software && used.info.name.starts_with("llvmpipe") {
        rows.push(Row::new("vectors", mesa::vectors().to_string()));
    }
    for other in all.iter().filter(|a| a.index != used.index) {
        let kind = devices::kind(other);
        rows.push(Row::new(
            "also there",
            format!("{}: {} ({kind}, {:?})", other.index, other.info.name, other.info.backend),
        ));
        if software && !devices::is_software(other) {
            report.advise(format!(
                "{} is used, and computes on the CPU; `--device {}` uses {}, which is likely many times as fast",
                used.info.name, other.index, other.info.name
            ));
        }
    }
    let document = json!({
        "index": used.index, "name": used.info.name, "reason": reason, "type": devices::kind(used),
        "backend": format!("{:?}", used.info.backend), "driver": devices::driver(used), "software": software,
        "vendor_id": used.info.vendor, "device_id": used.info.device, "vectors": mesa::vectors().to_string(),
    });
    report.section("device", "Device", &rows, document)
}
