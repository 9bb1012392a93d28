//! `unet tune`

use super::arch::{ArchArgs, DESCRIBED};
use super::inspect::size;
use super::{Common, output};
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::ExitCode;
use unet_wgpu::low_level::graph::rewrite;
use unet_wgpu::low_level::kernel::ConvClass;
use unet_wgpu::low_level::model::whole_graph;
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::low_level::tune::{Measurement, StorageMeasurement, choices, load, save, tune, tune_storage};
use unet_wgpu::{Error, Result};

/// Time the kernels that a network could use on this device, and remember the fastest
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet tune -m nuclei --size 512x512
  unet tune --arch unet3+ --in-channels 3 --size 256x256

Every kernel family is first checked against the CPU reference on a few pixels; one with wrong results is dropped and
reported. Then the whole network is timed with its tensors in buffers, in storage textures or, where the driver allows it, in
both (aliased). Choices are stored for this adapter, driver, backend and version of the program, in the user's cache folder or
in UNET_CACHE_DIR, and are used from then on; earlier choices are retained. --no-tune ignores them; deleting the file discards
them.")]
pub(super) struct Tune {
    /// Built-in model or checkpoint file
    #[arg(short, long, group = "network", required_unless_present_any = DESCRIBED)]
    model: Option<String>,
    #[command(flatten)]
    arch: ArchArgs,
    /// Input rows and columns: those of your images, or of their tiles
    #[arg(long, value_name = "HxW", value_parser = size)]
    size: [usize; 2],
}

impl Tune {
    pub(super) fn run(&self, common: &Common) -> Result<ExitCode> {
        let architecture = match (&self.model, self.arch.build(self.model.as_deref())?) {
            (Some(name), _) => self.arch.open(name, common)?.architecture,
            (None, Some(a)) => a,
            (None, None) => return Err(Error::invalid("tune", "needs --model or --arch")),
        };
        let Backend::Gpu(gpu) = common.backend()? else {
            return Err(Error::invalid("--device cpu", "the CPU reference has no kernels to choose from"));
        };
        let graph = rewrite::optimise(&whole_graph(&*architecture, 1, self.size[0], self.size[1])?, gpu.target())?;
        let measured = tune(&gpu, &graph, |done, of| {
            common.note(&format!("{done} of {of} kinds of convolution"));
            Ok(())
        })?;
        let chosen = choices(&measured);
        common.note("the whole network, in buffers and in textures");
        let storage = tune_storage(&gpu, &graph, &chosen)?;
        let path = match common.cache_dir() {
            None => None,
            Some(folder) => {
                let mut tuning = load(&gpu, &folder).unwrap_or_default();
                tuning.merge(chosen);
                if storage.candidates.len() > 1 {
                    tuning.set_storage(storage.choice());
                }
                Some(save(&gpu, &folder, &tuning)?)
            }
        };
        if common.json {
            output::json(&json!({
                "adapter": gpu.describe(), "arch": architecture.id(), "size": self.size,
                "file": path.as_ref().map(|p| p.to_string_lossy()),
                "convolutions": measured.iter().map(document).collect::<Vec<_>>(),
                "storage": storage_document(&storage),
            }))?;
        } else {
            let mut t: String = measured.iter().map(text).collect();
            t += &storage_text(&storage);
            let changed = measured.iter().filter(|m| m.chosen.is_some_and(|c| c != m.usual)).count();
            let _ = write!(t, "{changed} of {} kinds of convolution now use other kernels; ", measured.len());
            t += &match path {
                Some(path) => format!("stored in {}", path.display()),
                None => "not stored: there is no cache folder (--no-cache, or UNET_CACHE_DIR is empty)".into(),
            };
            output::line(&t)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(class: &ConvClass) -> String {
    let [kh, kw] = class.kernel;
    let stride = if class.stride == [1; 2] { String::new() } else { format!(", stride {:?}", class.stride) };
    let dilation = if class.dilation == [1; 2] { String::new() } else { format!(", dilation {:?}", class.dilation) };
    let ConvClass { inputs, outputs, pixels, .. } = class;
    format!("{kh}x{kw}{stride}{dilation}, up to {inputs} -> {outputs} channels, about {pixels} pixels")
}

fn text(m: &Measurement) -> String {
    let others = match m.layers.len() {
        1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    let mut t = format!("{} ({}{others})\n", describe(&m.class), m.layers[0]);
    for c in &m.candidates {
        line(&mut t, c.family.name(), &c.outcome, m.chosen == Some(c.family), m.usual == c.family);
    }
    t + "\n"
}

fn line(t: &mut String, name: &str, outcome: &std::result::Result<f64, String>, chosen: bool, usual: bool) {
    let mark = match (chosen, usual) {
        (true, true) => "  chosen, as without tuning",
        (true, false) => "  chosen",
        (false, true) => "  without tuning",
        (false, false) => "",
    };
    let _ = match outcome {
        Ok(ms) => writeln!(t, "  {name:<9} {ms:9.2} ms{mark}"),
        Err(why) => writeln!(t, "  {name:<9} dropped: {why}"),
    };
}

fn storage_text(m: &StorageMeasurement) -> String {
    let mut t = "The whole network, by tensor storage\n".to_string();
    for (i, c) in m.candidates.iter().enumerate() {
        line(&mut t, c.storage.name(), &c.outcome, m.chosen == Some(c.storage), i == 0);
    }
    t + "\n"
}

fn storage_document(m: &StorageMeasurement) -> Value {
    let candidates = m.candidates.iter();
    let candidates = candidates.map(
        |c| json!({ "storage": c.storage.name(), "ms": c.outcome.as_ref().ok(), "dropped": c.outcome.as_ref().err() }),
    );
    json!({ "chosen": m.chosen.map(|c| c.name()), "candidates": candidates.collect::<Vec<_>>() })
}

fn document(m: &Measurement) -> Value {
    let candidate = |c: &unet_wgpu::low_level::tune::Candidate| json!({ "family": c.family.name(), "ms": c.outcome.as_ref().ok(), "dropped": c.outcome.as_ref().err() });
    json!({
        "class": m.class, "layers": m.layers, "usual": m.usual.name(), "chosen": m.chosen.map(|c| c.name()),
        "candidates": m.candidates.iter().map(candidate).collect::<Vec<_>>(),
    })
}
