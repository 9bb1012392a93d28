//! `unet shaders`

use super::{Common, output};
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use unet_wgpu::low_level::graph::rewrite;
use unet_wgpu::low_level::kernel::{AdapterClass, BindingKind, KernelKey, Target, TensorStorage, compose, parse};
use unet_wgpu::low_level::model::{parse as architecture, whole_graph};
use unet_wgpu::low_level::ops::registry;
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::testing::{family_caps, lowered, matrix_caps, tile_caps};
use unet_wgpu::{Error, Result};

/// Write the WGSL of every kernel, as compiled for a device, for tools that read shaders
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet shaders --out kernels                      for every class of adapters
  unet shaders --out kernels --class nvidia
  unet shaders --out kernels --class amd --nets   only what the standard networks run

One file per variant, entry point `main`, and `index.json`: file, constants, workgroup size,
bindings, the classes that choose it, and what uses it. Kernels run without bounds checks,
without bounded loops and without zeroed workgroup memory.")]
pub(super) struct Shaders {
    /// Folder to write to; created if missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Class of adapters: cpu, intel, amd, nvidia, apple, other, or all
    #[arg(long, default_value = "all")]
    class: String,
    /// Omit kernels that only test cases and forced kernel families use
    #[arg(long)]
    nets: bool,
}

/// The networks whose kernels matter: name, architecture, options, input `[H, W]`.
fn networks() -> [(&'static str, &'static str, Value, [usize; 2]); 5] {
    let bilinear = json!({ "width": 32, "in_channels": 3, "up": "bilinear" });
    [
        ("U-Net 64, 256x256", "unet", json!({ "width": 64, "padding": "same" }), [256; 2]),
        ("U-Net 64 valid, 572x572", "unet", json!({ "width": 64, "padding": "valid" }), [572; 2]),
        ("U-Net 16, 256x256", "unet", json!({ "width": 16, "padding": "same" }), [256; 2]),
        ("U-Net++ 32, 256x256", "unet++", bilinear, [256; 2]),
        ("U-Net 3+ 64, 256x256", "unet3+", json!({ "width": 64, "in_channels": 3 }), [256; 2]),
    ]
}

/// What uses a variant.
#[derive(Default)]
struct Uses {
    classes: BTreeSet<&'static str>,
    networks: BTreeSet<String>,
    cases: BTreeSet<String>,
}

impl Shaders {
    pub(super) fn run(&self, common: &Common) -> Result<ExitCode> {
        let classes = match self.class.as_str() {
            "all" => AdapterClass::ALL.to_vec(),
            one => vec![one.parse()?],
        };
        let variants = self.variants(&classes)?;
        std::fs::create_dir_all(&self.out).map_err(|e| Error::io(&self.out, e))?;
        let mut index = Vec::new();
        for (key, uses) in &variants {
            let file = format!("{}.wgsl", file_stem(key));
            write(&self.out.join(&file), &compose(key)?)?;
            index.push(entry(key, &file, uses)?);
        }
        let document = json!({ "version": env!("CARGO_PKG_VERSION"), "kernels": index });
        write(&self.out.join("index.json"), &format!("{document:#}\n"))?;
        if common.json {
            output::json(&document)?;
        } else {
            output::line(&format!("{} kernels and index.json written to {}", variants.len(), self.out.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn variants(&self, classes: &[AdapterClass]) -> Result<BTreeMap<KernelKey, Uses>> {
        let mut all: BTreeMap<KernelKey, Uses> = BTreeMap::new();
        for &class in classes {
            let typical = Target::typical(class);
            for (name, arch, config, [h, w]) in networks() {
                let graph = rewrite::optimise(&whole_graph(architecture(arch, &config)?.as_ref(), 1, h, w)?, &typical)?;
                // Variants on textures get no class: they are used only where `unet tune` finds them faster.
                for (chosen, storage) in
                    [(true, typical.options.storage), (false, TensorStorage::Textures), (false, TensorStorage::Aliased)]
                {
                    for dispatch in Plan::new(&graph, &typical.clone().with_storage(storage))?.dispatches {
                        let uses = all.entry(dispatch.kernel).or_default();
                        uses.classes.extend(chosen.then_some(class.name()));
                        uses.networks.insert(name.to_string());
                    }
                }
            }
            if self.nets {
                continue;
            }
            for case in registry() {
                for d in lowered(&typical, &case)?.dispatches {
                    let uses = all.entry(d.kernel).or_default();
                    uses.classes.insert(class.name());
                    uses.cases.insert(case.name.clone());
                }
                // Forced kernels get no class either.
                let forced = family_caps(&typical).into_iter().chain(tile_caps(&typical));
                for (_, forced) in forced.chain(matrix_caps(&typical)) {
                    for d in lowered(&forced, &case)?.dispatches {
                        all.entry(d.kernel).or_default().cases.insert(case.name.clone());
                    }
                }
            }
        }
        Ok(all)
    }
}

/// `conv2d_gemm-kh3-kw3-activation1-tm64-tn8-whole`.
fn file_stem(key: &KernelKey) -> String {
    let mut stem = key.shader.to_string();
    for (name, value) in &key.consts {
        stem += &format!("-{}{value}", name.to_lowercase());
    }
    stem
}

fn entry(key: &KernelKey, file: &str, uses: &Uses) -> Result<Value> {
    let reflected = parse(key)?;
    let kind = |b: &BindingKind| match b {
        BindingKind::Uniform => "uniform",
        BindingKind::Read => "read",
        BindingKind::ReadWrite => "read_write",
        BindingKind::Texture { stores: false, .. } => "texture_read",
        BindingKind::Texture { loads: false, .. } => "texture_write",
        BindingKind::Texture { .. } => "texture_read_write",
    };
    let constants: serde_json::Map<String, Value> =
        key.consts.iter().map(|&(name, value)| (name.to_string(), value.into())).collect();
    Ok(json!({
        "file": file,
        "shader": key.shader,
        "constants": constants,
        "entry": "main",
        "workgroup_size": reflected.workgroup_size,
        "bindings": reflected.bindings.iter().map(kind).collect::<Vec<_>>(),
        "classes": uses.classes,
        "networks": uses.networks,
        "cases": uses.cases,
    }))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Error::io(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet_wgpu::low_level::kernel::TEXTURES;

    #[test]
    fn variants_have_distinct_files() {
        let all = Shaders { out: PathBuf::new(), class: "all".into(), nets: false };
        let variants = all.variants(&[AdapterClass::Cpu, AdapterClass::Nvidia]).unwrap();
        let names: BTreeSet<String> = variants.keys().map(file_stem).collect();
        assert_eq!(names.len(), variants.len());
        let chosen = variants.values().filter(|u| u.classes.contains("nvidia")).count();
        assert!(chosen > 10 && chosen < variants.len(), "{chosen} of {}", variants.len());
        let on_textures = |k: &&KernelKey| k.value(TEXTURES).is_some() && k.value("SUBGROUP").is_none();
        assert!(variants.keys().any(|k| on_textures(&k) && k.shader == "winograd_gemm"));
        let nets = Shaders { nets: true, ..all }.variants(&[AdapterClass::Nvidia]).unwrap();
        assert!(nets.keys().all(|k| variants.contains_key(k)) && nets.len() < variants.len());
    }
}
