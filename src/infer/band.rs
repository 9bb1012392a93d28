//! A segmented image as a stream of rows, for images of any size.
//!
//! Rows arrive complete, from top to bottom, each exactly once, in bands of a bounded number of rows. Consumers
//! implement [`BandSink`]: result files, and the search for instances.

use super::image::Image;
use super::mask::{Ids, Mask};
use crate::error::{Error, Result};

/// What a sink learns before the first band.
#[derive(Clone, Debug, PartialEq)]
pub struct BandInfo {
    /// Columns of the image, and of every band.
    pub width: usize,
    /// Rows of the image: the sum of all bands' heights.
    pub height: usize,
    /// Channels of [`Band::pixels`].
    pub channels: usize,
    /// Class names, background first; ids are below their number.
    pub classes: Vec<String>,
    /// Probability planes of the network: 1 for a single sigmoid output, otherwise one per class.
    pub planes: usize,
    /// Planes of [`Band::geometry`]; 0 for a network that predicts classes alone.
    pub geometry: usize,
    /// Pixel values shown as black and white: percentiles over the image, equal for all channels. Present if a sink
    /// needs them.
    pub contrast: Option<[f64; 2]>,
    /// Rows and columns of the image as the network takes it, if it is resized for it; see [`BandSink::network_band`].
    pub network: Option<[usize; 2]>,
}

/// The fields of a band that a sink reads; others are not computed for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Needs {
    /// [`Band::probabilities`].
    pub probabilities: bool,
    /// [`Band::geometry`].
    pub geometry: bool,
    /// [`Band::pixels`].
    pub pixels: bool,
    /// [`BandInfo::contrast`].
    pub contrast: bool,
}

impl Needs {
    /// The union of both needs.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            probabilities: self.probabilities | other.probabilities,
            geometry: self.geometry | other.geometry,
            pixels: self.pixels | other.pixels,
            contrast: self.contrast | other.contrast,
        }
    }
}

/// Consecutive rows of a segmented image.
#[derive(Clone, Copy, Debug)]
pub struct Band<'a> {
    /// The image row at which the band begins.
    pub first: usize,
    /// Rows of the band, at least one.
    pub height: usize,
    /// Columns, as in the image.
    pub width: usize,
    /// Class of every pixel, `[height][width]`.
    pub classes: &'a Ids,
    /// Probabilities `[K][height][width]`, if a sink needs them; K is [`BandInfo::planes`].
    pub probabilities: Option<&'a [f32]>,
    /// What the network predicts for instances, `[G][height][width]`, if a sink needs it; G is [`BandInfo::geometry`], and
    /// [`InstanceTarget::geometry`](crate::weights::InstanceTarget::geometry) says which planes these are. Absent in the size
    /// of an image that is resized for the network: lengths are in the network's pixels.
    pub geometry: Option<&'a [f32]>,
    /// The image's own pixels of these rows, as in its file, if a sink needs them: `height` x `width` pixels of
    /// [`BandInfo::channels`] channels.
    pub pixels: Option<&'a Image>,
}

impl BandInfo {
    /// Values per pixel that the network gives to sinks with these needs.
    pub(super) fn values(&self, needs: Needs) -> usize {
        let part = |needed: bool, planes: usize| if needed { planes } else { 0 };
        part(needs.probabilities, self.planes) + part(needs.geometry, self.geometry)
    }
}

/// A [`Band`] that owns its values.
#[derive(Clone, Debug)]
pub struct OwnedBand {
    /// [`Band::first`].
    pub first: usize,
    /// [`Band::height`].
    pub height: usize,
    /// [`Band::width`].
    pub width: usize,
    /// [`Band::classes`].
    pub classes: Ids,
    /// [`Band::probabilities`].
    pub probabilities: Option<Vec<f32>>,
    /// [`Band::geometry`].
    pub geometry: Option<Vec<f32>>,
    /// [`Band::pixels`].
    pub pixels: Option<Image>,
}

