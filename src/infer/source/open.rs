//! Images from files.

use super::options::OpenOptions;
use super::{FillNan, ImageSource, JoinChannels, Oriented, SelectChannels, WithoutAlpha, read_all};
use crate::error::{Error, Hint, Message, Result};
use crate::infer::calibration::Calibration;
use crate::infer::channels::{Alpha, ChannelMap};
use crate::infer::decode::{MAX_CHANNELS, calibration, check_whole, open_source, pages_of};
use crate::infer::image::{Image, Sample};
use crate::infer::orient::Orientation;
use crate::io::Input;

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
pub fn read_image(input: impl Into<Input>, options: &OpenOptions) -> Result<(Image, Vec<Message>)> {
    let input = input.into();
    let mut source = open_image(input.clone(), options)?;
    check_whole(&input, &*source)?;
    let image = read_all(&mut *source)?;
    Ok((image, source.notes()))
}

/// Fails unless the channels of an opened file suit a network that takes `requested`, or can be made to; says what the user
/// can choose.
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

/// Pages of an image file: of a TIFF, every image that is not a reduced copy of another; of OME-TIFF and ImageJ stacks,
/// every plane and time; one for other formats.
pub fn page_count(input: impl Into<Input>) -> Result<usize> {
    pages_of(&input.into())
}

/// The size and place of the pixels that [`open_image`] gives, as far as the file says. A `known` size of a pixel of the
/// full size, micrometres across and down, stands in place of the file's.
pub fn calibration_of(input: impl Into<Input>, options: &OpenOptions, known: Option<[f64; 2]>) -> Result<Calibration> {
    calibration(&input.into(), [options.page, options.level], known, !options.ignore_orientation)
}
