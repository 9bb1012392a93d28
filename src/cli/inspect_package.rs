//! The section of `unet inspect` about a bioimage.io package, and the package's own test.

use super::Common;
use super::inspect_verify::{Report, Verify};
use super::tensors;
use serde_json::{Value, json};
use std::fmt::Write;
use unet_wgpu::low_level::infer::normalise;
use unet_wgpu::low_level::model::bioimage::{Described, Package, Size};
use unet_wgpu::low_level::model::{INPUT, Model};
use unet_wgpu::low_level::tensor::HostTensor;
use unet_wgpu::{Error, Result};
use unet_wgpu::{Image, Pixels};

pub(super) fn text(p: &Package) -> String {
    let mut t = format!("\npackage        bioimage.io {}\n", p.format_version);
    for (key, value) in &p.about {
        let _ = writeln!(t, "{key:<15}{value}");
    }
    let _ = writeln!(t, "{:<15}{} ({})", "weights", p.weights.1.name, p.weights.0);
    for (what, tensor) in [("input", &p.input), ("output", &p.output)] {
        let [y, x] = &tensor.size;
        let _ = write!(t, "{what:<15}`{}` {}, y {}, x {}", tensor.id, tensor.letters(), size(y), size(x));
        let [h, w] = tensor.halo;
        let _ = if h + w > 0 { writeln!(t, ", halo {h} and {w}") } else { writeln!(t) };
    }
    let steps: Vec<String> = p.post.iter().map(|s| format!("{s:?}")).collect();
    let steps = if steps.is_empty() { "none".into() } else { steps.join(", ") };
    let _ = writeln!(t, "{:<15}of the network's `{}`: {steps}", "postprocessing", p.network_output);
    for note in &p.notes {
        let _ = writeln!(t, "{:<15}{note}", "note");
    }
    let test = if p.test.is_some() { "included; run it with --verify" } else { "none" };
    let _ = write!(t, "{:<15}{test}", "test");
    t
}

/// A size in words.
fn size(size: &Size) -> String {
    match size {
        Size::Free => "of any size".into(),
        Size::Fixed(n) => n.to_string(),
        Size::Steps { min, step } => format!("{min} + k * {step}"),
        Size::Like { tensor, axis, offset: 0.0, .. } => format!("as {axis} of `{tensor}`"),
        Size::Like { tensor, axis, offset, .. } => format!("as {axis} of `{tensor}` {offset:+}"),
    }
}

pub(super) fn document(p: &Package) -> Value {
    let tensor = |d: &Described| {
        json!({
            "id": d.id, "axes": d.letters(), "y": size(&d.size[0]), "x": size(&d.size[1]),
            "halo": d.halo, "channels": d.channels, "channel_names": d.channel_names,
        })
    };
    json!({
        "format_version": p.format_version,
        "about": p.about.iter().map(|(k, v)| json!({ *k: v })).collect::<Vec<_>>(),
        "weights": { "kind": p.weights.0, "source": p.weights.1.name },
        "input": tensor(&p.input),
        "output": tensor(&p.output),
        "network_output": p.network_output,
        "postprocessing": p.post.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>(),
        "notes": p.notes,
        "has_test": p.test.is_some(),
    })
}

/// Runs the package's own test: normalises its input, runs the network with postprocessing, and compares with its output.
/// Both tensors have the axes of the description.
pub(super) fn verify(model: &Model, package: &Package, tolerance: Option<f32>, common: &Common) -> Result<Report> {
    let folder = tempfile::tempdir().map_err(|e| Error::io(package.file.name(), e))?;
    let Some([x, y]) = package.extract_test(folder.path())? else {
        return Err(Error::file(package.file.name(), "has no test tensors; give --input"));
    };
    let one = |path: &std::path::Path, axes: &Described| -> Result<HostTensor> {
        let within = |e: Error| Error::file(package.file.name(), e.message());
        let tensor = tensors::read(path, INPUT).map_err(within)?.remove(INPUT);
        let tensor = tensor.ok_or_else(|| Error::file(package.file.name(), "has an empty test tensor"))?;
        axes.arranged(&tensor).map_err(within)
    };
    let input = prepared(model, one(&x, &package.input)?)?;
    let expected = [(package.output.id.clone(), one(&y, &package.output)?)].into();
    let from = format!("the package's {}", package.test.as_ref().map_or("", |t| t[0].name.as_str()));
    Verify { model, input: None, expected: None, size: None, tolerance }.compare(common, input, from, Some(expected))
}

/// The test's input, each batch item normalised as an image.
fn prepared(model: &Model, x: HostTensor) -> Result<HostTensor> {
    let s = x.shape()?;
    let mut data = Vec::with_capacity(x.data().len());
    for item in x.data().chunks((s.c * s.pixels()).max(1)) {
        let interleaved =
            (0..s.pixels()).flat_map(|p| (0..s.c).filter_map(move |c| item.get(c * s.pixels() + p))).copied();
        let image = Image::new(s.w, s.h, s.c, Pixels::F32(interleaved.collect()))?;
        let maps = normalise(&image, &model.metadata.normalisation)?;
        for (plane, map) in item.chunks(s.pixels().max(1)).zip(&maps) {
            data.extend(plane.iter().map(|&v| map.apply(v)));
        }
    }
    HostTensor::new(x.dims(), data)
}
