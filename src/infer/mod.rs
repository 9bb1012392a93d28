//! Segmentation of images.
//!
//! The host side: images and decoding ([`Image`]), pixel statistics ([`normalise`](fn@normalise)), exact tiling
//! ([`TileGrid`]), instances ([`components`](fn@components)), input and output paths ([`expand_inputs`],
//! [`output_path`]), and result files ([`write_mask`], [`write_overlay`], [`write_probabilities`]).

pub mod band;
pub mod calibration;
pub mod channel_kind;
pub mod channels;
mod collected;
mod colours;
pub mod components;
#[cfg(feature = "image-formats")]
mod decode;
mod distance;
mod ensemble;
mod held;
pub mod image;
pub mod instance_files;
pub mod instances;
pub mod labels;
mod limit;
pub mod mask;
pub mod normalise;
#[cfg(feature = "image-formats")]
mod open;
pub mod options;
mod orient;
mod origin;
pub mod output;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod own_result;
#[cfg(feature = "std-fs")]
pub mod paths;
mod resample;
pub mod scale;
pub mod segment;
#[cfg(feature = "std-fs")]
mod skipped;
pub mod source;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
mod stack;
pub mod tile;
pub mod tiling;
pub mod writer;
pub mod writers;

pub use crate::io::{Output, PendingFile, write_atomically};
pub use band::{Band, BandInfo, BandSink, MaybeSend, Needs, OwnedBand, feed};
pub use calibration::{Affine, Calibration, Georeference, PixelSize, PixelSizeSource};
pub use channel_kind::{Alpha, ChannelKind, Colour};
pub use channels::ChannelMap;
pub use colours::{ColourTable, Rgba};
pub use components::{components, grow};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub(crate) use decode::orientation_of;
#[cfg(feature = "ome-zarr")]
pub use decode::zarr::is_zarr;
#[cfg(feature = "image-formats")]
pub use decode::{ImageFacts, MAX_PIXELS, PageFacts, check_npy_header, describe_image, image_format};
pub(crate) use distance::{nearest_sites, nearest_sites_here};
pub use ensemble::{Ensemble, Tta};
pub use held::{Held, HeldRows, HoldSink};
pub use image::{Image, Pixels, Sample};
pub use instance_files::{InstanceReport, InstanceSink, write_instances};
#[cfg(feature = "ome-zarr")]
pub use instance_files::{has_labels, labels_folder};
pub(crate) use instances::median_diameter;
pub use instances::{
    ConnectedComponents, Connectivity, Coordinates, ElevationRule, Instance, InstanceMap, InstanceMethod,
    InstanceOptions, InstanceSettings, Instances, OffsetRule, Separation, find_instances, find_instances_in,
};
pub use labels::{LabelMap, LabelOptions};
pub use mask::{Ids, Mask};
pub use normalise::{ChannelAffine, normalise};
#[cfg(feature = "image-formats")]
pub use open::{calibration_of, check_channels, open_image, page_axes, page_count, read_image};
pub use options::{Blend, SegmentOptions};
pub use orient::{Orientation, TilePlace};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub(crate) use output::Display;
pub(crate) use output::TINT;
pub use output::{
    MaskSink, OverlaySink, ProbabilityFormat, ProbabilitySink, SampleKind, StripLayout, StripTiff, TiffTag, palette,
    write_mask, write_overlay, write_probabilities,
};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use own_result::is_own_result;
#[cfg(feature = "std-fs")]
pub use paths::{
    check_distinct, check_writable, expand_inputs, expand_inputs_and_skipped, name_for_results, output_path,
};
pub use resample::MAX_SCALE;
pub use scale::Scale;
pub use segment::{ImageTask, Segmentation, Segmenter, Streamed};
#[cfg(feature = "std-fs")]
pub use skipped::{SkipReason, Skipped};
pub use source::{ImageSource, OpenOptions, PageChoice, SourceInfo, list_channels};
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub use stack::Stack;
pub use tile::graph::TileOutputs;
pub use tile::grid::{AxisPlan, AxisWindow, Tile, TileGrid, TileSpec, Tileability, mirror, plan_axis, source_window};
pub use tiling::runner::{TileInput, TileOutput, TileRunner};
pub use writer::{InstanceWriter, ResultSink, Writer};
pub use writers::{WRITERS, instance_writers};
