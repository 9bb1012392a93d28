//! Segmentation of pictures.
//!
//! The host's half: pictures and their decoding ([`Picture`]), pixel statistics ([`normalise`](fn@normalise)), exact
//! tiling ([`TileGrid`]), single objects ([`components`](fn@components)), input and output paths ([`expand_inputs`],
//! [`output_path`]) and the files written ([`write_mask`], [`write_overlay`], [`write_probabilities`]).

pub mod band;
mod blend;
mod budget;
mod choose;
mod collected;
pub mod components;
mod decode;
mod distance;
mod ensemble;
mod fit;
mod fixed;
pub mod image;
pub mod instances;
pub mod labels;
pub mod normalise;
mod orient;
pub mod output;
pub mod paths;
mod runner;
pub mod segment;
pub mod source;
mod stream;
pub mod tile;

pub use band::{Band, BandInfo, BandSink, Needs, feed};
pub use components::{Connectivity, components, grow};
pub use decode::MAX_PIXELS;
pub(crate) use distance::nearest_sites;
pub use ensemble::{Ensemble, Tta};
pub use image::{Picture, Pixels};
pub use instances::{
    InstanceOptions, Instances, Labeller, Object, ObjectFile, ObjectReport, ObjectSink, Separation, write_objects,
};
pub use labels::LabelMap;
pub use normalise::{ChannelAffine, normalise};
pub use orient::{Orientation, TilePlace};
pub(crate) use output::Display;
pub use output::{
    Ids, Mask, MaskSink, OverlaySink, PendingFile, ProbabilityFormat, ProbabilitySink, SampleKind, StripLayout,
    StripTiff, palette, write_atomically, write_mask, write_overlay, write_probabilities,
};
pub use paths::{PICTURE_EXTENSIONS, check_distinct, check_writable, expand_inputs, output_path};
pub use runner::{TileInput, TileOutput, TileOutputs, TileRunner};
pub use segment::{Blend, PictureTask, SegmentOptions, Segmentation, Segmenter, Streamed};
pub use source::{OpenOptions, PageChoice, PictureSource, Sample, SourceInfo, open_picture, page_count};
pub use tile::{AxisPlan, AxisWindow, Tile, TileGrid, TileSpec, mirror, plan_axis, source_window};
