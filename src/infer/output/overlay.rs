//! The mask drawn over the image, for viewing.

use super::sinks::{PngFile, check_order, not_started};
use super::{Ids, Mask, info_of, palette};
use crate::error::{Error, Result};
use crate::infer::band::{Band, BandInfo, BandSink, Needs, feed};
use crate::infer::calibration::Calibration;
use crate::infer::image::{Image, Pixels};
use crate::infer::normalise::percentiles;
use crate::infer::writer::{ResultSink, Writer};
use crate::io::Output;

/// Opacity of a region's colour, in percent.
pub(crate) const TINT: u32 = 35;
/// Percentiles of the image that map to black and white.
pub(crate) const STRETCH: [f64; 2] = [0.5, 99.8];
/// Maximum number of channels shown.
pub(crate) const SHOWN: usize = 3;

/// Writes the image as RGB PNG with every class but the background tinted by its [`palette`] colour and outlined one
/// pixel wide. Contrast is stretched equally for all channels, so hues are preserved. Two channels are shown as red and
/// green; of more than three, the first three are shown.
pub fn write_overlay(output: impl Into<Output>, image: &Image, mask: &Mask) -> Result<()> {
    let (width, height) = (image.width(), image.height());
    if (width, height) != (mask.width(), mask.height()) {
        let reason =
            format!("the mask of {}x{} does not fit the image of {width}x{height}", mask.width(), mask.height());
        return Err(Error::invalid("overlay", reason));
    }
    let info = BandInfo { contrast: Some(contrast(image)?), channels: image.channels(), ..info_of(mask) };
    feed(Box::new(OverlaySink::new(output)), &info, mask, None, Some(image), 256)
}

/// The range of the shown channels' percentiles.
fn contrast(image: &Image) -> Result<[f64; 2]> {
    let channels = percentiles(image, STRETCH)?;
    Ok(joint(channels.get(..SHOWN).unwrap_or(&channels)))
}

/// One range for all channels.
pub(crate) fn joint(channels: &[[f64; 2]]) -> [f64; 2] {
    channels.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], [l, h]| [low.min(*l), high.max(*h)])
}

/// Map from pixel values to grey levels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Levels {
    low: f64,
    scale: f64,
}

impl Levels {
    /// From the values shown as black and white; if they are equal, `unit` is white.
    pub(crate) fn new([low, high]: [f64; 2], unit: f64) -> Self {
        let range = high - low;
        // A flat image is shown at its own values, so black stays black.
        let (low, scale) = if range > 0.0 { (low, 255.0 / range) } else { (0.0, 255.0 / unit) };
        Self { low, scale }
    }

    /// The displayed colour of a pixel.
    pub(crate) fn rgb(&self, image: &Image, pixel: usize) -> [u8; 3] {
        let channels = image.channels();
        let level = |c: usize| {
            let at = pixel * channels + c;
            let x = match image.pixels() {
                Pixels::U8(v) => v.get(at).map_or(0.0, |&x| f64::from(x)),
                Pixels::U16(v) => v.get(at).map_or(0.0, |&x| f64::from(x)),
                Pixels::F32(v) => v.get(at).map_or(0.0, |&x| f64::from(x)),
            };
            // The cast saturates and turns NaN into 0.
            ((x - self.low) * self.scale).round() as u8
        };
        match channels {
            1 => [level(0); 3],
            2 => [level(0), level(1), 0],
            _ => [level(0), level(1), level(2)],
        }
    }
}

/// Appends a row of RGB, in which regions of nonzero id are tinted with their colour and outlined. `id(x, dy)` is the
/// class or instance of a pixel of this row (0), the row above (-1) or below (1), if that row exists.
pub(crate) fn tinted(
    width: usize,
    shown: impl Fn(usize) -> [u8; 3],
    id: impl Fn(usize, isize) -> Option<usize>,
    colour: impl Fn(usize) -> [u8; 3],
    out: &mut Vec<u8>,
) {
    for x in 0..width {
        let shown = shown(x);
        let current = id(x, 0).unwrap_or(0);
        if current == 0 {
            out.extend(shown);
            continue;
        }
        let colour = colour(current);
        let other = |id: Option<usize>| id.is_some_and(|id| id != current);
        let edge = (x > 0 && other(id(x - 1, 0)))
            || (x + 1 < width && other(id(x + 1, 0)))
            || other(id(x, -1))
            || other(id(x, 1));
        let tint = |c: usize| ((u32::from(shown[c]) * (100 - TINT) + u32::from(colour[c]) * TINT + 50) / 100) as u8;
        out.extend(if edge { colour } else { [tint(0), tint(1), tint(2)] });
    }
}

