//! Drops instances by what is known only once all are found: their mean probability, and their area beside the others'.

use super::foreground::mean;
use super::samples::Samples;
use super::{InstanceOptions, Instances, Separation};
use crate::error::Result;

/// Fewer instances have no typical area.
const ENOUGH: usize = 5;

/// Area of an instance, and the sum of its stored probabilities.
#[derive(Clone, Copy, Default)]
struct Entry {
    area: u64,
    probability: u64,
}

/// Drops instances of low confidence, then small ones beside the median of those that are left.
pub(super) fn filter(
    instances: &mut Instances,
    confidence: Option<Samples<u16>>,
    options: &InstanceOptions,
) -> Result<()> {
    // Those of other methods were dropped when they were found.
    let late = matches!(options.separation, Separation::Elevation(_) | Separation::Offsets(_));
    let min_area = if late { options.min_area } else { 0 };
    if options.min_confidence <= 0.0 && options.min_area_percent <= 0.0 && min_area == 0 {
        return Ok(());
    }
    let table = table(instances, confidence)?;
    let kept = |e: &Entry| {
        let confident = options.min_confidence <= 0.0 || mean(e.probability, e.area) >= options.min_confidence;
        confident && e.area >= min_area
    };
    let mut areas: Vec<u64> = table.iter().skip(1).filter(|e| kept(e)).map(|e| e.area).collect();
    let least = match areas.len() {
        few if few < ENOUGH => 0.0,
        _ => options.min_area_percent / 100.0 * median(&mut areas),
    };
    instances.retain(|n| table.get(n).is_some_and(|e| kept(e) && e.area as f64 >= least));
    Ok(())
}

/// An entry by number; entry 0 is unused.
fn table(instances: &mut Instances, mut confidence: Option<Samples<u16>>) -> Result<Vec<Entry>> {
    let mut table = vec![Entry::default(); instances.count() + 1];
    let mut next = confidence.as_mut().map(Samples::read).transpose()?;
    let mut probabilities = Vec::new();
    instances.rows(|_, row| {
        if let Some(next) = &mut next {
            next(&mut probabilities)?;
        }
        for run in row {
            let Some(entry) = table.get_mut(run.label as usize) else { continue };
            entry.area += u64::from(run.end - run.start);
            let inside = probabilities.get(run.start as usize..run.end as usize).unwrap_or_default();
            entry.probability += inside.iter().map(|&p| u64::from(p)).sum::<u64>();
        }
        Ok(())
    })?;
    Ok(table)
}

/// The middle value, or the mean of the two in the middle.
fn median(values: &mut [u64]) -> f64 {
    values.sort_unstable();
    let middle = values.len() / 2;
    let at = |i: usize| values.get(i).copied().unwrap_or(0) as f64;
    if values.len() % 2 == 1 { at(middle) } else { (at(middle - 1) + at(middle)) / 2.0 }
}
