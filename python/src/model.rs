//! Models.

use std::path::PathBuf;

use pyo3::prelude::*;
use serde_json::{Map, Value};
use unet_wgpu::{Error, Result};

use crate::error::text;
use crate::work::{self, Observer};
use crate::{convert, inspect};

/// A network with its weights.
#[pyclass(frozen, module = "unet_wgpu._native")]
pub(crate) struct Model {
    pub(crate) inner: unet_wgpu::Model,
}

/// Settings of a model as a JSON object.
fn settings(json: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(json).map_err(|e| Error::invalid("settings", e.to_string()))
}

#[pymethods]
impl Model {
    /// Opens a built-in model by name, or a file by path.
    #[staticmethod]
    #[pyo3(signature = (name, settings))]
    fn open(py: Python<'_>, name: String, settings: String) -> PyResult<Self> {
        let inner =
            work::run(py, Observer::None, move |_| unet_wgpu::Model::open_with(&name, &self::settings(&settings)?))?;
        Ok(Self { inner })
    }

    /// Built-in name or path.
    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    /// The architecture's identifier.
    #[getter]
    fn arch(&self) -> &str {
        self.inner.architecture.id()
    }

    /// Class names, the background first.
    #[getter]
    fn classes(&self) -> Vec<String> {
        self.inner.classes()
    }

    /// Channels of an image.
    #[getter]
    fn in_channels(&self) -> usize {
        self.inner.architecture.in_channels()
    }

    /// What was assumed because the file does not say it.
    #[getter]
    fn assumed(&self) -> Vec<String> {
        let import = self.inner.import();
        let assumed = import.map(|r| r.assumed().iter().map(ToString::to_string).collect::<Vec<_>>());
        let notes = import.iter().flat_map(|r| r.notes.iter().map(text)).collect::<Vec<_>>();
        let package = self.inner.package().map(|p| p.notes.clone()).unwrap_or_default();
        assumed.unwrap_or_default().into_iter().chain(notes).chain(package).collect()
    }

    /// What the model is, as a JSON object.
    #[pyo3(signature = (size))]
    fn inspect(&self, py: Python<'_>, size: Option<[usize; 2]>) -> PyResult<String> {
        let model = self.inner.clone();
        work::run(py, Observer::None, move |_| inspect::document(&model, size).map(|d| d.to_string()))
    }

    /// Writes the model to a file of another format; returns its size in bytes.
    #[pyo3(signature = (path, *, f16))]
    fn convert(&self, py: Python<'_>, path: PathBuf, f16: bool) -> PyResult<u64> {
        let model = self.inner.clone();
        work::run(py, Observer::None, move |_| convert::convert(&model, &path, f16))
    }
}
