//! Images from numpy arrays and files.

use numpy::{Element, IntoPyArray, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyString;
use unet_wgpu::low_level::infer::source::{FillNan, InMemory, SelectChannels};
use unet_wgpu::low_level::infer::{ImageSource, OpenOptions, open_image};
use unet_wgpu::{Error, Image, Pixels, Result};

use crate::error::{exception, invalid, text};
use crate::windows::{Raised, Windows};
use crate::work::{self, Observer};

/// An image to segment: a file or an array that is read by windows, or a copy of an array.
pub(crate) enum Input {
    File(String, OpenOptions),
    Array(Image, OpenOptions),
    Windows(Windows, OpenOptions),
}

impl Input {
    /// From a path as `str`, a `_windows.Windows`, or an array of `uint8`, `uint16` or `float32` in native byte order, `(H, W)` or `(H, W, C)`.
    pub(crate) fn new(image: &Bound<'_, PyAny>, options: OpenOptions) -> PyResult<Self> {
        if let Ok(path) = image.cast::<PyString>() {
            return Ok(Self::File(path.to_str()?.to_string(), options));
        }
        Ok(match Windows::of(image)? {
            Some(windows) => Self::Windows(windows, options),
            None => Self::Array(image_of(image)?, options),
        })
    }

    /// Opens the source of windows.
    pub(crate) fn open(self) -> Result<Box<dyn ImageSource>> {
        let (mut source, options): (Box<dyn ImageSource>, _) = match self {
            Self::File(path, options) => return open_image(path.as_str(), &options),
            Self::Array(image, options) => (Box::new(InMemory::owned(image)), options),
            Self::Windows(windows, options) => (Box::new(windows), options),
        };
        if let Some(channels) = options.channels {
            source = Box::new(SelectChannels::new(source, channels)?);
        }
        Ok(match options.fill_nan {
            Some(value) => Box::new(FillNan::new(source, value)),
            None => source,
        })
    }

    /// Names the file in an error that does not.
    pub(crate) fn about(path: Option<&str>, e: Error) -> Error {
        match (path, e) {
            (_, e @ (Error::Io { .. } | Error::File { .. } | Error::Cancelled | Error::DeviceLost(_))) => e,
            (Some(path), e) => Error::file(path, e.message()),
            (None, e) => e,
        }
    }

    /// The file, if it is one.
    pub(crate) fn path(&self) -> Option<String> {
        match self {
            Self::File(path, _) => Some(path.clone()),
            Self::Array(..) | Self::Windows(..) => None,
        }
    }

    /// Where what Python raises while reading is left.
    pub(crate) fn raised(&self) -> Option<Raised> {
        match self {
            Self::Windows(windows, _) => Some(windows.raised()),
            _ => None,
        }
    }
}

/// The samples in row-major order: the one copy that is made, since other threads may write to the array meanwhile.
fn samples<T: Element + Copy>(array: &Bound<'_, PyArrayDyn<T>>) -> PyResult<Vec<T>> {
    let array = array.try_readonly()?;
    Ok(match array.as_slice() {
        // A slice of columns is contiguous too.
        Ok(samples) if array.is_c_contiguous() => samples.to_vec(),
        _ => array.as_array().iter().copied().collect(),
    })
}

/// The image in an array.
pub(crate) fn image_of(array: &Bound<'_, PyAny>) -> PyResult<Image> {
    let py = array.py();
    let (pixels, shape) = if let Ok(a) = array.cast::<PyArrayDyn<u8>>() {
        (Pixels::U8(samples(a)?), a.shape().to_vec())
    } else if let Ok(a) = array.cast::<PyArrayDyn<u16>>() {
        (Pixels::U16(samples(a)?), a.shape().to_vec())
    } else if let Ok(a) = array.cast::<PyArrayDyn<f32>>() {
        (Pixels::F32(samples(a)?), a.shape().to_vec())
    } else {
        return Err(invalid(py, "image", "is not an array of uint8, uint16 or float32"));
    };
    let image = match shape[..] {
        [height, width] => Image::new(width, height, 1, pixels),
        [height, width, channels] => Image::new(width, height, channels, pixels),
        _ => Err(Error::invalid("image", format!("its shape {shape:?} is not (H, W) or (H, W, C)"))),
    };
    image.map_err(|e| exception(py, &e))
}

/// Reads an image file: an array `(H, W)` or `(H, W, C)` and notes on how it was read.
#[pyfunction]
#[pyo3(signature = (path, *, channels, page, level, pages_as_channels, ignore_orientation, fill_nan))]
#[expect(clippy::too_many_arguments, reason = "one for each option of the Python function")]
pub(crate) fn read_image<'py>(
    py: Python<'py>,
    path: String,
    channels: Option<Vec<usize>>,
    page: usize,
    level: usize,
    pages_as_channels: bool,
    ignore_orientation: bool,
    fill_nan: Option<f32>,
) -> PyResult<(Bound<'py, PyAny>, Vec<String>)> {
    let options = OpenOptions { page, level, pages_as_channels, channels, ignore_orientation, fill_nan, memory: None };
    let (image, notes) =
        work::run(py, Observer::None, move |_| unet_wgpu::low_level::infer::read_image(path.as_str(), &options))?;
    let mut shape = vec![image.height(), image.width(), image.channels()];
    if image.channels() == 1 {
        shape.pop();
    }
    let array = match image.pixels() {
        Pixels::U8(v) => v.clone().into_pyarray(py).reshape(shape)?.into_any(),
        Pixels::U16(v) => v.clone().into_pyarray(py).reshape(shape)?.into_any(),
        Pixels::F32(v) => v.clone().into_pyarray(py).reshape(shape)?.into_any(),
    };
    Ok((array, notes.iter().map(text).collect()))
}
