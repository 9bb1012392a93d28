//! Images from files, as users name them: which page, which channels.

use std::path::Path;
use std::str::FromStr;

use super::{FillNan, ImageSource, JoinChannels, Oriented, SelectChannels, WithoutAlpha, read_all};
use crate::error::{Error, Hint, Message, Result};
use crate::infer::calibration::Calibration;
use crate::infer::channels::{Alpha, ChannelMap};
use crate::infer::decode::{MAX_CHANNELS, calibration, check_whole, open_source, pages_of};
use crate::infer::image::{Image, Sample};
use crate::infer::orient::Orientation;

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

/// Opens an image file: TIFF and NPY are read by windows, other formats are decoded into memory.
pub fn open_image(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Box<dyn ImageSource>> {
    let path = path.as_ref();
    let about = |e| match e {
        e @ (Error::Io { .. } | Error::File { .. } | Error::Limit { .. }) => e,
        e => Error::file(path, e.message()),
    };
    let open = |page| open_source(path, page, options.level, options.memory.unwrap_or(u64::MAX));
    if !options.pages_as_channels {
        let (source, orientation) = open(options.page)?;
        return arranged(source, orientation, options).map_err(about);
    }
    let count = pages_of(path)?;
    if count > MAX_CHANNELS {
        let reason = format!("{count} pages as channels are more than the {MAX_CHANNELS} that are supported");
        return Err(Error::file(path, reason));
    }
    let one = |page| {
        let (source, orientation) = open(page)?;
        Ok((format!("page {page}"), oriented(source, orientation, options)))
    };
    let pages = (0..count).map(one).collect::<Result<_>>()?;
    selected(Box::new(JoinChannels::new(pages).map_err(about)?), options).map_err(about)
}

/// A source as it is stored, turned and with the channels that are asked for.
pub(in crate::infer) fn arranged(
    source: Box<dyn ImageSource>,
    orientation: Orientation,
    options: &OpenOptions,
) -> Result<Box<dyn ImageSource>> {
    selected(oriented(source, orientation, options), options)
}

fn oriented(source: Box<dyn ImageSource>, by: Orientation, options: &OpenOptions) -> Box<dyn ImageSource> {
    if options.ignore_orientation || by == Orientation::default() {
        source
    } else {
        Box::new(Oriented::new(source, by))
    }
}

fn selected(source: Box<dyn ImageSource>, options: &OpenOptions) -> Result<Box<dyn ImageSource>> {
    let source: Box<dyn ImageSource> = match (&options.channels, source.info().kind.alpha) {
        (Some(channels), _) => Box::new(SelectChannels::new(source, channels.clone())?),
        // An image of nothing but opacity stays what it is.
        (None, Alpha::At(alpha)) if source.info().channels > 1 => Box::new(WithoutAlpha::new(source, alpha)),
        _ => source,
    };
    Ok(match options.fill_nan {
        Some(value) if source.info().sample == Sample::F32 => Box::new(FillNan::new(source, value)),
        _ => source,
    })
}

/// Reads a whole image into memory, at most [`MAX_PIXELS`](crate::infer::MAX_PIXELS) of it, with what users should know of
/// the way it was read.
pub fn read_image(path: impl AsRef<Path>, options: &OpenOptions) -> Result<(Image, Vec<Message>)> {
    let path = path.as_ref();
    let mut source = open_image(path, options)?;
    check_whole(path, &*source)?;
    let image = read_all(&mut *source)?;
    Ok((image, source.notes()))
}

/// Fails unless the channels of an opened file suit a network that takes `requested`, or can be made to; says what the user
/// can choose.
pub fn check_channels(path: impl AsRef<Path>, source: &dyn ImageSource, requested: usize) -> Result<()> {
    let path = path.as_ref();
    let Err(e) = ChannelMap::of(&source.info(), &source.channel_names(), requested) else { return Ok(()) };
    let reason = match e {
        Error::Invalid { reason, .. } => reason,
        e => e.message(),
    };
    let pages = match pages_of(path) {
        Ok(count @ 2..) if source.info().channels < requested => {
            Message::from(format!("; the file has {count} pages: "))
                .then(Hint::PagesAsChannels)
                .then(" makes channels of them, ")
                .then(Hint::SetPage)
                .then(" takes another")
        }
        _ => Message::default(),
    };
    Err(Error::file(path, reason.then(pages)))
}

/// Pages of an image file: of a TIFF, every image that is not a reduced copy of another; of OME-TIFF and ImageJ stacks,
/// every plane and time; one for other formats.
pub fn page_count(path: impl AsRef<Path>) -> Result<usize> {
    pages_of(path.as_ref())
}

/// The size and place of the pixels that [`open_image`] gives, as far as the file says. A `known` size of a pixel of the
/// full size, micrometres across and down, stands in place of the file's.
pub fn calibration_of(path: impl AsRef<Path>, options: &OpenOptions, known: Option<[f64; 2]>) -> Result<Calibration> {
    calibration(path.as_ref(), [options.page, options.level], known, !options.ignore_orientation)
}
