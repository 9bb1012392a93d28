//! The size of the instances in an image, as a first pass finds them.

use super::{Prepared, Segmenter};
use crate::error::Result;
use crate::infer::collected::Found;
use crate::infer::median_diameter;
use crate::infer::options::SegmentOptions;
use crate::infer::scale::{Fitted, Scale, trained_diameter};
use crate::infer::source::{ImageSource, InMemory, SourceInfo};

/// Rows and columns of a window that a first pass takes.
const SIDE: usize = 2048;
/// Instances whose median diameter is trusted: with so many, no further window is looked at.
const ENOUGH: usize = 10;
/// After the middle of the image, windows lie in the middle of so many parts along each axis.
const PARTS: [usize; 2] = [3, 5];

impl Segmenter {
    /// How an image is resized for the model. A first pass, if there is one, calls `progress` with 0 only.
    pub(super) async fn fitted(
        &mut self,
        source: &mut dyn ImageSource,
        options: &SegmentOptions,
        mut progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Fitted> {
        let SourceInfo { width, height, .. } = source.info();
        let trained = self.model().metadata.scale;
        let estimate = match options.scale {
            Scale::AutoDiameter => {
                // Fails before any work.
                trained_diameter(trained)?;
                self.diameter(source, SIDE, options, |_| progress(0.0)).await?
            }
            _ => None,
        };
        Fitted::new([height, width], options.scale, trained, estimate)
    }

    /// Median diameter of the instances in an image, as it is: of those in windows of `side` pixels, until there are enough.
    pub(super) async fn diameter(
        &mut self,
        source: &mut dyn ImageSource,
        side: usize,
        options: &SegmentOptions,
        mut progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Option<f64>> {
        let info = source.info();
        let size = [info.width, info.height];
        let [w, h] = size.map(|n| n.min(side));
        let instances = self.instance_options(&options.instances.clone().unwrap_or_default())?;
        let (windows, mut areas) = (windows(size, side), Vec::new());
        // Normalised as the whole image will be: an empty window by itself would be noise, amplified.
        let whole = match windows.len() {
            1 => None,
            _ => Some(self.prepare(source, Vec::new(), options, Fitted::default())?.affines),
        };
        for [x, y] in windows {
            let window = source.read(x, y, w, h)?;
            let window = window.with_kind(info.kind).with_channel_names(source.channel_names());
            let mut found = Found::new(instances.clone());
            let mut window = InMemory::owned(window);
            let prepared = self.prepare(&mut window, vec![&mut found], options, Fitted::default())?;
            let affines = whole.clone().unwrap_or_else(|| prepared.affines.clone());
            let prepared = Prepared { affines, ..prepared };
            self.stream_prepared(prepared, options, &mut progress).await?;
            areas.extend(found.instances()?.areas()?);
            if areas.len() >= ENOUGH {
                break;
            }
        }
        Ok(median_diameter(areas))
    }
}

/// First columns and rows of the windows of an image of `size` columns and rows, in the order in which they are looked at. They cover an
/// image of up to five windows along each axis, and are spread evenly over a larger one.
fn windows(size: [usize; 2], side: usize) -> Vec<[usize; 2]> {
    let starts = |length: usize, parts: usize| -> Vec<usize> {
        let (spare, parts) = (length.saturating_sub(side), parts.min(length.div_ceil(side)).max(1));
        (0..parts).map(|i| ((2 * i + 1) * length / (2 * parts)).saturating_sub(side / 2).min(spare)).collect()
    };
    let mut windows = vec![size.map(|length| length.saturating_sub(side) / 2)];
    for parts in PARTS {
        let [columns, rows] = size.map(|length| starts(length, parts));
        let all = rows.iter().flat_map(|&y| columns.iter().map(move |&x| [x, y]));
        let new: Vec<_> = all.filter(|window| !windows.contains(window)).collect();
        windows.extend(new);
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_in_the_middle_and_cover_the_image() {
        assert_eq!(windows([90, 70], 100), [[0, 0]]);
        assert_eq!(windows([300, 80], 100), [[100, 0], [0, 0], [200, 0]]);
        assert_eq!(windows([150, 100], 100), [[25, 0], [0, 0], [50, 0]]);
        for size in [[500, 500], [499, 301], [101, 250], [450, 99]] {
            let all = windows(size, 100);
            let ends = |at: usize, n: usize| (at + 100).min(n);
            let covered = |x, y| {
                all.iter().any(|&[a, b]| (a..ends(a, size[0])).contains(&x) && (b..ends(b, size[1])).contains(&y))
            };
            assert!((0..size[0]).all(|x| (0..size[1]).all(|y| covered(x, y))), "{size:?}");
            assert!(all.iter().all(|&[x, y]| x + 100.min(size[0]) <= size[0] && y + 100.min(size[1]) <= size[1]));
        }
        let large = windows([100_000, 80_000], 100);
        assert_eq!((large.len(), large[0], large[1]), (1 + 8 + 24, [49_950, 39_950], [16_616, 13_283]));
    }
}
