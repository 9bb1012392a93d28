//! Images to segment, as sources of windows.

use pyo3::prelude::*;
use pyo3::types::PyString;
use unet_wgpu::low_level::infer::source::{FillNan, InMemory, SelectChannels};
use unet_wgpu::low_level::infer::{ImageSource, OpenOptions, open_image};
use unet_wgpu::{Error, Image, Result};

use crate::array::image_of;
use crate::windows::{Raised, Windows};

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
