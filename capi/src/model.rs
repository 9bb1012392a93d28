//! Networks with their weights.

use std::ffi::{CString, c_char, c_void};

use unet_wgpu::{Error, Model};

use crate::device::{give, given, take_back};
use crate::error::{UnetStatus, guarded, text};

/// A network with its weights. Several segmenters and threads may share one.
pub struct UnetModel {
    pub(crate) model: Model,
    classes: Vec<CString>,
}

impl UnetModel {
    fn new(model: Model) -> Self {
        let classes = model.classes().into_iter().map(|c| CString::new(c).unwrap_or_default()).collect();
        Self { model, classes }
    }
}

/// Opens a built-in model by its name ("nuclei"), or a file: a native checkpoint, PyTorch, ONNX, a bioimage.io package.
/// `*model` is null where it fails.
///
/// # Safety
/// `name_or_path` ends in a zero; `model` points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unet_model_open(name_or_path: *const c_char, model: *mut *mut UnetModel) -> UnetStatus {
    // SAFETY: by this function's contract.
    guarded(|| unsafe {
        let name = text("name_or_path", name_or_path)?;
        give("model", model, || Ok(UnetModel::new(Model::open(name)?)))
    })
}

/// Opens a model from the bytes of its file, which are copied; `name` is for messages. `*model` is null where it fails.
///
/// # Safety
/// `name` ends in a zero, `data` points to `length` bytes, `model` to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unet_model_open_bytes(
    name: *const c_char,
    data: *const c_void,
    length: usize,
    model: *mut *mut UnetModel,
) -> UnetStatus {
    // SAFETY: by this function's contract.
    guarded(|| unsafe {
        let name = text("name", name)?;
        if data.is_null() {
            return Err(Error::invalid("data", "is null"));
        }
        let bytes = std::slice::from_raw_parts(data.cast::<u8>(), length);
        give("model", model, || Ok(UnetModel::new(Model::from_bytes(name, bytes)?)))
    })
}

/// Channels of the images that the network takes; 0 for null. Grey images of a network for colour are repeated, and colour
/// becomes grey by its luminance.
///
/// # Safety
/// `model` is null or an open model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unet_model_channels(model: *const UnetModel) -> usize {
    // SAFETY: null or open.
    unsafe { given("model", model) }.map_or(0, |m| m.model.architecture.in_channels())
}

/// Number of classes, the background among them; 0 for null.
///
/// # Safety
/// `model` is null or an open model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unet_model_class_count(model: *const UnetModel) -> usize {
    // SAFETY: null or open.
    unsafe { given("model", model) }.map_or(0, |m| m.classes.len())
}

/// The name of a class in UTF-8, valid until the model is closed; null if there is none.
///
/// # Safety
/// `model` is null or an open model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unet_model_class_name(model: *const UnetModel, class: usize) -> *const c_char {
    // SAFETY: null or open.
    let model = unsafe { given("model", model) };
    model.ok().and_then(|m| m.classes.get(class)).map_or(std::ptr::null(), |name| name.as_ptr())
}

/// Closes a model; null is ignored. Segmenters made with it stay usable.
///
/// # Safety
/// `model` is null or an open model, and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unet_model_close(model: *mut UnetModel) {
    // SAFETY: by this function's contract.
    unsafe { take_back(model) }
}
