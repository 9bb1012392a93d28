//! C interface of `unet-wgpu`: a device, a model, a segmenter, and images in memory. `include/unet_wgpu.h` is its header.
//!
//! Every function that can fail returns a [`UnetStatus`]; [`unet_last_error`](error::unet_last_error) has the words. Structs begin
//! with their size, which the caller sets, so that later versions can add fields. A panic never leaves the library.
#![warn(missing_docs)]

mod device;
mod error;
mod image;
mod model;
mod segment;
mod versioned;

pub use device::{UnetDevice, unet_device_close, unet_device_name, unet_device_open};
pub use error::{UnetStatus, unet_last_error, unet_version};
pub use image::{UnetImage, UnetSampleType};
pub use model::{
    UnetModel, unet_model_channels, unet_model_class_count, unet_model_class_name, unet_model_close, unet_model_open,
    unet_model_open_bytes,
};
pub use segment::{
    UnetOptions, UnetOutputs, UnetSegmenter, UnetSummary, unet_segment, unet_segmenter_close, unet_segmenter_open,
};
