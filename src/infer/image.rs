//! Images in host memory.

use super::channel_kind::ChannelKind;
use crate::error::{Error, Result};

/// The type of an image's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sample {
    /// 8-bit unsigned integers.
    U8,
    /// 16-bit unsigned integers.
    U16,
    /// 32-bit floats.
    F32,
}

impl Sample {
    /// Bytes per sample.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
        }
    }

    /// Maximum value: 255, 65535, or 1 for floats.
    pub fn unit(self) -> f64 {
        match self {
            Self::U8 => 255.0,
            Self::U16 => 65535.0,
            Self::F32 => 1.0,
        }
    }
}

/// The samples of an image, interleaved (row, column, channel).
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// 8-bit samples.
    U8(Vec<u8>),
    /// 16-bit samples.
    U16(Vec<u16>),
    /// 32-bit float samples.
    F32(Vec<f32>),
}

impl Pixels {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::F32(v) => v.len(),
        }
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of the samples.
    pub fn sample(&self) -> Sample {
        match self {
            Self::U8(_) => Sample::U8,
            Self::U16(_) => Sample::U16,
            Self::F32(_) => Sample::F32,
        }
    }

    /// Maximum value of the sample type: 255, 65535, or 1 for floats.
    pub fn unit(&self) -> f64 {
        self.sample().unit()
    }
}

/// An image with at least one pixel and one channel. [`Image::open`] reads one from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Pixels,
    kind: ChannelKind,
    names: Vec<String>,
}

