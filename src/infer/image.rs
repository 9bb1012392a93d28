//! Pictures in host memory.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// The type of a picture's samples.
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
    /// Bytes of a sample.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
        }
    }

    /// Largest value: 255, 65535, or 1 for floats.
    pub fn unit(self) -> f64 {
        match self {
            Self::U8 => 255.0,
            Self::U16 => 65535.0,
            Self::F32 => 1.0,
        }
    }
}

/// The samples of a picture, interleaved (row, column, channel).
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

    /// Whether there is no sample.
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

    /// Largest value of the sample type: 255, 65535, or 1 for floats.
    pub fn unit(&self) -> f64 {
        self.sample().unit()
    }
}

/// A picture: at least one pixel of at least one channel. [`Picture::open`] reads one from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Pixels,
}

impl Picture {
    /// A picture from its samples. Fails if a dimension is zero or the samples do not fill the dimensions.
    pub fn new(width: usize, height: usize, channels: usize, pixels: Pixels) -> Result<Self> {
        let count = width.checked_mul(height).and_then(|n| n.checked_mul(channels));
        if count != Some(pixels.len()) || pixels.is_empty() {
            let reason = format!("{} samples do not make {width}x{height} pixels of {channels} channels", pixels.len());
            return Err(Error::invalid("picture", reason));
        }
        Ok(Self { width, height, channels, pixels })
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

    /// The picture with the number of channels a network wants.
    ///
    /// One channel is copied as often as needed. Three become one: microscopes often save grey pictures as RGB, then
    /// any channel is the picture; if the channels differ it is their mean, rounded to nearest for integers (no luma
    /// weights, which describe eyes and not dyes). Every other change of the number is refused.
    pub fn to_channels(&self, wanted: usize) -> Result<Cow<'_, Self>> {
        let pixels = match (self.channels, wanted) {
            (have, want) if have == want => return Ok(Cow::Borrowed(self)),
            (1, 1..) => match &self.pixels {
                Pixels::U8(v) => Pixels::U8(repeat(v, wanted)?),
                Pixels::U16(v) => Pixels::U16(repeat(v, wanted)?),
                Pixels::F32(v) => Pixels::F32(repeat(v, wanted)?),
            },
            // The rounded mean of three equal integers is that integer, so equal channels need no case of their own.
            (3, 1) => match &self.pixels {
                Pixels::U8(v) => {
                    Pixels::U8(merge(v, |p| ((p.iter().map(|&x| u32::from(x)).sum::<u32>() + 1) / 3) as u8))
                }
                Pixels::U16(v) => {
                    Pixels::U16(merge(v, |p| ((p.iter().map(|&x| u32::from(x)).sum::<u32>() + 1) / 3) as u16))
                }
                Pixels::F32(v) => {
                    Pixels::F32(merge(v, |p| (p.iter().map(|&x| f64::from(x)).sum::<f64>() / 3.0) as f32))
                }
            },
            (have, _) => {
                let all: Vec<String> = (0..wanted).map(|c| c.to_string()).collect();
                // Which ones is the user's to know; the list shows how they are named.
                let hint = match have > wanted {
                    true => format!("; choose with --channels {}", all.join(",")),
                    false => String::new(),
                };
                let reason = format!("has {}, the network takes {}{hint}", channels(have), channels(wanted));
                return Err(Error::invalid("picture", reason));
            }
        };
        Ok(Cow::Owned(Self::new(self.width, self.height, wanted, pixels)?))
    }

