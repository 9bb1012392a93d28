//! A segmented image as a stream of rows: what an image of any size is handed on in.
//!
//! Rows come complete, in order from top to bottom, each exactly once, in bands of a bounded number of rows. Whoever
//! wants them implements [`BandSink`]; files are sinks, and so is what follows instances from band to band.

use super::image::Image;
use super::mask::{Ids, Mask};
use crate::error::{Error, Result};

/// What a sink is told before the first band.
#[derive(Clone, Debug, PartialEq)]
pub struct BandInfo {
    /// Columns of the image, and of every band.
    pub width: usize,
    /// Rows of the image: the sum of all bands' heights.
    pub height: usize,
    /// Channels of the image as [`Band::pixels`] has them.
    pub channels: usize,
    /// Class names, background first; ids are below their number.
    pub classes: Vec<String>,
    /// Probability planes of the network: one for a single sigmoid output, otherwise one a class.
    pub planes: usize,
    /// Pixel values shown as black and white: percentiles over the image, alike for all channels. Present if a sink needs
    /// it.
    pub contrast: Option<[f64; 2]>,
}

/// What a sink reads of every band; the rest is not made for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Needs {
    /// [`Band::probabilities`].
    pub probabilities: bool,
    /// [`Band::pixels`].
    pub pixels: bool,
    /// [`BandInfo::contrast`].
    pub contrast: bool,
}

impl Needs {
    /// What either needs.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            probabilities: self.probabilities | other.probabilities,
            pixels: self.pixels | other.pixels,
            contrast: self.contrast | other.contrast,
        }
    }
}

/// Some complete rows of a segmented image.
#[derive(Clone, Copy, Debug)]
pub struct Band<'a> {
    /// Row of the image that the band begins with.
    pub first: usize,
    /// Rows of the band, at least one.
    pub height: usize,
    /// Columns, as of the image.
    pub width: usize,
    /// Class of every pixel, `[height][width]`.
    pub classes: &'a Ids,
    /// Probabilities `[K][height][width]`, if a sink needs them; K is [`BandInfo::planes`].
    pub probabilities: Option<&'a [f32]>,
    /// The image's own pixels of these rows, as its file has them, if a sink needs them: `height` x `width` pixels of
    /// [`BandInfo::channels`] channels.
    pub pixels: Option<&'a Image>,
}

impl Band<'_> {
    /// Class of the pixel with this index in the band, counted row by row; 0 outside.
    pub fn class(&self, index: usize) -> usize {
        self.classes.id(index)
    }
}

/// `Send` where there are threads: a future that holds a source or a sink may move to another. In a browser, where values
/// of the page stay in their thread, it asks for nothing.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> MaybeSend for T {}

/// `Send` where there are threads; in a browser it asks for nothing.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSend for T {}

/// Takes the rows of one segmented image.
pub trait BandSink: MaybeSend {
    /// What the sink reads. Asked for once, before [`Self::start`].
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Comes before the first band. Comes again when the work begins anew (in `f32`, after `f16` overflowed): all that came
    /// before is void then.
    fn start(&mut self, info: &BandInfo) -> Result<()>;

    /// The next rows.
    fn band(&mut self, band: &Band) -> Result<()>;

    /// All rows were given: files get their names. A sink that is dropped without leaves no trace.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Gives a mask in memory to a sink in bands of at most `rows` rows, `start` and `finish` included; what a sink needs and
/// is not given is an error.
pub fn feed(
    mut sink: Box<dyn BandSink>,
    info: &BandInfo,
    mask: &Mask,
    probabilities: Option<&[f32]>,
    image: Option<&Image>,
    rows: usize,
) -> Result<()> {
    let needs = sink.needs();
    let missing = |what: &str| Error::invalid("sink", format!("needs {what}, which were not given"));
    if needs.probabilities && probabilities.is_none() {
        return Err(missing("probabilities"));
    }
    if needs.pixels && image.is_none() {
        return Err(missing("pixels"));
    }
    let (width, height) = (mask.width(), mask.height());
    let fits = |w: usize, h: usize| w == width && h == height;
    let plane = width * height;
    if !fits(info.width, info.height)
        || !image.is_none_or(|p| fits(p.width(), p.height()))
        || probabilities.is_some_and(|p| p.len() != plane * info.planes)
    {
        return Err(Error::invalid("mask", format!("of {width}x{height} pixels does not belong to the rest")));
    }
    sink.start(info)?;
    let mut first = 0;
    while first < height {
        let rows = rows.max(1).min(height - first);
        let range = first * width..(first + rows) * width;
        let classes = match mask.ids() {
            Ids::U8(v) => Ids::U8(v.get(range.clone()).unwrap_or_default().to_vec()),
            Ids::U16(v) => Ids::U16(v.get(range.clone()).unwrap_or_default().to_vec()),
        };
        let planes: Option<Vec<f32>> = probabilities
            .filter(|_| needs.probabilities)
            .map(|p| p.chunks_exact(plane).flat_map(|p| p.get(range.clone()).unwrap_or_default()).copied().collect());
        let pixels = match image.filter(|_| needs.pixels) {
            Some(p) => Some(p.part(0, first, width, rows)?),
            None => None,
        };
        let (probabilities, pixels) = (planes.as_deref(), pixels.as_ref());
        sink.band(&Band { first, height: rows, width, classes: &classes, probabilities, pixels })?;
        first += rows;
    }
    sink.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::image::Pixels;
    use std::sync::{Arc, Mutex};

    /// Rows as they came: first row, classes, probabilities, pixels.
    type Seen = Vec<(usize, Ids, Vec<f32>, Pixels)>;

    struct Recorder(Needs, Arc<Mutex<Seen>>);

    impl BandSink for Recorder {
        fn needs(&self) -> Needs {
            self.0
        }
        fn start(&mut self, info: &BandInfo) -> Result<()> {
            assert_eq!((info.width, info.height), (2, 3));
            Ok(())
        }
        fn band(&mut self, band: &Band) -> Result<()> {
            let (p, pixels) = (band.probabilities.unwrap_or_default().to_vec(), band.pixels.unwrap().pixels().clone());
            self.1.lock().unwrap().push((band.first, band.classes.clone(), p, pixels));
            Ok(())
        }
        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_mask_is_fed_row_by_row() {
        let mask = Mask::new(2, 3, 2, Ids::U8(vec![0, 1, 1, 0, 1, 1])).unwrap();
        let image = Image::new(2, 3, 2, Pixels::U8((0..12).collect())).unwrap();
        let classes = vec!["background".to_string(), "cell".to_string()];
        let info = BandInfo { width: 2, height: 3, channels: 2, classes, planes: 2, contrast: None };
        let probabilities: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let seen = Arc::new(Mutex::new(Seen::new()));
        let all = Needs { probabilities: true, pixels: true, contrast: false };
        let sink = || Box::new(Recorder(all, seen.clone()));
        feed(sink(), &info, &mask, Some(&probabilities), Some(&image), 2).unwrap();
        let expected = vec![
            (0, Ids::U8(vec![0, 1, 1, 0]), vec![0., 1., 2., 3., 6., 7., 8., 9.], Pixels::U8((0..8).collect())),
            (2, Ids::U8(vec![1, 1]), vec![4., 5., 10., 11.], Pixels::U8((8..12).collect())),
        ];
        assert_eq!(*seen.lock().unwrap(), expected);
        let e = feed(sink(), &info, &mask, None, Some(&image), 2).unwrap_err().to_string();
        assert!(e.contains("probabilities"), "{e}");
        assert!(feed(sink(), &info, &mask, Some(&probabilities[1..]), Some(&image), 2).is_err());
    }
}
