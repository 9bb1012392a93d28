//! The native half of the Python package `unet_wgpu`. Python code in `python/unet_wgpu` is what users call; it checks and
//! describes arguments, this crate converts them and runs the library without the GIL.

mod array;
mod convert;
mod device;
mod error;
mod evaluate;
mod input;
mod inspect;
mod model;
mod paths;
mod results;
mod scale;
mod segment;
mod selftest;
mod sink;
mod train;
mod windows;
mod work;

use pyo3::prelude::*;

/// The native half of `unet_wgpu`; not for direct use.
#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_class::<model::Model>()?;
    m.add_class::<segment::Segmenter>()?;
    m.add_class::<results::Measured>()?;
    m.add_class::<results::Results>()?;
    m.add_function(wrap_pyfunction!(array::read_image, m)?)?;
    m.add_function(wrap_pyfunction!(device::devices, m)?)?;
    m.add_function(wrap_pyfunction!(device::lose_device, m)?)?;
    m.add_function(wrap_pyfunction!(device::set_cache_folder, m)?)?;
    m.add_function(wrap_pyfunction!(evaluate::evaluate, m)?)?;
    m.add_function(wrap_pyfunction!(paths::find_images, m)?)?;
    m.add_function(wrap_pyfunction!(paths::result_path, m)?)?;
    m.add_function(wrap_pyfunction!(selftest::selftest, m)?)?;
    m.add_function(wrap_pyfunction!(train::train, m)?)?;
    m.add_function(wrap_pyfunction!(work::join_stragglers, m)?)?;
    Ok(())
}
