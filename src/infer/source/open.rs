//! Pictures from files, as users name them: which page, which channels.

use std::path::Path;
use std::str::FromStr;

use super::{PictureSource, SelectChannels};
use crate::error::{Error, Result};
use crate::infer::calibration::Calibration;
use crate::infer::decode::{calibration, open_source, pages_of};

/// Which pages of a file are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageChoice {
    /// One, counted from 0.
    One(usize),
    /// Every page, each a picture of its own.
    All,
}

impl Default for PageChoice {
    fn default() -> Self {
        Self::One(0)
    }
}

impl FromStr for PageChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            _ => text.parse().map(Self::One).map_err(|_| "write a number, counted from 0, or `all`".into()),
        }
    }
}

/// What of a file is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OpenOptions {
    /// The page, counted from 0.
    pub page: usize,
    /// Level of a pyramid: 0 is the full size, every further one a smaller copy.
    pub level: usize,
    /// Channels in the order that the network takes them, counted from 0; all if none are named.
    pub channels: Option<Vec<usize>>,
    /// Bytes of memory that the picture may take where its format is decoded as a whole (PNG, JPEG, WebP, BMP); no limit
    /// if absent.
    pub memory: Option<u64>,
}

/// Opens a picture file: TIFF and NPY are read by windows, other formats are decoded into memory.
pub fn open_picture(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Box<dyn PictureSource>> {
    let path = path.as_ref();
    let source = open_source(path, options.page, options.level, options.memory.unwrap_or(u64::MAX))?;
    match &options.channels {
        None => Ok(source),
        Some(channels) => {
            let select = SelectChannels::new(source, channels.clone());
            Ok(Box::new(select.map_err(|e| Error::file(path, e.to_string()))?))
        }
    }
}

/// Pages of a picture file: of a TIFF, every picture that is not a reduced copy of another; of OME-TIFF and ImageJ stacks,
/// every plane and time; one for other formats.
pub fn page_count(path: impl AsRef<Path>) -> Result<usize> {
    pages_of(path.as_ref())
}

/// The size and place of the pixels that [`open_picture`] gives, as far as the file says. A `known` size of a pixel of the
/// full size, micrometres across and down, stands in place of the file's.
pub fn calibration_of(path: impl AsRef<Path>, options: &OpenOptions, known: Option<[f64; 2]>) -> Result<Calibration> {
    // Whether `open_picture` applies orientation tags.
    let upright = false;
    calibration(path.as_ref(), [options.page, options.level], known, upright)
}
