//! Labels as OME-Zarr: in the folder `labels` of an OME-Zarr image, or as an image of their own.

mod layout;
mod planes;
mod pyramid;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub(in crate::low_level::infer) use self::planes::LabelPlanes;
use crate::error::{Error, Result};
use crate::infer::calibration::Calibration;
use crate::infer::decode::zarr::{Format, Multiscale, Node, document, is_zarr};
use crate::infer::instances::runs::Run;
use crate::infer::instances::{InstanceSource as Source, Instances};
use crate::infer::origin::SOFTWARE;
use crate::infer::output_path;
use crate::infer::writer::{InstanceWriter, ResultSink, WriteFailure, WriteSeek, Writer, Written};
use crate::io::{Output, fs, replace_file};

/// The name of labels in an image's folder, if none is given.
const NAME: &str = "unet";

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
        let size = [instances.width(), instances.height()];
        let wide = instances.count() > usize::from(u16::MAX);
        let mut planes = LabelPlanes::one(folder, size, &source.calibration, wide, source.page)?;
        let mut line = vec![0; instances.width()];
        instances.rows(|_, runs| {
            Run::paint(runs, &mut line);
            planes.row(&line)
        })?;
        planes.finish()
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

#[cfg(test)]
mod tests;
