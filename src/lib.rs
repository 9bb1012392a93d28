//! U-Net, U-Net++ and U-Net 3+ on any GPU: a native engine in Rust and hand-written WGSL, on [wgpu].
//!
//! An architecture builds a small [`Graph`], exact rewrites make it cheaper, a [`Plan`] turns it into a list of
//! dispatches over a few buffers, a [`Session`] makes that list resident on a device and replays it. On top of that, a
//! [`Segmenter`] takes images of any size: it normalises them, cuts them into tiles that fit the device, and joins the
//! results to what one run on the whole image gives, without seams.
//!
//! # An image in, class ids out
//!
//! The library holds three small models of nuclei in fluorescence images; `nuclei` is one of them. A path of a
//! checkpoint can stand in its place.
//!
//! ```
//! use unet_wgpu::infer::Ids;
//! use unet_wgpu::{Backend, Error, Model, Image, Pixels, SegmentOptions, Segmenter};
//!
//! # fn main() -> unet_wgpu::Result<()> {
//! let backend = match Backend::open("auto") {
//!     Err(Error::NoAdapter) => return Ok(()), // `Backend::Cpu` runs everywhere, slowly
//!     opened => opened?,
//! };
//! let mut segmenter = Segmenter::new(backend, Model::open("nuclei")?);
//! // `Image::open("cells.tif")?` reads a file; this is a disc of 20 pixels on a dark ground.
//! let inside = |x: i32, y: i32| (x - 32).pow(2) + (y - 32).pow(2) < 100;
//! let samples = (0..64 * 64).map(|i| if inside(i % 64, i / 64) { 3000 } else { 200 }).collect();
//! let image = Image::new(64, 64, 1, Pixels::U16(samples))?;
//! let result = segmenter.segment(&image, &SegmentOptions::default(), |_fraction| Ok(()))?;
//! # let Ids::U8(ids) = result.mask.ids() else { panic!("two classes fit a byte") };
//! # assert_eq!((ids[32 * 64 + 32], ids[0]), (1, 0), "the disc is a nucleus, the corner is not");
//! unet_wgpu::infer::write_mask(std::env::temp_dir().join("cells_mask.png"), &result.mask)?;
//! # Ok(())
//! # }
//! ```
//!
//! # A network of the family, without a GPU
//!
//! Every operation has a plain implementation on the CPU that sums in double precision: slow, and the oracle that the
//! kernels are tested against. [`Backend::Cpu`] runs whole networks on it.
//!
//! ```
//! use std::collections::BTreeMap;
//! use unet_wgpu::model::{INPUT, UNetPlusPlus, whole_graph};
//! use unet_wgpu::{Backend, HostTensor, Shape};
//!
//! # fn main() -> unet_wgpu::Result<()> {
//! let network = UNetPlusPlus { width: 4, depth: 2, ..Default::default() }.checked()?;
//! let graph = whole_graph(&network, 1, 16, 24)?;
//! let input = HostTensor::from_fn(Shape::new(1, 1, 16, 24), |_, _, y, x| (x + y) as f32 / 40.0);
//! // Parameters are asked for by name and dimensions. A checkpoint has better ones.
//! let weights = |_name: &str, dims: &[usize]| HostTensor::new(dims, vec![0.1; dims.iter().product()]);
//! let outputs = Backend::Cpu.run(&graph, &BTreeMap::from([(INPUT.to_string(), input)]), weights)?;
//! assert_eq!(outputs["accurate_prob"].dims(), [1, 1, 16, 24]);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! - Images to masks: [`infer`]. Models and checkpoints: [`model`], [`weights`].
//! - Training, data sets, and how good a model is: [`train`].
//! - On the device of your own application, buffers included: [`Gpu::from_wgpu`], [`Session::bind_buffer`],
//!   [`Session::encode`] and the example `embed`. wgpu is re-exported as [`unet_wgpu::wgpu`](wgpu).
//! - Your own architecture: [`model::Architecture`] and the example `custom_architecture`.
//! - How it is built inside: `docs/architecture.md` in the repository.
//!
//! The library prints nothing; it logs through [`log`](https://docs.rs/log). Every failure is an [`enum@Error`] that names
//! the file, key, operation or shape it is about.
#![warn(missing_docs)]
#![cfg_attr(
    not(all(feature = "std-fs", feature = "threads", feature = "image-formats")),
    allow(dead_code, reason = "what only files, decoders or threads use is looked at where these are")
)]

mod clock;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod infer;
pub mod io;
pub mod kernel;
pub mod model;
pub mod names;
pub mod ops;
mod parallel;
pub mod plan;
#[cfg(feature = "std-fs")]
#[doc(hidden)]
pub mod selftest;
pub mod session;
pub mod tensor;
#[doc(hidden)]
pub mod testing;
mod text;
pub mod train;
pub mod tune;
pub mod weights;

pub use error::{Error, Result};
pub use gpu::{DeviceChoice, Gpu, PrecisionChoice};
pub use graph::Graph;
pub use infer::{Image, Pixels, SegmentOptions, Segmentation, Segmenter};
pub use model::Model;
pub use plan::Plan;
pub use session::{Backend, Session};
pub use tensor::{HostTensor, Shape};
pub use wgpu;

/// The README's example must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
