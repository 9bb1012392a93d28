//! What of a file is read, as users name it: which page, which channels.

use std::str::FromStr;

/// Which pages of a file are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageChoice {
    /// One, counted from 0.
    One(usize),
    /// Every page, each an image of its own.
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

/// What of a file is read, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenOptions {
    /// The page, counted from 0.
    pub page: usize,
    /// Level of a pyramid: 0 is the full size, every further one a smaller copy.
    pub level: usize,
    /// Whether every page gives channels of one image. Then `page` does not count.
    pub pages_as_channels: bool,
    /// Channels in the order that the network takes them, counted from 0; all but alpha if none are named.
    pub channels: Option<Vec<usize>>,
    /// Whether rows stay as they are stored, whatever an orientation tag says.
    pub ignore_orientation: bool,
    /// What stands for values of a float image that are NaN or infinite.
    pub fill_nan: Option<f32>,
    /// Bytes of memory that the image may take where its format is decoded as a whole (PNG, JPEG, WebP, BMP); no limit
    /// if absent.
    pub memory: Option<u64>,
}
