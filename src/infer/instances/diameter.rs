//! The typical size of an image's instances.

use super::Instances;
use crate::error::Result;

/// Median of the diameters of discs of these areas; `None` if there are none.
pub(crate) fn median_diameter(mut areas: Vec<u64>) -> Option<f64> {
    areas.sort_unstable();
    let [low, high] = [areas.len().checked_sub(1)? / 2, areas.len() / 2].map(|i| areas[i] as f64);
    Some(((low + high) / 2.0 * 4.0 / std::f64::consts::PI).sqrt())
}

impl Instances {
    /// Pixels of every instance, in the order of their numbers.
    pub fn areas(&mut self) -> Result<Vec<u64>> {
        let mut areas = vec![0; self.count() + 1];
        self.rows(|_, row| {
            row.iter().for_each(|run| areas[run.label as usize] += u64::from(run.end - run.start));
            Ok(())
        })?;
        Ok(areas.split_off(1))
    }
}