impl OwnedBand {
    /// The band itself.
    pub fn band(&self) -> Band<'_> {
        Band {
            first: self.first,
            height: self.height,
            width: self.width,
            classes: &self.classes,
            probabilities: self.probabilities.as_deref(),
            geometry: self.geometry.as_deref(),
            pixels: self.pixels.as_ref(),
        }
    }

    /// Bytes of its values.
    pub fn bytes(&self) -> usize {
        let floats = [&self.probabilities, &self.geometry].into_iter().flatten().map(Vec::len).sum::<usize>();
        let ids = match self.classes {
            Ids::U8(_) => 1,
            Ids::U16(_) => 2,
        };
        let pixels = self.pixels.as_ref().map_or(0, |p| p.pixels().len() * p.pixels().sample().bytes());
        4 * floats + pixels + ids * self.width * self.height
    }
}

impl From<&Band<'_>> for OwnedBand {
    fn from(band: &Band) -> Self {
        let Band { first, height, width, classes, probabilities, geometry, pixels } = *band;
        let [probabilities, geometry] = [probabilities, geometry].map(|planes| planes.map(<[f32]>::to_vec));
        Self { first, height, width, classes: classes.clone(), probabilities, geometry, pixels: pixels.cloned() }
    }
}

impl Band<'_> {
    /// Class of the pixel at this row-major index in the band; 0 if out of range.
    pub fn class(&self, index: usize) -> usize {
        self.classes.id(index)
    }
}

/// `Send` if there are threads: a future that holds a source or a sink may move to another thread. In a browser, where
/// JavaScript values stay in their thread, it requires nothing.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> MaybeSend for T {}

/// `Send` if there are threads; in a browser it requires nothing.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSend for T {}

/// Consumer of the rows of one segmented image.
pub trait BandSink: MaybeSend {
    /// The fields that the sink reads. Called once, before [`Self::start`].
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Called before the first band, and again if segmentation restarts (in `f32`, after `f16` overflowed): earlier
    /// rows are then void.
    fn start(&mut self, info: &BandInfo) -> Result<()>;

    /// Receives the next rows.
    fn band(&mut self, band: &Band) -> Result<()>;

    /// Receives the next rows as the network computes them, if the image is resized for it ([`BandInfo::network`]), without
    /// [`Band::pixels`]. Each row comes before the rows of the image that follow from it.
    fn network_band(&mut self, _band: &Band) -> Result<()> {
        Ok(())
    }

    /// Called after the last row: files get their final names. A sink dropped without it leaves no files.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Passes a mask in memory to a sink in bands of at most `rows` rows, including `start` and `finish`. Fails if the sink
/// needs something that is missing.
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
    if needs.geometry {
        return Err(missing("planes of geometry"));
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
        return Err(Error::invalid("mask", format!("of {width}x{height} pixels does not match the other arguments")));
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
        sink.band(&Band { first, height: rows, width, classes: &classes, probabilities, geometry: None, pixels })?;
        first += rows;
    }
    sink.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::image::Pixels;
    use std::sync::{Arc, Mutex};

    /// Rows in order of arrival: first row, classes, probabilities, pixels.
    type Record = Vec<(usize, Ids, Vec<f32>, Pixels)>;

    struct Recorder(Needs, Arc<Mutex<Record>>);

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
        let info = BandInfo {
            width: 2,
            height: 3,
            channels: 2,
            classes,
            planes: 2,
            geometry: 0,
            contrast: None,
            network: None,
        };
        let probabilities: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let record = Arc::new(Mutex::new(Record::new()));
        let all = Needs { probabilities: true, pixels: true, ..Needs::default() };
        let sink = || Box::new(Recorder(all, record.clone()));
        feed(sink(), &info, &mask, Some(&probabilities), Some(&image), 2).unwrap();
        let expected = vec![
            (0, Ids::U8(vec![0, 1, 1, 0]), vec![0., 1., 2., 3., 6., 7., 8., 9.], Pixels::U8((0..8).collect())),
            (2, Ids::U8(vec![1, 1]), vec![4., 5., 10., 11.], Pixels::U8((8..12).collect())),
        ];
        assert_eq!(*record.lock().unwrap(), expected);
        let e = feed(sink(), &info, &mask, None, Some(&image), 2).unwrap_err().to_string();
        assert!(e.contains("probabilities"), "{e}");
        assert!(feed(sink(), &info, &mask, Some(&probabilities[1..]), Some(&image), 2).is_err());
    }
}
