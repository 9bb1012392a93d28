//! A page's integers as stored, the source of labels.

use super::layout::Format;
use super::samples::Words;
use super::{TiffImage, failed, guarded, tag};
use crate::error::{Error, Result};
use crate::infer::decode::{Bounds, MAX_PIXELS, begin};
use crate::io::Input;
use crate::text::mib;

/// A page of integers as stored: not inverted if white is zero, not looked up in a palette, not scaled to 8 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::low_level::infer::decode) struct RawIntegers {
    pub width: usize,
    pub height: usize,
    /// Samples per pixel as stored, including alpha, over all directories of the page.
    pub samples: usize,
    pub bits: u8,
    pub signed: bool,
    /// `PhotometricInterpretation`: 0 white is zero, 1 black is zero, 2 RGB, 3 palette.
    pub photometric: u16,
    /// The palette as stored: red, green and blue in 0..=65535.
    pub palette: Option<Vec<[u16; 3]>>,
    /// Row by row, interleaved.
    pub values: Vec<i64>,
}

/// Bytes of results that any file may be read into.
const FREE_RESULTS: u64 = 512 << 20;
/// Beyond [`FREE_RESULTS`], bytes of results per byte of the file: constant labels of 8 bits reach 8256 with deflate.
const RESULTS_PER_BYTE: u64 = 12 << 10;

/// The integers of page `page` of a TIFF file; `None` if its samples are floats or were changed by JPEG.
pub(in crate::low_level::infer::decode) fn raw_integers(input: &Input, page: usize) -> Result<Option<RawIntegers>> {
    let (file, reader, _) = begin(input, &Bounds { pixels: MAX_PIXELS, memory: u64::MAX })?;
    let mut image = TiffImage::open(file.clone(), reader, page, 0)?;
    let source = file.as_source();
    guarded(&source, || image.integers())
}

/// A page of floats as stored.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::low_level::infer::decode) struct RawFloats {
    pub width: usize,
    pub height: usize,
    /// As in [`RawIntegers`].
    pub samples: usize,
    pub bits: u8,
    /// Row by row, interleaved.
    pub values: Vec<f64>,
}

/// The floats of page `page` of a TIFF file; `None` if its samples are integers.
pub(in crate::low_level::infer::decode) fn raw_floats(input: &Input, page: usize) -> Result<Option<RawFloats>> {
    let (file, reader, _) = begin(input, &Bounds { pixels: MAX_PIXELS, memory: u64::MAX })?;
    let mut image = TiffImage::open(file.clone(), reader, page, 0)?;
    let source = file.as_source();
    guarded(&source, || image.floats())
}

impl TiffImage {
    fn integers(&mut self) -> Result<Option<RawIntegers>> {
        let file = self.source.clone();
        let source = file.as_source();
        if self.page.format == Format::Float || !super::codes::is_bytes(self.page.compression) {
            return Ok(None);
        }
        let signed = self.page.format == Format::Signed;
        let beyond = || source.error("holds an integer beyond 9223372036854775807");
        let values = self.stored_samples(&|words: &Words, i| words.integer(i, signed).ok_or_else(beyond))?;
        let (width, height) = (self.page.width, self.page.height);
        let samples = self.planes.len() * self.page.stored;
        let palette = self.palette(&source)?;
        let (bits, photometric) = (self.page.bits, self.page.photometric);
        Ok(Some(RawIntegers { width, height, samples, bits, signed, photometric, palette, values }))
    }

    fn floats(&mut self) -> Result<Option<RawFloats>> {
        if self.page.format != Format::Float || !super::codes::is_bytes(self.page.compression) {
            return Ok(None);
        }
        let values = self.stored_samples(&|words: &Words, i| Ok(words.float(i).unwrap_or(f64::NAN)))?;
        let (width, height, bits) = (self.page.width, self.page.height, self.page.bits);
        Ok(Some(RawFloats { width, height, samples: self.planes.len() * self.page.stored, bits, values }))
    }

    /// All samples of the page, row by row, interleaved.
    fn stored_samples<T: Copy + Default>(&mut self, of: &dyn Fn(&Words, usize) -> Result<T>) -> Result<Vec<T>> {
        let file = self.source.clone();
        let source = file.as_source();
        let (width, height, stored) = (self.page.width, self.page.height, self.page.stored);
        let samples = self.planes.len() * stored;
        let bytes = (width as u64).saturating_mul(height as u64).saturating_mul(samples as u64).saturating_mul(8);
        // The limit is for stored bytes; results take eight bytes per sample.
        source.check_bytes(bytes / 8)?;
        let limit = FREE_RESULTS.saturating_add(source.bytes.saturating_mul(RESULTS_PER_BYTE));
        if bytes > limit {
            return Err(Error::Limit {
                what: format!("{}: reading labels of {width}x{height} pixels", source.path.display()),
                needed: mib(bytes),
                limit: format!("{}, for a file of {} bytes", mib(limit), source.bytes),
            });
        }
        let mut values = source.zeros::<T>(width * height * samples)?;
        let (across, per_plane) = (self.page.across(), self.page.per_plane());
        let together = self.page.together();
        let [cw, ch] = self.page.chunk;
        for (first, plane) in self.planes.clone().into_iter().enumerate() {
            for number in 0..per_plane * stored / together {
                let (words, rows) = self.words(plane, number)?;
                let sample = first * stored + number / per_plane;
                let (x0, y0) = (number % per_plane % across * cw, number % per_plane / across * ch);
                for y in y0..(y0 + rows).min(height) {
                    for x in x0..(x0 + cw).min(width) {
                        for k in 0..together {
                            let value = of(&words, ((y - y0) * cw + x - x0) * together + k)?;
                            if let Some(to) = values.get_mut((y * width + x) * samples + sample + k) {
                                *to = value;
                            }
                        }
                    }
                }
            }
        }
        Ok(values)
    }

    fn palette(&mut self, source: &super::Source) -> Result<Option<Vec<[u16; 3]>>> {
        if self.page.photometric != 3 {
            return Ok(None);
        }
        let map: Option<Vec<u16>> = self.decoder.unsigned_list(tag::PALETTE).map_err(|e| failed(source, e))?;
        let map = map.unwrap_or_default();
        let (red, rest) = map.split_at(map.len() / 3);
        let (green, blue) = rest.split_at(rest.len() / 2);
        Ok(Some(red.iter().zip(green).zip(blue).map(|((&r, &g), &b)| [r, g, b]).collect()))
    }
}