/// An image prepared for display.
pub(crate) struct Display<'a> {
    image: &'a Image,
    levels: Levels,
}

impl<'a> Display<'a> {
    /// Stretches contrast by the image's percentiles.
    pub(crate) fn of(image: &'a Image) -> Result<Self> {
        Ok(Self { image, levels: Levels::new(contrast(image)?, image.pixels().unit()) })
    }

    /// Appends a row of RGB, in which regions of every class but 0 are tinted and outlined. `id` gives the class of a
    /// pixel by its row-major index.
    pub(crate) fn row(
        &self,
        y: usize,
        id: impl Fn(usize) -> usize,
        colour: impl Fn(usize) -> [u8; 3],
        out: &mut Vec<u8>,
    ) {
        let (width, height) = (self.image.width(), self.image.height());
        let near = |x: usize, dy: isize| {
            let row = y.checked_add_signed(dy).filter(|&r| r < height)?;
            Some(id(row * width + x))
        };
        tinted(width, |x| self.levels.rgb(self.image, y * width + x), near, colour, out);
    }
}

/// Writer of overlay files.
#[derive(Clone, Copy, Debug)]
pub struct OverlayWriter;

impl Writer for OverlayWriter {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn about(&self) -> &'static str {
        "The image with the mask drawn over it; with every instance in a colour of its own where instances are saved too"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["png"]
    }

    fn sink(&self, output: Output, _calibration: &Calibration) -> Result<ResultSink> {
        Ok(ResultSink::Rows(Box::new(OverlaySink::new(output))))
    }

    fn shows_instances(&self) -> bool {
        true
    }
}

/// The overlay of [`write_overlay`] as a sink. A row is written once the next one is known, since that decides its
/// outline.
pub struct OverlaySink {
    output: Output,
    state: Option<State>,
}

struct State {
    file: PngFile,
    contrast: [f64; 2],
    height: usize,
    next: usize,
    /// Classes of the row above the pending one.
    above: Option<Vec<usize>>,
    /// Classes and pixels of the row that is pending until the next one is known.
    pending: Option<(Vec<usize>, Image)>,
    row: Vec<u8>,
}

impl OverlaySink {
    /// An overlay in `output`, a PNG file.
    pub fn new(output: impl Into<Output>) -> Self {
        Self { output: output.into(), state: None }
    }
}

impl State {
    /// Writes the pending row; `below` are the classes of the next row, if any.
    fn release(&mut self, below: Option<&[usize]>) -> Result<()> {
        let Some((current, pixels)) = self.pending.take() else { return Ok(()) };
        let levels = Levels::new(self.contrast, pixels.pixels().unit());
        let near = |x: usize, dy: isize| match dy {
            0 => current.get(x).copied(),
            -1 => self.above.as_ref().and_then(|r| r.get(x).copied()),
            _ => below.and_then(|r| r.get(x).copied()),
        };
        self.row.clear();
        tinted(current.len(), |x| levels.rgb(&pixels, x), near, palette, &mut self.row);
        self.file.row(&self.row)?;
        self.above = Some(current);
        Ok(())
    }
}

fn ids(classes: &Ids, row: usize, width: usize) -> Vec<usize> {
    (row * width..(row + 1) * width).map(|i| classes.id(i)).collect()
}

impl BandSink for OverlaySink {
    fn needs(&self) -> Needs {
        Needs { pixels: true, contrast: true, ..Needs::default() }
    }

    fn start(&mut self, info: &BandInfo) -> Result<()> {
        let Some(contrast) = info.contrast else {
            return Err(Error::file(self.output.name(), "no contrast was given"));
        };
        self.state = None;
        let format = (png::ColorType::Rgb, png::BitDepth::Eight);
        let file = PngFile::create(&self.output, (info.width, info.height), format, None)?;
        let height = info.height;
        self.state = Some(State { file, contrast, height, next: 0, above: None, pending: None, row: Vec::new() });
        Ok(())
    }

    fn band(&mut self, band: &Band) -> Result<()> {
        let Some(state) = &mut self.state else { return Err(not_started(self.output.name())) };
        check_order(self.output.name(), state.next, band)?;
        let Some(pixels) = band.pixels else { return Err(Error::file(self.output.name(), "no pixels were given")) };
        state.next += band.height;
        for y in 0..band.height {
            let current = ids(band.classes, y, band.width);
            state.release(Some(&current))?;
            state.pending = Some((current, pixels.part(0, y, band.width, 1)?));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { output, state } = *self;
        let Some(mut state) = state else { return Err(not_started(output.name())) };
        if state.next != state.height {
            return Err(Error::file(
                output.name(),
                format!("only {} of {} rows were written", state.next, state.height),
            ));
        }
        state.release(None)?;
        state.file.finish()
    }
}
