//! Segmentation of images.
//!
//! The host's half: images and their decoding ([`Image`]), pixel statistics ([`normalise`](fn@normalise)), exact
//! tiling ([`TileGrid`]), single instances ([`components`](fn@components)), input and output paths ([`expand_inputs`],
//! [`output_path`]) and the files written ([`write_mask`], [`write_overlay`], [`write_probabilities`]).

pub mod band;
mod blend;
mod budget;
pub mod calibration;
pub mod channels;
mod choose;
mod collected;
mod colours;
pub mod components;
#[cfg(feature = "image-formats")]
mod decode;
mod distance;
mod ensemble;
mod fit;
mod fixed;
pub mod image;
pub mod instances;
pub mod labels;
pub mod mask;
pub mod normalise;
pub mod options;
mod orient;
pub mod output;
#[cfg(feature = "std-fs")]
pub mod paths;
mod runner;
pub mod segment;
#[cfg(feature = "std-fs")]
mod skipped;
pub mod source;
mod stream;
pub mod tile;
mod tile_graph;
pub mod writers;

pub use crate::io::{Output, PendingFile, write_atomically};
pub use band::{Band, BandInfo, BandSink, MaybeSend, Needs, feed};
pub use calibration::{Affine, Calibration, Georeference, PixelSize, PixelSizeSource};
pub use channels::{Alpha, ChannelKind, ChannelMap, Colour, list_channels};
pub use colours::{ColourTable, Rgba};
pub use components::{components, grow};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub(crate) use decode::orientation_of;
#[cfg(feature = "image-formats")]
pub use decode::{ImageFacts, MAX_PIXELS, PageFacts, check_npy_header, describe_image, image_format};
pub(crate) use distance::nearest_sites;
pub use ensemble::{Ensemble, Tta};
pub use image::{Image, Pixels, Sample};
pub use instances::{
    ConnectedComponents, Connectivity, Coordinates, Instance, InstanceOptions, InstanceReport, InstanceSink, Instances,
    Separation, write_instances,
};
pub use labels::{LabelMap, LabelOptions};
pub use mask::{Ids, Mask};
pub use normalise::{ChannelAffine, normalise};
pub use options::{Blend, SegmentOptions};
pub use orient::{Orientation, TilePlace};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub(crate) use output::Display;
pub use output::{
    MaskSink, OverlaySink, ProbabilityFormat, ProbabilitySink, SampleKind, StripLayout, StripTiff, TiffTag, palette,
    write_mask, write_overlay, write_probabilities,
};
#[cfg(feature = "std-fs")]
pub use paths::{
    IMAGE_EXTENSIONS, check_distinct, check_writable, expand_inputs, expand_inputs_and_skipped, output_path,
};
pub use runner::{TileInput, TileOutput, TileRunner};
pub use segment::{ImageTask, Segmentation, Segmenter, Streamed};
#[cfg(feature = "std-fs")]
pub use skipped::{SkipReason, Skipped};
pub use source::{ImageSource, OpenOptions, PageChoice, SourceInfo};
#[cfg(feature = "image-formats")]
pub use source::{calibration_of, check_channels, open_image, page_count, read_image};
pub use tile::{AxisPlan, AxisWindow, Tile, TileGrid, TileSpec, mirror, plan_axis, source_window};
pub use tile_graph::TileOutputs;
pub use writers::{InstanceWriter, ResultSink, WRITERS, Writer};
