//! Label maps: an integer per pixel, for classes or instances.

use std::collections::BTreeMap;

use super::colours::ColourTable;
use super::orient::Orientation;
use super::source::OpenOptions;
use crate::error::{Error, Result};

/// An integer per pixel, row by row: class ids, or instance numbers with 0 for the background. Has at least one pixel.
/// [`LabelMap::open`] reads one from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    width: usize,
    height: usize,
    labels: Vec<u32>,
}

/// Options for label files whose meaning is ambiguous.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelOptions {
    /// Ids of colours. If not empty, colours, grey values and palettes are mapped through it; arrays of numbers (NPY,
    /// signed, wide and float TIFF) are unchanged.
    pub colours: ColourTable,
    /// The value of pixels to ignore. A negative value becomes [`LabelMap::IGNORED`]; others are unchanged.
    pub ignore: Option<i64>,
    /// Whether to keep rows as stored, ignoring any orientation tag.
    pub ignore_orientation: bool,
}

impl LabelOptions {
    /// Matches the treatment of orientation tags to that of images read with `read`.
    pub fn oriented_as(&self, read: &OpenOptions) -> Self {
        Self { ignore_orientation: self.ignore_orientation || read.ignore_orientation, ..self.clone() }
    }

    /// The id of ignored pixels.
    pub fn ignored(&self) -> Option<u32> {
        self.ignore.map(|i| u32::try_from(i).unwrap_or(LabelMap::IGNORED))
    }
}

impl LabelMap {
    /// The id that replaces a negative [`LabelOptions::ignore`].
    pub const IGNORED: u32 = u32::MAX;

    /// Creates a map from its labels. Fails if a dimension is zero or the number of labels does not match.
    pub fn new(width: usize, height: usize, labels: Vec<u32>) -> Result<Self> {
        if labels.is_empty() || width.checked_mul(height) != Some(labels.len()) {
            return Err(Error::invalid("labels", format!("{} do not fill {width}x{height} pixels", labels.len())));
        }
        Ok(Self { width, height, labels })
    }

    /// Creates a map with label `f(x, y)` at column `x`, row `y`.
    pub fn from_fn(width: usize, height: usize, mut f: impl FnMut(usize, usize) -> u32) -> Result<Self> {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let labels = pixels.map(|(x, y)| f(x, y)).collect();
        Self::new(width, height, labels)
    }

    /// Applies `f` to every label.
    pub fn map(&self, f: impl FnMut(u32) -> u32) -> Self {
        Self { labels: self.labels.iter().copied().map(f).collect(), ..*self }
    }

    /// Applies an orientation, as for an image.
    #[must_use]
    pub fn oriented(self, by: Orientation) -> Self {
        if by == Orientation::default() {
            return self;
        }
        let [height, width] = by.size([self.height, self.width]);
        let labels = by.interleaved(&self.labels, [self.width, self.height], 1);
        Self { width, height, labels }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The labels.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The labels, by value.
    pub fn into_labels(self) -> Vec<u32> {
        self.labels
    }

    /// Maximum label.
    pub fn largest(&self) -> u32 {
        self.labels.iter().copied().max().unwrap_or(0)
    }

    /// The distinct labels, ascending, without 0.
    pub fn instances(&self) -> Vec<u32> {
        let mut found: Vec<u32> = self.labels.iter().copied().filter(|&l| l > 0).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Pixels of every instance, in the order of their numbers. [`Self::IGNORED`] is none.
    pub fn areas(&self) -> Vec<u64> {
        let mut areas: BTreeMap<u32, u64> = BTreeMap::new();
        for run in self.labels.chunk_by(|a, b| a == b) {
            if run[0] > 0 && run[0] != Self::IGNORED {
                *areas.entry(run[0]).or_default() += run.len() as u64;
            }
        }
        areas.into_values().collect()
    }

    /// Fails unless `other` has the same size.
    pub fn check_same_size(&self, other: &Self) -> Result<()> {
        if (self.width, self.height) == (other.width, other.height) {
            return Ok(());
        }
        let Self { width, height, .. } = other;
        Err(Error::invalid("labels", format!("maps of {}x{} and {width}x{height} pixels", self.width, self.height)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_count_must_match_the_dimensions() {
        assert!(LabelMap::new(2, 2, vec![0; 3]).is_err());
        assert!(LabelMap::new(0, 2, vec![]).is_err());
        assert!(LabelMap::new(usize::MAX, 2, vec![0; 2]).is_err());
    }

    #[test]
    fn maps_are_oriented_like_images() {
        let map = LabelMap::from_fn(3, 2, |x, y| (3 * y + x) as u32).unwrap();
        // By Pillow: ImageOps.exif_transpose of an image of mode I with these pixels.
        let oriented = |tag| map.clone().oriented(Orientation::from_tag(tag).unwrap());
        assert_eq!(oriented(1), map);
        assert_eq!((oriented(6).width(), oriented(6).labels()), (2, &[3, 0, 4, 1, 5, 2][..]));
        assert_eq!((oriented(8).width(), oriented(8).labels()), (2, &[2, 5, 1, 4, 0, 3][..]));
        assert_eq!((oriented(3).width(), oriented(3).labels()), (3, &[5, 4, 3, 2, 1, 0][..]));
    }

    #[test]
    fn instances_are_the_distinct_labels() {
        let map = LabelMap::from_fn(3, 2, |x, y| [7, 0, 3][x] * (y as u32)).unwrap();
        assert_eq!((map.instances(), map.largest()), (vec![3, 7], 7));
        assert_eq!(map.map(|l| l / 7).labels(), [0, 0, 0, 1, 0, 0]);
        let other = LabelMap::from_fn(2, 3, |_, _| 0).unwrap();
        assert!(map.check_same_size(&other).unwrap_err().to_string().contains("3x2 and 2x3"));
    }
}
