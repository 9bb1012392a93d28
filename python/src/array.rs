//! Images from numpy arrays and files.

use numpy::{Element, IntoPyArray, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use unet_wgpu::low_level::infer::OpenOptions;
use unet_wgpu::{Error, Image, Pixels};

use crate::error::{exception, invalid, text};
use crate::work::{self, Observer};

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
