//! What `unet inspect` says of a package of bioimage.io, and the package's own test.

use super::Common;
use super::inspect_verify::{Report, Verify};
use super::tensors;
use serde_json::{Value, json};
use std::fmt::Write;
use unet_wgpu::error::{Error, Result};
use unet_wgpu::infer::normalise;
use unet_wgpu::model::bioimage::Package;
use unet_wgpu::model::{INPUT, Model};
use unet_wgpu::tensor::HostTensor;
use unet_wgpu::{Picture, Pixels};

pub fn text(p: &Package) -> String {
    let mut t = format!("\npackage        bioimage.io {}\n", p.format_version);
    for (key, value) in &p.about {
        let _ = writeln!(t, "{key:<15}{value}");
    }
    let _ = writeln!(t, "{:<15}{} ({})", "weights", p.weights.1.name, p.weights.0);
    let [h, w] = p.halo;
    if h + w > 0 {
        let _ = writeln!(t, "{:<15}{h} rows, {w} columns; tiles here overlap by what the network needs", "halo");
    }
    if !p.post.is_empty() {
        let _ = writeln!(t, "{:<15}{:?} of `{}`", "afterwards", p.post, p.output);
    }
    let test = if p.test.is_some() { "has test tensors: --verify" } else { "has none" };
    let _ = write!(t, "{:<15}{test}", "test");
    t
}

pub fn document(p: &Package) -> Value {
    json!({
        "format_version": p.format_version,
        "about": p.about.iter().map(|(k, v)| json!({ *k: v })).collect::<Vec<_>>(),
        "weights": { "kind": p.weights.0, "source": p.weights.1.name },
        "halo": p.halo,
        "output": p.output,
        "postprocessing": p.post.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>(),
        "has_test": p.test.is_some(),
    })
}

/// Runs the package's own test: its input normalised, the network, its processing, against its output.
pub fn verify(model: &Model, package: &Package, tolerance: Option<f32>, common: &Common) -> Result<Report> {
    let folder = tempfile::tempdir().map_err(|e| Error::io(&package.path, e))?;
    let Some([x, y]) = package.extract_test(folder.path())? else {
        return Err(Error::file(&package.path, "has no test tensors; give --input"));
    };
    let one = |path: &std::path::Path| -> Result<HostTensor> {
        let tensor = tensors::read(path, INPUT).map_err(|e| Error::file(&package.path, e.to_string()))?.remove(INPUT);
        tensor.ok_or_else(|| Error::file(&package.path, "has an empty test tensor"))
    };
    let input = prepared(model, one(&x)?)?;
    let wanted = [(package.output.clone(), one(&y)?)].into();
    let from = format!("the package's {}", package.test.as_ref().map_or("", |t| t[0].name.as_str()));
    Verify { model, input: None, expected: None, size: None, tolerance }.compare(
        common,
        input,
        from,
        Some((wanted, &package.post)),
    )
}

/// The test's input as pictures are normalised, each on its own.
fn prepared(model: &Model, x: HostTensor) -> Result<HostTensor> {
    let s = x.shape()?;
    let mut data = Vec::with_capacity(x.data().len());
    for image in x.data().chunks((s.c * s.pixels()).max(1)) {
        let interleaved =
            (0..s.pixels()).flat_map(|p| (0..s.c).filter_map(move |c| image.get(c * s.pixels() + p))).copied();
        let picture = Picture::new(s.w, s.h, s.c, Pixels::F32(interleaved.collect()))?;
        let maps = normalise(&picture, &model.metadata.normalisation)?;
        for (plane, map) in image.chunks(s.pixels().max(1)).zip(&maps) {
            data.extend(plane.iter().map(|&v| map.apply(v)));
        }
    }
    HostTensor::new(x.dims(), data)
}
