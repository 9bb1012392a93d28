//! Options for reading a file: pages, channels and more.

use std::str::FromStr;

/// A choice of pages of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageChoice {
    /// One, counted from 0.
    One(usize),
    /// Every page, each as a separate image.
    All,
    /// Every page, with results of all pages in one file where the kind of result allows it.
    Stack,
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
            "stack" => Ok(Self::Stack),
            _ => text.parse().map(Self::One).map_err(|_| "write a number, counted from 0, or `all`, or `stack`".into()),
        }
    }
}

/// Options for reading an image file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenOptions {
    /// The page, counted from 0.
    pub page: usize,
    /// Pyramid level: 0 is the full size, each further one a smaller copy.
    pub level: usize,
    /// Whether to read all pages as channels of one image; `page` is then ignored.
    pub pages_as_channels: bool,
    /// Channels in the order the network takes them, counted from 0; if absent, all except alpha.
    pub channels: Option<Vec<usize>>,
    /// Whether to keep rows as stored, ignoring any orientation tag.
    pub ignore_orientation: bool,
    /// Replacement for NaN and infinite values of a float image.
    pub fill_nan: Option<f32>,
    /// Maximum bytes of memory for an image whose format is decoded as a whole (PNG, JPEG, WebP, BMP); no limit if
    /// absent.
    pub memory: Option<u64>,
}
