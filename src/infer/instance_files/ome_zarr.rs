//! Labels as OME-Zarr: in the folder `labels` of an OME-Zarr image, or as an image of their own.

mod pyramid;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::pyramid::{Pyramid, Resolution};
use crate::error::{Error, Result};
use crate::infer::calibration::Calibration;
use crate::infer::decode::zarr::{Axis, Format, Multiscale, Node, Role, document, is_zarr};
use crate::infer::instances::runs::Run;
use crate::infer::instances::{InstanceSource as Source, Instances};
use crate::infer::origin::SOFTWARE;
use crate::infer::output_path;
use crate::infer::writer::{InstanceWriter, ResultSink, WriteFailure, WriteSeek, Writer, Written};
use crate::io::{Output, PendingFolder, fs, replace_file};

/// The name of labels in an image's folder, if none is given.
const NAME: &str = "unet";
/// An image of its own has resolutions until its longer side is at most this.
const SMALLEST: usize = 512;

/// The instance number of every pixel, 0 for none: OME-Zarr with 16 bits, or 32 for more than 65,535 instances, in chunks and in
/// several resolutions.
#[derive(Clone, Copy, Debug)]
pub struct OmeZarr;

impl Writer for OmeZarr {
    fn name(&self) -> &'static str {
        "ome-zarr"
    }

    fn about(&self) -> &'static str {
        "The same numbers as OME-Zarr: in the folder `labels` of an OME-Zarr image, beside other images a folder of its own"
    }

    fn suffix(&self) -> &'static str {
        "labels"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["ome.zarr"]
    }

    fn finds_instances(&self) -> bool {
        true
    }

    fn is_folder(&self) -> bool {
        true
    }

    fn sink(&self, output: Output, _calibration: &Calibration) -> Result<ResultSink> {
        // What cannot be extended is found before any work.
        if let Some(folder) = output.path() {
            replaceable(folder)?;
            if let Some(image) = image_of(folder) {
                listed(&image, Node::open(&image)?.format)?;
            }
        }
        Ok(ResultSink::Instances(&Self))
    }
}

impl InstanceWriter for OmeZarr {
    fn is_folder(&self) -> bool {
        true
    }

    fn write(&self, _out: &mut dyn WriteSeek, _instances: &mut Instances, _source: &Source) -> Written {
        Err(WriteFailure::Other(Error::invalid("output", "OME-Zarr is a folder, which cannot be written as one file")))
    }

    fn write_folder(&self, folder: &Path, instances: &mut Instances, source: &Source) -> Result<()> {
        match image_of(folder) {
            Some(image) => into_image(&image, folder, instances, source),
            None => alone(folder, instances, source),
        }
    }
}

/// Where labels of `input` go: into its folder `labels` if it is OME-Zarr and nothing else is requested, otherwise to a folder of
/// their own, named after `named`. `out` may name labels of an OME-Zarr image, `x.zarr/labels/nuclei`.
pub fn labels_folder(
    out: Option<&Path>,
    input: &Path,
    named: &Path,
    page: Option<usize>,
    several: bool,
) -> Result<PathBuf> {
    let suits =
        |out: &&Path| image_of(out).is_some() || out.extension().is_some_and(|e| e.eq_ignore_ascii_case("zarr"));
    match out.filter(suits) {
        Some(out) if several => Err(Error::file(out, "is one result; several images need a folder for theirs")),
        Some(out) => Ok(out.to_path_buf()),
        None if out.is_none() && is_zarr(input) => {
            let image = Multiscale::open(input).map_or(input.to_path_buf(), |m| m.folder().to_path_buf());
            let name = page.map_or(NAME.to_string(), |page| format!("{NAME}_page{page}"));
            Ok(image.join("labels").join(name))
        }
        None => output_path(out, named, OmeZarr.suffix(), "ome.zarr", several),
    }
}

/// Whether a folder has labels of this program, which readers find.
pub fn has_labels(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let found = |image: PathBuf| {
        Node::open(&image).and_then(|n| listed(&image, n.format)).is_ok_and(|l| l.contains(&name.into()))
    };
    is_own_zarr(folder) && image_of(folder).is_none_or(found)
}

/// Whether a folder is OME-Zarr that this program wrote.
pub(in crate::low_level::infer) fn is_own_zarr(folder: &Path) -> bool {
    is_zarr(folder) && Node::open(folder).is_ok_and(|node| node.attributes.get(SOFTWARE).is_some())
}

/// Fails if something else than labels is there: an image is not replaced by its labels.
fn replaceable(folder: &Path) -> Result<()> {
    let labels = || is_zarr(folder) && Node::open(folder).is_ok_and(|n| n.ome().get("image-label").is_some());
    match fs::symlink_metadata(folder).is_ok() && !labels() {
        true => Err(Error::file(folder, "exists and holds no labels of OME-Zarr; it is not replaced")),
        false => Ok(()),
    }
}

