//! Opening image files.

use std::io::{Read, Seek};

use super::source::{
    FillNan, ImageSource, JoinChannels, OpenOptions, Oriented, SelectChannels, WithoutAlpha, read_all,
};
use crate::error::{Error, Hint, Message, Result};
use crate::infer::calibration::Calibration;
use crate::infer::channel_kind::Alpha;
use crate::infer::channels::ChannelMap;
use crate::infer::decode::{
    Bounds, Decoded, MAX_CHANNELS, MAX_PIXELS, axes_of, calibration, check_whole, open_file, open_source, pages_of,
};
use crate::infer::image::{Image, Sample};
use crate::infer::orient::Orientation;
use crate::io::Input;

impl Image {
    /// Reads a PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000, TIFF or NPY file, or an OME-Zarr folder, of at most [`MAX_PIXELS`] pixels.
    ///
    /// The format is found from the content. Samples are 8 or 16-bit integers or 32-bit floats (TIFF, NPY), grey or
    /// RGB; TIFF files and arrays may have any number of plain channels. Of several pages, the first is read. Palettes
    /// are expanded to RGB (PNG, BMP), samples of fewer bits to 8 (one bit: 0 and 255). Alpha is dropped. Orientation
    /// tags are applied. OME-TIFF and ImageJ channels are read as channels even if they are in several directories. For
    /// other choices see [`read_image`].
    pub fn open(input: impl Into<Input>) -> Result<Self> {
        Self::open_limited(input, MAX_PIXELS)
    }

    /// [`Self::open`] for a file in memory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::open(Input::bytes("image", bytes))
    }

    /// [`Self::open`] for the contents of a reader, from its start.
    pub fn from_reader(reader: impl Read + Seek + Send + 'static) -> Result<Self> {
        Self::open(Input::reader("image", reader))
    }

    /// [`Self::open`] with another limit on the number of pixels.
    pub fn open_limited(input: impl Into<Input>, max_pixels: u64) -> Result<Self> {
        let input = &input.into();
        let (opened, orientation) = open_file(input, &Bounds { pixels: max_pixels, memory: u64::MAX }, 0, 0)?;
        let source = match opened {
            Decoded::Memory(p) if p.kind().alpha == Alpha::None && orientation == Orientation::default() => {
                return Ok(p);
            }
            opened => opened.into_source(),
        };
        let mut source = arranged(source, orientation, &OpenOptions::default())?;
        check_whole(input, &*source)?;
        let image = read_all(&mut *source)?;
        source.notes().iter().for_each(|note| log::info!("{}: {note}", input.name().display()));
        Ok(image)
    }
}

/// Opens an image file: TIFF and NPY are read by windows, other formats are decoded into memory.
pub fn open_image(input: impl Into<Input>, options: &OpenOptions) -> Result<Box<dyn ImageSource>> {
    let input = &input.into();
    let path = input.name();
    let about = |e| match e {
        e @ (Error::Io { .. } | Error::File { .. } | Error::Limit { .. }) => e,
        e => Error::file(path, e.message()),
    };
    let open = |page| open_source(input, page, options.level, options.memory.unwrap_or(u64::MAX));
    if !options.pages_as_channels {
        let (source, orientation) = open(options.page)?;
        return arranged(source, orientation, options).map_err(about);
    }
    let count = pages_of(input)?;
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

/// Applies the orientation to a source as stored, and selects the requested channels.
fn arranged(
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
        // An image with only an alpha channel is left unchanged.
        (None, Alpha::At(alpha)) if source.info().channels > 1 => Box::new(WithoutAlpha::new(source, alpha)),
        _ => source,
    };
    Ok(match options.fill_nan {
        Some(value) if source.info().sample == Sample::F32 => Box::new(FillNan::new(source, value)),
        _ => source,
    })
}

/// Reads a whole image into memory, at most [`MAX_PIXELS`](crate::infer::MAX_PIXELS) pixels, with notes for users on
/// how it was read.
pub fn read_image(input: impl Into<Input>, options: &OpenOptions) -> Result<(Image, Vec<Message>)> {
    let input = input.into();
    let mut source = open_image(input.clone(), options)?;
    check_whole(&input, &*source)?;
    let image = read_all(&mut *source)?;
    Ok((image, source.notes()))
}

/// Fails unless the channels of an opened file suit, or can be converted for, a network with `requested` input
/// channels. The error lists the user's choices.
pub fn check_channels(input: impl Into<Input>, source: &dyn ImageSource, requested: usize) -> Result<()> {
    let input = &input.into();
    let Err(e) = ChannelMap::of(&source.info(), &source.channel_names(), requested) else { return Ok(()) };
    let reason = match e {
        Error::Invalid { reason, .. } => reason,
        e => e.message(),
    };
    let pages = match pages_of(input) {
        Ok(count @ 2..) if source.info().channels < requested => {
            Message::from(format!("; the file has {count} pages: "))
                .then(Hint::PagesAsChannels)
                .then(" makes channels of them, ")
                .then(Hint::SetPage)
                .then(" takes another")
        }
        _ => Message::default(),
    };
    Err(Error::file(input.name(), reason.then(pages)))
}

/// Number of pages of an image file. TIFF: images that are not reduced copies of others; OME-TIFF and ImageJ stacks:
/// every z plane and time; other formats: 1.
pub fn page_count(input: impl Into<Input>) -> Result<usize> {
    pages_of(&input.into())
}

/// Z planes and times of an image file: a page is a plane at a time, and pages run through the planes first. Pages are planes where
/// the file does not say.
pub fn page_axes(input: impl Into<Input>) -> Result<[usize; 2]> {
    axes_of(&input.into())
}

/// Calibration of the pixels that [`open_image`] returns, as far as the file has it. A `known` pixel size of the full
/// size, in micrometres across and down, replaces the file's.
pub fn calibration_of(input: impl Into<Input>, options: &OpenOptions, known: Option<[f64; 2]>) -> Result<Calibration> {
    calibration(&input.into(), [options.page, options.level], known, !options.ignore_orientation)
}
