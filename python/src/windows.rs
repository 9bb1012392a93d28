//! Arrays that are read by windows through Python: those of dask, zarr and h5py.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use unet_wgpu::low_level::infer::source::SourceInfo;
use unet_wgpu::low_level::infer::{ImageSource, Sample};
use unet_wgpu::{Error, Image, Pixels, Result};

use crate::array::image_of;
use crate::error::invalid;

/// What reading raised, for the thread that waits for the work.
pub(crate) type Raised = Arc<Mutex<Option<PyErr>>>;

/// A `_windows.Windows` of Python as a source.
pub(crate) struct Windows {
    object: Py<PyAny>,
    info: SourceInfo,
    /// Rows of a chunk.
    rows: usize,
    raised: Raised,
}

impl Windows {
    /// From an object with `shape`, `dtype`, `rows`, `read` and `set_cache`; None if it is none.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        if !object.hasattr("read_window")? {
            return Ok(None);
        }
        let (height, width, channels): (usize, usize, usize) = object.getattr("shape")?.extract()?;
        let dtype: String = object.getattr("dtype")?.extract()?;
        let sample = match dtype.as_str() {
            "uint8" => Sample::U8,
            "uint16" => Sample::U16,
            "float32" => Sample::F32,
            _ => return Err(invalid(object.py(), "image", "is not of uint8, uint16 or float32")),
        };
        // What channels mean follows from their number, as for arrays.
        let pixels = match sample {
            Sample::U8 => Pixels::U8(vec![0; channels]),
            Sample::U16 => Pixels::U16(vec![0; channels]),
            Sample::F32 => Pixels::F32(vec![0.0; channels]),
        };
        let one = Image::new(1, 1, channels, pixels).map_err(|e| crate::error::exception(object.py(), &e))?;
        let info = SourceInfo { width, height, ..SourceInfo::of(&one) };
        let rows = object.getattr("rows")?.extract()?;
        Ok(Some(Self { object: object.clone().unbind(), info, rows, raised: Raised::default() }))
    }

    /// Where what reading raises is left.
    pub(crate) fn raised(&self) -> Raised {
        self.raised.clone()
    }
}

impl ImageSource for Windows {
    fn info(&self) -> SourceInfo {
        self.info
    }

    fn read(&mut self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Image> {
        self.info.check_inside(x0, y0, w, h)?;
        let read = Python::attach(|py| {
            let window = self.object.bind(py).call_method1("read_window", (x0, y0, w, h))?;
            image_of(&window)
        });
        let image = read.map_err(|e| {
            *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
            Error::Cancelled
        })?;
        let found = SourceInfo::of(&image);
        if (found.width, found.height, found.channels, found.sample) != (w, h, self.info.channels, self.info.sample) {
            return Err(Error::invalid("image", "its chunks have another shape or dtype than it states"));
        }
        Ok(image)
    }

    fn rows_at_once(&self) -> usize {
        self.rows
    }

    fn cache_bytes(&self, rows: usize) -> u64 {
        // Every chunk that a row of windows touches: one more than its rows fill.
        let chunks = rows.div_ceil(self.rows) + 1;
        self.info.row_bytes().saturating_mul((chunks * self.rows) as u64)
    }

    fn set_cache(&mut self, bytes: u64) {
        // Without it reading is slower, not wrong.
        let _ = Python::attach(|py| self.object.bind(py).call_method1("set_cache", (bytes,)).map(drop));
    }
}