/// The image that labels in this folder belong to.
fn image_of(folder: &Path) -> Option<PathBuf> {
    let labels = folder.parent().filter(|p| p.file_name().is_some_and(|n| n == "labels"))?;
    labels.parent().filter(|image| is_zarr(image)).map(Path::to_path_buf)
}

/// The labels that an image lists.
fn listed(image: &Path, format: Format) -> Result<Vec<Value>> {
    let folder = image.join("labels");
    let (file, place) = match format {
        Format::V2 => (".zattrs", "/labels"),
        Format::V3 => ("zarr.json", "/attributes/ome/labels"),
    };
    match document(&folder, file)?.as_ref().map(|d| d.pointer(place)) {
        None | Some(None) => Ok(Vec::new()),
        Some(Some(Value::Array(labels))) => Ok(labels.clone()),
        Some(Some(_)) => Err(Error::file(folder, format!("{file}: `labels` is no list"))),
    }
}

/// Adds labels to the list of an image.
fn list(image: &Path, format: Format, name: &str) -> Result<()> {
    // One process after another, where files can be locked.
    let lock = fs::File::open(image.join(if format == Format::V2 { ".zattrs" } else { "zarr.json" }));
    let _held = lock.as_ref().map(|file| file.lock());
    let mut labels = listed(image, format)?;
    if labels.contains(&name.into()) {
        return Ok(());
    }
    labels.push(name.into());
    let folder = image.join("labels");
    let file = if format == Format::V2 { ".zattrs" } else { "zarr.json" };
    let mut value = document(&folder, file)?.unwrap_or_else(|| json!({}));
    let write = |file: &str, value: &Value| {
        let path = folder.join(file);
        replace_file(&path, |w| serde_json::to_writer_pretty(w, value).map_err(Into::into))
            .map_err(|e| Error::io(path, e))
    };
    match format {
        Format::V2 => {
            value["labels"] = labels.into();
            if !fs::is_file(folder.join(".zgroup")) {
                write(".zgroup", &json!({ "zarr_format": 2 }))?;
            }
        }
        Format::V3 => {
            value["zarr_format"] = 3.into();
            value["node_type"] = "group".into();
            if !value["attributes"]["ome"].is_object() {
                value["attributes"]["ome"] = json!({ "version": format.version() });
            }
            value["attributes"]["ome"]["labels"] = labels.into();
        }
    }
    write(file, &value)
}

/// Axes, and resolutions with their coordinate transformations.
struct Layout {
    format: Format,
    axes: Vec<Value>,
    levels: Vec<(Resolution, Vec<Value>)>,
}

impl Layout {
    /// The metadata of the group, in its file.
    fn attributes(&self, name: &str, image: Option<&str>) -> Value {
        let Self { format, axes, levels } = self;
        let dataset = |(i, (_, transformations)): (usize, &(Resolution, Vec<Value>))| json!({ "path": i.to_string(), "coordinateTransformations": transformations });
        let datasets: Vec<Value> = levels.iter().enumerate().map(dataset).collect();
        let mut multiscale = json!({ "name": name, "axes": axes, "datasets": datasets, "type": "nearest" });
        let mut label = json!({});
        if let Some(image) = image {
            label["source"] = json!({ "image": image });
        }
        let own = json!({ "version": env!("CARGO_PKG_VERSION") });
        match format {
            Format::V2 => {
                multiscale["version"] = format.version().into();
                label["version"] = format.version().into();
                json!({ "multiscales": [multiscale], "image-label": label, SOFTWARE: own })
            }
            Format::V3 => {
                let ome = json!({ "version": format.version(), "multiscales": [multiscale], "image-label": label });
                json!({ "ome": ome, SOFTWARE: own })
            }
        }
    }

    fn write(&self, folder: &Path, image: Option<&str>, instances: &mut Instances) -> Result<()> {
        replaceable(folder)?;
        let pending = PendingFolder::create(folder)?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let attributes = self.attributes(&name, image);
        let write = |file: &str, value: &Value| {
            let path = pending.path().join(file);
            fs::write(&path, format!("{value:#}")).map_err(|e| Error::io(folder, e))
        };
        match self.format {
            Format::V2 => {
                write(".zgroup", &json!({ "zarr_format": 2 }))?;
                write(".zattrs", &attributes)?;
            }
            Format::V3 => {
                write("zarr.json", &json!({ "zarr_format": 3, "node_type": "group", "attributes": attributes }))?
            }
        }
        let wide = instances.count() > usize::from(u16::MAX);
        let resolutions = self.levels.iter().map(|(level, _)| level.clone()).collect();
        let names: Vec<Value> = self.axes.iter().map(|axis| axis["name"].clone()).collect();
        let pyramid = Pyramid::create(pending.path(), self.format, wide, &names, resolutions);
        let mut pyramid = pyramid.map_err(|e| Error::io(folder, e))?;
        let mut line = vec![0; instances.width()];
        instances.rows(|_, runs| {
            Run::paint(runs, &mut line);
            pyramid.row(&line).map_err(|e| Error::io(folder, e))
        })?;
        pending.finish()
    }
}

