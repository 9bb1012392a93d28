//! The mask over the picture, to look at.

use std::path::Path;

use super::{Mask, palette, write_png};
use crate::error::{Error, Result};
use crate::infer::image::{Picture, Pixels};
use crate::infer::normalise::percentiles;

/// How much of a region's colour is in its pixels, in percent.
const TINT: u32 = 35;
/// Percentiles of the picture that become black and white.
const STRETCH: [f64; 2] = [0.5, 99.8];

/// Writes the picture as RGB PNG with every class but the background tinted by its [`palette`] colour and outlined by
/// one solid pixel. Contrast is stretched, alike for all channels so that hues stay. Of a picture with two channels red
/// and green are made, of more than three the first three are shown.
pub fn write_overlay(path: impl AsRef<Path>, picture: &Picture, mask: &Mask) -> Result<()> {
    let (width, height) = (picture.width(), picture.height());
    if (width, height) != (mask.width(), mask.height()) {
        let reason =
            format!("the mask of {}x{} is not over a picture of {width}x{height}", mask.width(), mask.height());
        return Err(Error::invalid("overlay", reason));
    }
    let display = Display::of(picture)?;
    let format = (png::ColorType::Rgb, png::BitDepth::Eight);
    write_png(path.as_ref(), (width, height), format, None, |y, row| {
        display.row(y, |at| mask.id(at), palette, row);
    })
}

/// A picture as it is shown.
pub(crate) struct Display<'a> {
    picture: &'a Picture,
    low: f64,
    scale: f64,
}

impl<'a> Display<'a> {
    /// Contrast is stretched by the picture's percentiles.
    pub(crate) fn of(picture: &'a Picture) -> Result<Self> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for channel in 0..picture.channels().min(3) {
            let [l, h] = percentiles(picture, channel, STRETCH)?;
            (low, high) = (low.min(l), high.max(h));
        }
        let range = high - low;
        // A flat picture is shown grey as its values are, which keeps black black.
        let (low, scale) = if range > 0.0 { (low, 255.0 / range) } else { (0.0, 255.0 / picture.pixels().unit()) };
        Ok(Self { picture, low, scale })
    }

    /// Adds a row of RGB: regions of any class but 0 tinted by their colour and outlined. `id` gives the class of a pixel,
    /// counted row by row.
    pub(crate) fn row(
        &self,
        y: usize,
        id: impl Fn(usize) -> usize,
        colour: impl Fn(usize) -> [u8; 3],
        out: &mut Vec<u8>,
    ) {
        let (width, height) = (self.picture.width(), self.picture.height());
        for x in 0..width {
            let at = y * width + x;
            let seen = self.rgb(at);
            let own = id(at);
            if own == 0 {
                out.extend(seen);
                continue;
            }
            let colour = colour(own);
            let edge = (x > 0 && id(at - 1) != own)
                || (x + 1 < width && id(at + 1) != own)
                || (y > 0 && id(at - width) != own)
                || (y + 1 < height && id(at + width) != own);
            let tint = |c: usize| ((u32::from(seen[c]) * (100 - TINT) + u32::from(colour[c]) * TINT + 50) / 100) as u8;
            out.extend(if edge { colour } else { [tint(0), tint(1), tint(2)] });
        }
    }

    fn rgb(&self, pixel: usize) -> [u8; 3] {
        let channels = self.picture.channels();
        let level = |c: usize| {
            let at = pixel * channels + c;
            let x = match self.picture.pixels() {
                Pixels::U8(v) => f64::from(v[at]),
                Pixels::U16(v) => f64::from(v[at]),
                Pixels::F32(v) => f64::from(v[at]),
            };
            // The cast saturates, and makes 0 of a NaN.
            ((x - self.low) * self.scale).round() as u8
        };
        match channels {
            1 => [level(0); 3],
            2 => [level(0), level(1), 0],
            _ => [level(0), level(1), level(2)],
        }
    }
}
