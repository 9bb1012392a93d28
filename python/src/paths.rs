//! Paths of images, and of their results.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use unet_wgpu::low_level::infer::{Writer, expand_inputs, labels_folder, name_for_results, output_path};
use unet_wgpu::{Error, Result};

use crate::work::{self, Observer};

/// The images that paths refer to: those of folders, patterns and OME-Zarr plates.
#[pyfunction]
pub(crate) fn find_images(py: Python<'_>, paths: Vec<String>) -> PyResult<Vec<PathBuf>> {
    work::run(py, Observer::None, move |_| expand_inputs(&paths))
}

/// Where the program writes a result of one of several images.
#[pyfunction]
#[pyo3(signature = (image, kind, out))]
pub(crate) fn result_path(py: Python<'_>, image: PathBuf, kind: String, out: Option<PathBuf>) -> PyResult<PathBuf> {
    work::run(py, Observer::None, move |_| path_of(&image, &kind, out.as_deref()))
}

fn path_of(image: &Path, kind: &str, out: Option<&Path>) -> Result<PathBuf> {
    let unknown = || Error::invalid(format!("kind `{kind}`"), "is no kind of result");
    let writer = <dyn Writer>::named(kind).ok_or_else(unknown)?;
    let named = name_for_results(image);
    match writer.is_folder() {
        true => labels_folder(out, image, &named, None, true),
        false => output_path(out, &named, writer.suffix(), writer.extension(None), true),
    }
}