    /// The rectangle of `w` x `h` pixels at column `x0`, row `y0` as a picture of its own.
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
        Self::new(w, h, c, pixels)
    }

    fn check_inside(&self, x0: usize, y0: usize, w: usize, h: usize) -> Result<()> {
        let inside = |at: usize, len: usize, limit: usize| at.checked_add(len).is_some_and(|end| end <= limit);
        if inside(x0, w, self.width) && inside(y0, h, self.height) {
            return Ok(());
        }
        let reason =
            format!("{w}x{h} pixels at ({x0}, {y0}) are not inside the picture of {}x{}", self.width, self.height);
        Err(Error::invalid("window", reason))
    }

    /// The rectangle of `w` x `h` pixels at column `x0`, row `y0`: raw values, planar (channel, row, column).
    pub fn window(&self, x0: usize, y0: usize, w: usize, h: usize) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        self.window_into(x0, y0, w, h, &mut out)?;
        Ok(out)
    }

    /// [`Self::window`] into a vector that is kept between tiles; what it held is replaced.
    pub fn window_into(&self, x0: usize, y0: usize, w: usize, h: usize, out: &mut Vec<f32>) -> Result<()> {
        self.check_inside(x0, y0, w, h)?;
        out.clear();
        // Inside the picture, so the product is at most its number of samples.
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

fn channels(n: usize) -> String {
    if n == 1 { "1 channel".into() } else { format!("{n} channels") }
}

fn repeat<T: Copy>(samples: &[T], times: usize) -> Result<Vec<T>> {
    let too_large = || Error::invalid("picture", format!("{times} copies of its channel do not fit in memory"));
    let mut out = Vec::new();
    out.try_reserve_exact(samples.len().checked_mul(times).ok_or_else(too_large)?).map_err(|_| too_large())?;
    for &s in samples {
        out.extend(std::iter::repeat_n(s, times));
    }
    Ok(out)
}

fn merge<T>(samples: &[T], f: impl Fn(&[T]) -> T) -> Vec<T> {
    samples.chunks_exact(3).map(f).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_must_fill_the_picture() {
        assert!(Picture::new(2, 2, 1, Pixels::U8(vec![0; 3])).is_err());
        assert!(Picture::new(0, 2, 1, Pixels::U8(vec![])).is_err());
        assert!(Picture::new(usize::MAX, 2, 1, Pixels::U8(vec![0; 2])).is_err());
    }

    #[test]
    fn grey_is_copied_and_rgb_is_averaged() {
        let grey = Picture::new(2, 1, 1, Pixels::U16(vec![7, 9])).unwrap();
        assert_eq!(grey.to_channels(3).unwrap().pixels(), &Pixels::U16(vec![7, 7, 7, 9, 9, 9]));
        assert!(matches!(grey.to_channels(1).unwrap(), Cow::Borrowed(_)));
        let rgb = Picture::new(3, 1, 3, Pixels::U8(vec![255, 255, 255, 0, 0, 2, 10, 20, 31])).unwrap();
        assert_eq!(rgb.to_channels(1).unwrap().pixels(), &Pixels::U8(vec![255, 1, 20]));
        let wide = Picture::new(2, 1, 3, Pixels::U16(vec![65535, 65535, 65535, 1, 1, 0])).unwrap();
        assert_eq!(wide.to_channels(1).unwrap().pixels(), &Pixels::U16(vec![65535, 1]));
        // A third of a float is not exact: equal channels must still come back bit for bit.
        for x in [0.1f32, 1.0 / 3.0, f32::MAX, f32::MIN_POSITIVE, 16777215.0] {
            let p = Picture::new(1, 1, 3, Pixels::F32(vec![x; 3])).unwrap();
            assert_eq!(p.to_channels(1).unwrap().pixels(), &Pixels::F32(vec![x]));
        }
    }

    #[test]
    fn other_channel_counts_are_refused_by_name() {
        let p = Picture::new(1, 1, 3, Pixels::U8(vec![0; 3])).unwrap();
        let e = "picture: has 3 channels, the network takes 2 channels";
        assert_eq!(p.to_channels(2).unwrap_err().to_string(), format!("{e}; choose with --channels 0,1"));
        assert!(p.to_channels(5).unwrap_err().to_string().ends_with("has 3 channels, the network takes 5 channels"));
        assert!(p.to_channels(0).is_err());
        let grey = Picture::new(1, 1, 1, Pixels::U8(vec![0])).unwrap();
        assert!(grey.to_channels(0).is_err());
        assert!(grey.to_channels(usize::MAX).unwrap_err().to_string().contains("memory"));
    }

    #[test]
    fn a_window_is_planar() {
        let p = Picture::new(3, 2, 2, Pixels::U8((0..12).collect())).unwrap();
        assert_eq!(p.window(1, 0, 2, 2).unwrap(), [2., 4., 8., 10., 3., 5., 9., 11.]);
        assert_eq!(p.window(0, 1, 1, 1).unwrap(), [6., 7.]);
        assert_eq!(p.part(1, 0, 2, 2).unwrap().pixels(), &Pixels::U8(vec![2, 3, 4, 5, 8, 9, 10, 11]));
        assert_eq!(p.part(2, 1, 1, 1).unwrap().pixels(), &Pixels::U8(vec![10, 11]));
        assert!(p.part(2, 0, 2, 1).is_err() && p.part(0, 0, 0, 1).is_err());
        assert!(p.window(2, 0, 2, 1).is_err());
        assert!(p.window(usize::MAX, 0, 2, 1).is_err());
    }
}
