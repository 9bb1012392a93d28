//! The library's errors as Python exceptions. The classes are in `unet_wgpu/_errors.py`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use unet_wgpu::{Error, Hint, Message};

/// A message as Python users read it: hints are keyword arguments.
pub(crate) fn text(message: &Message) -> String {
    message.with_hints(keyword)
}

fn keyword(hint: &Hint) -> String {
    match hint {
        Hint::SetChannels(channels) if channels.is_empty() => "channels=".into(),
        Hint::SetChannels(channels) => format!("channels={channels:?}"),
        Hint::PagesAsChannels => "read_image(path, pages_as_channels=True)".into(),
        Hint::SetScale => "scale=".into(),
        Hint::SetPage => "page=".into(),
        Hint::FillNan => "fill_nan=".into(),
        Hint::IgnoreOrientation => "read_image(path, ignore_orientation=True)".into(),
        Hint::BlendGaussian => "blend=\"gaussian\"".into(),
        Hint::UseCpu => "device=\"cpu\"".into(),
        Hint::SetModelOptions => "settings= of Model.open".into(),
        Hint::SetModelOption { key, value: None } => format!("settings={{\"{key}\": ...}}"),
        Hint::SetModelOption { key, value: Some(value) } => format!("settings={{\"{key}\": {value:?}}}"),
        Hint::GroundTruthClasses => "ground_truth=\"classes\"".into(),
        Hint::SetColours => "colours=".into(),
        Hint::Resume => "resume=True".into(),
        // The enum is non-exhaustive: fall back to the library's own wording.
        other => other.to_string(),
    }
}

/// The exception for an error of the library.
pub(crate) fn exception(py: Python<'_>, e: &Error) -> PyErr {
    // An error while making the exception is an error of this package, and the better one to see.
    make(py, e).unwrap_or_else(|failed| failed)
}

fn make(py: Python<'_>, e: &Error) -> PyResult<PyErr> {
    let attributes = PyDict::new(py);
    let class = match e {
        Error::Io { path, source } => {
            attributes.set_item("errno", source.raw_os_error())?;
            attributes.set_item("path", path.to_string_lossy())?;
            if source.kind() == std::io::ErrorKind::NotFound { "MissingFileError" } else { "FileAccessError" }
        }
        Error::File { path, reason } => {
            attributes.set_item("path", path.to_string_lossy())?;
            attributes.set_item("reason", text(reason))?;
            // `ENOENT` as `open` reports it.
            let missing = reason.to_string().starts_with("no such file");
            if missing {
                attributes.set_item("errno", 2)?;
            }
            if missing { "MissingFileError" } else { "InvalidFileError" }
        }
        Error::Invalid { what, reason } => {
            attributes.set_item("what", text(what))?;
            attributes.set_item("reason", text(reason))?;
            "InvalidArgumentError"
        }
        Error::Op { .. } => "UnsupportedModelError",
        Error::ParameterMissing { key, .. } | Error::ParameterShape { key, .. } => {
            attributes.set_item("key", key)?;
            "ParameterError"
        }
        Error::NoAdapter => "DeviceNotFoundError",
        Error::UnknownAdapter { available, .. } => {
            attributes.set_item("available", available)?;
            "DeviceNotFoundError"
        }
        Error::Limit { needed, limit, .. } => {
            attributes.set_item("needed", needed)?;
            attributes.set_item("limit", limit)?;
            "LimitError"
        }
        Error::Gpu { .. }
        | Error::F16Range { .. }
        | Error::OutOfMemory { .. }
        | Error::Timeout { .. }
        | Error::DeviceLost(_) => "DeviceError",
        Error::Cancelled => "CancelledError",
        _ => "UnetError",
    };
    named(py, class, &text(&e.message()), &attributes)
}

/// An exception of the class of that name, with attributes.
fn named(py: Python<'_>, class: &str, message: &str, attributes: &Bound<'_, PyDict>) -> PyResult<PyErr> {
    static CLASSES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = CLASSES.get_or_try_init(py, || py.import("unet_wgpu._errors").map(Bound::unbind))?;
    let instance = module.bind(py).getattr(class)?.call1((message,))?;
    for (name, value) in attributes {
        instance.setattr(name.extract::<String>()?.as_str(), value)?;
    }
    Ok(PyErr::from_value(instance))
}

/// The exception for an invalid argument.
pub(crate) fn invalid(py: Python<'_>, what: &str, reason: &str) -> PyErr {
    exception(py, &Error::invalid(what, reason))
}

/// The exception for a panic of the library.
pub(crate) fn bug(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("bug in unet_wgpu: {what}; please report it"))
}
