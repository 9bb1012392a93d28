//! The instances of an image in memory.

use super::Instances;
use super::runs::Run;
use crate::error::Result;
use crate::infer::LabelMap;

/// The instances of an image in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceMap {
    /// The instance number of every pixel, 0 for none.
    pub labels: LabelMap,
    /// Class by instance number; entry 0 is unused.
    pub classes: Vec<usize>,
}

impl Instances {
    /// All of them in memory.
    pub fn to_map(&mut self) -> Result<InstanceMap> {
        let (width, height) = (self.width, self.height);
        let mut labels = vec![0; width * height];
        self.rows(|y, runs| {
            if let Some(row) = labels.get_mut(y * width..(y + 1) * width) {
                Run::paint(runs, row);
            }
            Ok(())
        })?;
        let classes = self.class.iter().map(|&c| c as usize).collect();
        Ok(InstanceMap { labels: LabelMap::new(width, height, labels)?, classes })
    }
}