impl Image {
    /// Creates an image from interleaved samples. Fails if a dimension is zero or the number of samples does not match.
    ///
    /// One channel is grey, three are RGB, other numbers are separate channels. [`Self::with_kind`] changes this.
    pub fn new(width: usize, height: usize, channels: usize, pixels: Pixels) -> Result<Self> {
        let count = width.checked_mul(height).and_then(|n| n.checked_mul(channels));
        if count != Some(pixels.len()) || pixels.is_empty() {
            let reason = format!("{} samples do not make {width}x{height} pixels of {channels} channels", pixels.len());
            return Err(Error::invalid("image", reason));
        }
        Ok(Self { width, height, channels, pixels, kind: ChannelKind::of_count(channels), names: Vec::new() })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Samples per pixel.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The samples.
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// Meaning of the channels.
    pub fn kind(&self) -> ChannelKind {
        self.kind
    }

    /// Channel names from the file; empty if it has none.
    pub fn channel_names(&self) -> &[String] {
        &self.names
    }

    /// Sets the kind of the channels.
    #[must_use]
    pub fn with_kind(self, kind: ChannelKind) -> Self {
        Self { kind, ..self }
    }

    /// Sets the names of the channels.
    #[must_use]
    pub fn with_channel_names(self, names: Vec<String>) -> Self {
        Self { names, ..self }
    }

    /// Selects channels in the given order; missing ones are skipped. The result has no channel kinds.
    pub(super) fn pick(&self, channels: &[usize]) -> Result<Self> {
        fn pick<T: Copy>(v: &[T], stored: usize, channels: &[usize]) -> Result<Vec<T>> {
            let mut out = Vec::new();
            let too_large = |_| Error::invalid("image", format!("{} channels do not fit in memory", channels.len()));
            out.try_reserve_exact((v.len() / stored).saturating_mul(channels.len())).map_err(too_large)?;
            out.extend(v.chunks_exact(stored).flat_map(|p| channels.iter().filter_map(|&c| p.get(c).copied())));
            Ok(out)
        }
        let pixels = match &self.pixels {
            Pixels::U8(v) => Pixels::U8(pick(v, self.channels, channels)?),
            Pixels::U16(v) => Pixels::U16(pick(v, self.channels, channels)?),
            Pixels::F32(v) => Pixels::F32(pick(v, self.channels, channels)?),
        };
        Self::new(self.width, self.height, channels.len(), pixels)
    }

    /// Copies the rectangle of `w` x `h` pixels at column `x0`, row `y0`.
    pub fn part(&self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Self> {
        self.check_inside(x0, y0, w, h)?;
        let c = self.channels;
        fn rows<T: Copy>(v: &[T], stride: usize, first: usize, [w, h]: [usize; 2]) -> Vec<T> {
            let mut out = Vec::with_capacity(w * h);
            for row in v.chunks_exact(stride).take(h) {
                out.extend(row.iter().skip(first).take(w));
            }
            out
        }
        let (stride, first, size) = (self.width * c, x0 * c, [w * c, h]);
        let from = y0 * stride;
        let pixels = match &self.pixels {
            Pixels::U8(v) => Pixels::U8(rows(v.get(from..).unwrap_or_default(), stride, first, size)),
            Pixels::U16(v) => Pixels::U16(rows(v.get(from..).unwrap_or_default(), stride, first, size)),
            Pixels::F32(v) => Pixels::F32(rows(v.get(from..).unwrap_or_default(), stride, first, size)),
        };
        Ok(Self { kind: self.kind, ..Self::new(w, h, c, pixels)? })
    }

    fn check_inside(&self, x0: usize, y0: usize, w: usize, h: usize) -> Result<()> {
        let inside = |at: usize, len: usize, limit: usize| at.checked_add(len).is_some_and(|end| end <= limit);
        if inside(x0, w, self.width) && inside(y0, h, self.height) {
            return Ok(());
        }
        let reason =
            format!("{w}x{h} pixels at ({x0}, {y0}) are not inside the image of {}x{}", self.width, self.height);
        Err(Error::invalid("window", reason))
    }

    /// The rectangle of `w` x `h` pixels at column `x0`, row `y0`: raw values, planar (channel, row, column).
    pub fn window(&self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        self.window_into(x0, y0, w, h, &mut out)?;
        Ok(out)
    }

    /// [`Self::window`] into a reusable vector, whose contents are replaced.
    pub fn window_into(&self, x0: usize, y0: usize, w: usize, h: usize, out: &mut Vec<f32>) -> Result<()> {
        self.check_inside(x0, y0, w, h)?;
        out.clear();
        // The window lies inside the image, so the product is at most its number of samples.
        out.reserve(w * h * self.channels);
        match &self.pixels {
            Pixels::U8(v) => self.planes(v, [x0, y0, w, h], out, f32::from),
            Pixels::U16(v) => self.planes(v, [x0, y0, w, h], out, f32::from),
            Pixels::F32(v) => self.planes(v, [x0, y0, w, h], out, |x| x),
        }
        Ok(())
    }

    fn planes<T: Copy>(&self, v: &[T], [x0, y0, w, h]: [usize; 4], out: &mut Vec<f32>, f: impl Fn(T) -> f32) {
        let c = self.channels;
        for channel in 0..c {
            for y in y0..y0 + h {
                let row = (y * self.width + x0) * c;
                out.extend(v[row..row + w * c].iter().skip(channel).step_by(c).map(|&x| f(x)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_count_must_match_the_dimensions() {
        assert!(Image::new(2, 2, 1, Pixels::U8(vec![0; 3])).is_err());
        assert!(Image::new(0, 2, 1, Pixels::U8(vec![])).is_err());
        assert!(Image::new(usize::MAX, 2, 1, Pixels::U8(vec![0; 2])).is_err());
    }

    #[test]
    fn a_window_is_planar() {
        let p = Image::new(3, 2, 2, Pixels::U8((0..12).collect())).unwrap();
        assert_eq!(p.window(1, 0, 2, 2).unwrap(), [2., 4., 8., 10., 3., 5., 9., 11.]);
        assert_eq!(p.window(0, 1, 1, 1).unwrap(), [6., 7.]);
        assert_eq!(p.part(1, 0, 2, 2).unwrap().pixels(), &Pixels::U8(vec![2, 3, 4, 5, 8, 9, 10, 11]));
        assert_eq!(p.part(2, 1, 1, 1).unwrap().pixels(), &Pixels::U8(vec![10, 11]));
        assert!(p.part(2, 0, 2, 1).is_err() && p.part(0, 0, 0, 1).is_err());
        assert!(p.window(2, 0, 2, 1).is_err());
        assert!(p.window(usize::MAX, 0, 2, 1).is_err());
    }
}
