//! Options for reading image files and ground truth.

use super::hints;
use clap::{Args, ValueEnum};
use unet_wgpu::low_level::infer::{ColourTable, OpenOptions};
use unet_wgpu::low_level::train::GroundTruthKind;

#[derive(Args)]
pub(super) struct GroundTruthArgs {
    /// Meaning of the numbers in masks or labels, regardless of their folder's name
    #[arg(long, value_enum, value_name = "KIND")]
    ground_truth: Option<Numbers>,
    /// Class ids of colours, for masks in colour: '#000000=0,#ff0000=1'
    #[arg(long, value_name = "COLOUR=ID,..", value_parser = colours)]
    pub colours: Option<ColourTable>,
    /// Class id of mask pixels to ignore, such as 255 or -1
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub ignore: Option<i64>,
}

/// [`GroundTruthKind`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Numbers {
    Classes,
    Instances,
}

impl GroundTruthArgs {
    pub(super) fn numbers(&self) -> Option<GroundTruthKind> {
        self.ground_truth.map(|n| match n {
            Numbers::Classes => GroundTruthKind::Classes,
            Numbers::Instances => GroundTruthKind::Instances,
        })
    }
}

fn colours(text: &str) -> Result<ColourTable, String> {
    text.parse().map_err(|e| hints::error_text(&e))
}

#[derive(Args)]
pub(super) struct ReadArgs {
    /// Channels for the network, in this order, counted from 0; alpha has a number too [default: all but alpha]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub channels: Option<Vec<usize>>,
    /// Read the pages of a TIFF file as the channels of one image
    #[arg(long)]
    pub pages_as_channels: bool,
    /// Leave rows and columns as stored, whatever the orientation tag (TIFF, EXIF)
    #[arg(long)]
    pub ignore_orientation: bool,
    /// Number that replaces NaN and infinity in float images [default: they are an error]
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true, value_parser = finite)]
    pub fill_nan: Option<f32>,
}

fn finite(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|x: &f32| x.is_finite()).ok_or_else(|| "not a number such as 0 or -1.5".into())
}

impl ReadArgs {
    pub(super) fn options(&self) -> OpenOptions {
        OpenOptions {
            channels: self.channels.clone(),
            pages_as_channels: self.pages_as_channels,
            ignore_orientation: self.ignore_orientation,
            fill_nan: self.fill_nan,
            ..OpenOptions::default()
        }
    }
}
