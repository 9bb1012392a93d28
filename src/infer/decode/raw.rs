//! Uncompressed samples read by windows: numpy arrays, and TIFF strips too large to read whole.

use std::io::{Read, Seek, SeekFrom};

use super::Source;
use crate::error::{Error, Result};
use crate::infer::image::Sample;
use crate::infer::image::{Image, Pixels};
use crate::infer::source::SourceInfo;

/// Storage layout of an image's samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawLayout {
    pub info: SourceInfo,
    /// Interleaved samples per pixel; the image's channels are planes of these.
    pub together: usize,
    /// Samples stored per pixel; at least `together`.
    pub stored: usize,
    /// File offsets of strips, plane by plane.
    pub strips: Vec<u64>,
    /// Rows per strip.
    pub rows: usize,
    /// Byte order of the samples.
    pub big_endian: bool,
}

impl RawLayout {
    /// The rectangle of `w` x `h` pixels at column `x0`, row `y0`.
    pub(super) fn read(
        &self,
        source: &Source,
        file: &mut (impl Read + Seek),
        [x0, y0, w, h]: [usize; 4],
    ) -> Result<Image> {
        self.info.check_inside(x0, y0, w, h)?;
        let len = w * h * self.info.channels;
        let pixels = match self.info.sample {
            Sample::U8 => Pixels::U8(self.samples(source, file, [x0, y0, w, h], len, |[b]: [u8; 1], _| b)?),
            Sample::U16 => {
                let order = |b, big| if big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) };
                Pixels::U16(self.samples(source, file, [x0, y0, w, h], len, order)?)
            }
            Sample::F32 => {
                let order = |b, big| if big { f32::from_be_bytes(b) } else { f32::from_le_bytes(b) };
                Pixels::F32(self.samples(source, file, [x0, y0, w, h], len, order)?)
            }
        };
        Image::new(w, h, self.info.channels, pixels)
    }

    fn samples<T: Copy + Default, const N: usize>(
        &self,
        source: &Source,
        file: &mut (impl Read + Seek),
        [x0, y0, w, h]: [usize; 4],
        len: usize,
        value: impl Fn([u8; N], bool) -> T,
    ) -> Result<Vec<T>> {
        let mut out = source.zeros::<T>(len)?;
        let channels = self.info.channels;
        let planes = channels / self.together.max(1);
        let per_plane = self.info.height.div_ceil(self.rows.max(1));
        let mut line = source.zeros::<u8>(w * self.stored * N)?;
        for plane in 0..planes {
            for row in 0..h {
                let y = y0 + row;
                let strip = plane * per_plane + y / self.rows.max(1);
                let within = ((y % self.rows.max(1)) * self.info.width + x0) as u64 * (self.stored * N) as u64;
                let start = self.strips.get(strip).and_then(|s| s.checked_add(within));
                let start = start.ok_or_else(|| source.error("damaged: its data are incomplete"))?;
                file.seek(SeekFrom::Start(start)).map_err(|e| Error::io(source.path, e))?;
                file.read_exact(&mut line).map_err(|e| match e.kind() {
                    std::io::ErrorKind::UnexpectedEof => source.error("the file is truncated"),
                    _ => Error::io(source.path, e),
                })?;
                let pixels = out.get_mut(row * w * channels..(row + 1) * w * channels).unwrap_or_default();
                for (pixel, bytes) in pixels.chunks_exact_mut(channels).zip(line.chunks_exact(self.stored * N)) {
                    let place = pixel.iter_mut().skip(plane * self.together).take(self.together);
                    for (sample, bytes) in place.zip(bytes.as_chunks::<N>().0) {
                        *sample = value(*bytes, self.big_endian);
                    }
                }
            }
        }
        Ok(out)
    }
}
