//! A network inside the frames of an application: its textures or buffers in, its textures or buffers out, recorded into
//! its command encoder.
//!
//! | step | call | costs |
//! |---|---|---|
//! | before the device | [`requirements`] | a plan, no device |
//! | once per device and model | [`FrameModel::new`] | nothing yet |
//! | once per maximum size and set of outputs | [`FrameModel::prepare`] | buffers, pipelines; weights at the first time |
//! | once per size | [`Frame::prepare_size`], or the first [`Frame::encode`] of that size | a uniform buffer, bind groups |
//! | every frame | [`Frame::encode`] or [`Frame::encode_some`] | commands in the encoder |
//!
//! Encoding submits nothing, waits for nothing, maps nothing. It touches what belongs to the host by copies alone, so no bind
//! group depends on a texture or buffer of the host, and another texture costs nothing.

mod encode;
mod format;
mod job;
mod layout;
mod model;
mod requirements;
mod rules;
mod sized;
mod steps;

pub use crate::session::{Budget, EncodeProgress, Scratch};
pub use encode::Frame;
pub use format::{
    BufferInput, ColourOrder, FrameInput, FrameOptions, FrameOutput, OutputPlace, OutputRequest, OutputTarget,
    PixelFormat, PlaneFormat, Roi, SampleFormat, Strides,
};
pub use model::FrameModel;
pub use requirements::{Reason, Requirements, requirements};
#[doc(hidden)]
pub use steps::example_kernels;
