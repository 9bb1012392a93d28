//! U-Net, U-Net++ and U-Net 3+ on any GPU: a native engine in Rust and hand-written WGSL, on [wgpu].
//!
//! Open a device, open a model, segment images of any size, train a model of your own. The whole public root is on this
//! page; everything below it is in [`low_level`], which is unstable.
//!
//! | to | use |
//! |---|---|
//! | choose where to compute | [`Backend::open`], or [`Gpu`] on the device of your application |
//! | load a network | [`Model::open`]: a built-in model, a checkpoint, ONNX, a bioimage.io package |
//! | bring an image | [`Image::open`], or [`Image::new`] from [`Pixels`] |
//! | segment it | [`Segmenter`] with [`SegmentOptions`]; the result is a [`Segmentation`] |
//! | segment inside the frames of an application | [`frame`]: its textures or buffers in and out, its command encoder |
//! | train | `TrainConfig`, `TrainRun` (a run in a folder) or [`Trainer`] (single steps) |
//! | handle failures | [`enum@Error`], which may carry a [`Hint`] at the option that would help |
//!
//! # An image in, class ids out
//!
//! The library holds three small models of nuclei in fluorescence images, of which `nuclei` is one, and one for stained
//! tissue. The path of a checkpoint can stand in place of the name.
//!
//! ```
//! use unet_wgpu::low_level::infer::{Ids, write_mask};
//! use unet_wgpu::{Backend, Error, Image, Model, Pixels, SegmentOptions, Segmenter};
//!
//! # fn main() -> unet_wgpu::Result<()> {
//! let backend = match Backend::open("auto") {
//!     Err(Error::NoAdapter) => return Ok(()), // `Backend::Cpu` runs everywhere, slowly
//!     opened => opened?,
//! };
//! let mut segmenter = Segmenter::new(backend, Model::open("nuclei")?);
//! // `Image::open("cells.tif")?` reads a file; this is a disc of radius 10 on a dark background.
//! let inside = |x: i32, y: i32| (x - 32).pow(2) + (y - 32).pow(2) < 100;
//! let samples = (0..64 * 64).map(|i| if inside(i % 64, i / 64) { 3000 } else { 200 }).collect();
//! let image = Image::new(64, 64, 1, Pixels::U16(samples))?;
//! let result = segmenter.segment(&image, &SegmentOptions::default(), |_fraction| Ok(()))?;
//! # let Ids::U8(ids) = result.mask.ids() else { panic!("two classes fit a byte") };
//! # assert_eq!((ids[32 * 64 + 32], ids[0]), (1, 0), "the disc is a nucleus, the corner is not");
//! write_mask(std::env::temp_dir().join("cells_mask.png"), &result.mask)?;
//! # Ok(())
//! # }
//! ```
//!
//! Calls that wait for the device also exist as `async fn` with the suffix `_async`. They need no runtime, and they are the
//! only ones on `wasm32`.
//!
//! # Inside
//!
//! An architecture builds a small [`Graph`](low_level::graph::Graph), exact rewrites make it cheaper, a
//! [`Plan`](low_level::plan::Plan) turns it into a list of dispatches over a few buffers, a
//! [`Session`](low_level::session::Session) makes that list resident on a device and replays it. A [`Segmenter`] normalises
//! an image, cuts it into tiles that fit the device, and joins the results into what one run on the whole image gives.
//!
//! Every operation has a plain implementation on the CPU that sums in double precision: slow, and the reference that the
//! kernels are tested against. [`Backend::Cpu`] runs whole networks on it.
//!
//! ```
//! use std::collections::BTreeMap;
//! use unet_wgpu::Backend;
//! use unet_wgpu::low_level::model::{INPUT, UNetPlusPlus, whole_graph};
//! use unet_wgpu::low_level::tensor::{HostTensor, Shape};
//!
//! # fn main() -> unet_wgpu::Result<()> {
//! let network = UNetPlusPlus { width: 4, depth: 2, ..Default::default() }.checked()?;
//! let graph = whole_graph(&network, 1, 16, 24)?;
//! let input = HostTensor::from_fn(Shape::new(1, 1, 16, 24), |_, _, y, x| (x + y) as f32 / 40.0);
//! // Parameters are requested by name and dimensions. A checkpoint has better ones.
//! let weights = |_name: &str, dims: &[usize]| HostTensor::new(dims, vec![0.1; dims.iter().product()]);
//! let outputs = Backend::Cpu.run(&graph, &BTreeMap::from([(INPUT.to_string(), input)]), weights)?;
//! assert_eq!(outputs["accurate_prob"].dims(), [1, 1, 16, 24]);
//! # Ok(())
//! # }
//! ```
//!
//! # Embedding
//!
//! [`Gpu::from_wgpu`] takes the device and queue of a host application; a [`frame::Frame`] takes the host's textures or buffers
//! and records into the host's encoder (example `embed`). wgpu is re-exported as [`unet_wgpu::wgpu`](wgpu): its version is part of this
//! library's. An architecture of your own is a [`low_level::model::Architecture`] (example `custom_architecture`).
//!
//! The library prints nothing, reads no environment variable, and logs through [`log`](https://docs.rs/log).
#![warn(missing_docs)]
#![cfg_attr(
    not(all(feature = "std-fs", feature = "threads", feature = "image-formats")),
    allow(dead_code, reason = "what only files, decoders or threads use is looked at where these are")
)]
#![cfg_attr(
    target_arch = "wasm32",
    allow(clippy::arc_with_non_send_sync, reason = "wgpu's types are Send elsewhere, and the library has one form")
)]

mod clock;
mod error;
pub mod low_level;
mod parallel;
#[cfg(all(feature = "std-fs", not(target_arch = "wasm32")))]
#[doc(hidden)]
pub mod selftest;
#[doc(hidden)]
pub mod testing;
mod text;

// Inside the library the modules keep their short paths.
use low_level::{gpu, graph, infer, io, kernel, model, names, onnx, ops, plan, session, tensor, train, weights};

pub use error::{Error, Hint, Message, Result};
pub use gpu::{DeviceChoice, Gpu, PrecisionChoice};
pub use infer::{Image, Pixels, SegmentOptions, Segmentation, Segmenter};
pub use low_level::frame;
pub use model::Model;
pub use session::Backend;
pub use train::Trainer;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use train::{TrainConfig, TrainRun};
pub use wgpu;

/// The README's example must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
