//! The size of the instances in an image, as a first pass finds them.

use super::Segmenter;
use crate::error::Result;
use crate::infer::collected::Found;
use crate::infer::options::SegmentOptions;
use crate::infer::scale::{Fitted, Scale, trained_diameter};
use crate::infer::source::{ImageSource, InMemory, SourceInfo};

/// Rows and columns of the middle of an image that a first pass takes.
const SIDE: usize = 2048;

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
                self.diameter(source, options, |_| progress(0.0)).await?
            }
            _ => None,
        };
        Fitted::new([height, width], options.scale, trained, estimate)
    }

    /// Median diameter of the instances in the middle of an image, as it is.
    async fn diameter(
        &mut self,
        source: &mut dyn ImageSource,
        options: &SegmentOptions,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Option<f64>> {
        let info = source.info();
        let [w, h] = [info.width, info.height].map(|n| n.min(SIDE));
        let middle = source.read((info.width - w) / 2, (info.height - h) / 2, w, h)?;
        let middle = middle.with_kind(info.kind).with_channel_names(source.channel_names());
        let instances = self.instance_options(&options.instances.clone().unwrap_or_default())?;
        let mut found = Found::new(instances);
        let mut source = InMemory::owned(middle);
        self.stream_fitted(&mut source, options, Fitted::default(), vec![&mut found], progress).await?;
        found.instances()?.median_diameter()
    }
}