/// The factor between two resolutions: the metadata's if it fits their sizes, else that of the sizes.
fn factor(described: f64, full: u64, part: u64) -> f64 {
    let fits = described.is_finite() && described >= 1.0 && (full as f64 - described * part as f64).abs() < described;
    if fits { described } else { full as f64 / part.max(1) as f64 }
}

/// Writes labels into an image's folder, in its resolutions.
fn into_image(image: &Path, folder: &Path, instances: &mut Instances, source: &Source) -> Result<()> {
    let multiscale = Multiscale::open(image)?;
    let wrong = |reason: String| Error::file(image, reason);
    let kept: Vec<usize> = (0..multiscale.axes.len()).filter(|&i| multiscale.axes[i].role != Role::Channel).collect();
    let of = |i: &usize| multiscale.axes.get(*i);
    if !matches!(kept.iter().filter_map(of).map(|a| a.role).collect::<Vec<_>>().as_slice(), [.., Role::Y, Role::X]) {
        return Err(wrong("labels are written into images whose last axes are y and x".into()));
    }
    let size = [instances.width() as u64, instances.height() as u64];
    let count = multiscale.levels.len();
    let mut first = None;
    for level in 0..count {
        if multiscale.size(level)? == size {
            first = Some(level);
            break;
        }
    }
    let Some(first) = first else {
        let [w, h] = size;
        return Err(wrong(format!("has no level of the labels' size, {w}x{h}")));
    };
    let full = multiscale.array(first)?;
    let [_, planes] = multiscale.stack(&full);
    let position = [source.page as u64 / planes, source.page as u64 % planes];
    let mut levels = Vec::new();
    for (array, level) in
        (first..count).map(|i| Ok((multiscale.array(i)?, &multiscale.levels[i]))).collect::<Result<Vec<_>>>()?
    {
        let (mut shape, mut plane, mut factors) = (Vec::new(), Vec::new(), Vec::new());
        for &axis in &kept {
            let (Some(&side), Some(&whole), Some(Axis { role, .. })) =
                (array.shape.get(axis), full.shape.get(axis), of(&axis))
            else {
                continue;
            };
            shape.push(side);
            let scale = |of: &[f64]| of.get(axis).copied().unwrap_or(1.0);
            let by = factor(scale(&level.scale) / scale(&multiscale.levels[first].scale), whole, side);
            match role {
                Role::X | Role::Y => factors.push(by),
                Role::Time => plane.push(((position[0] as f64 / by) as u64).min(side - 1)),
                _ => plane.push(((position[1] as f64 / by) as u64).min(side - 1)),
            }
        }
        let only = |v: &[f64]| kept.iter().filter_map(|&i| v.get(i).copied()).collect::<Vec<f64>>();
        let mut transformations = vec![json!({ "type": "scale", "scale": only(&level.scale) })];
        if let Some(translation) = &level.translation {
            transformations.push(json!({ "type": "translation", "translation": only(translation) }));
        }
        levels.push((Resolution { shape, plane, factors: [factors[1], factors[0]] }, transformations));
    }
    let axes = kept.iter().filter_map(of).map(|a| a.described.clone()).collect();
    let format = multiscale.node.format;
    Layout { format, axes, levels }.write(folder, Some("../../"), instances)?;
    list(image, format, &folder.file_name().unwrap_or_default().to_string_lossy())
}

/// Writes labels as an image of their own, each resolution half as large as the one before.
fn alone(folder: &Path, instances: &mut Instances, source: &Source) -> Result<()> {
    let size = [instances.height(), instances.width()];
    let pixel = source.calibration.pixel.as_ref().map(|p| [p.y, p.x]);
    let axis = |name: &str| match pixel {
        Some(_) => json!({ "name": name, "type": "space", "unit": "micrometer" }),
        None => json!({ "name": name, "type": "space" }),
    };
    let mut levels = Vec::new();
    for step in 0..usize::BITS {
        let by = 1usize << step;
        let shape = size.map(|side| side.div_ceil(by) as u64);
        let scale = pixel.unwrap_or([1.0; 2]).map(|p| p * by as f64);
        let resolution = Resolution { shape: shape.to_vec(), plane: Vec::new(), factors: [by as f64; 2] };
        levels.push((resolution, vec![json!({ "type": "scale", "scale": scale })]));
        if shape.iter().all(|&side| side <= SMALLEST as u64) {
            break;
        }
    }
    Layout { format: Format::V2, axes: vec![axis("y"), axis("x")], levels }.write(folder, None, instances)
}

#[cfg(test)]
mod tests;
