//! Measures of objects as comma-separated values.

use std::collections::BTreeMap;

use super::{Out, Source, Written, for_each};
use crate::infer::instances::Instances;

/// Columns that every table has; `mean_0` and so on follow, a channel of the picture each.
const COLUMNS: [&str; 11] =
    ["label", "class", "area", "centroid_x", "centroid_y", "x", "y", "width", "height", "perimeter", "eccentricity"];

pub(super) fn write(out: Out, instances: &mut Instances, source: &Source) -> Written {
    let mut table = csv::Writer::from_writer(out);
    let channels = instances.samples.as_ref().map_or(0, |s| s.channels());
    let means = (0..channels).map(|c| format!("mean_{c}"));
    table.write_record(COLUMNS.iter().map(|c| c.to_string()).chain(means))?;
    // Objects are complete in another order than that of their numbers.
    let mut waiting: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut next = 1;
    for_each(instances, |object| {
        let [x, y] = object.centroid();
        let mut line = vec![object.number().to_string(), source.class(object.class()), object.area().to_string()];
        line.extend([x, y].map(|v| format!("{v:.3}")));
        line.extend(object.bounds().map(|v| v.to_string()));
        line.extend([format!("{:.3}", object.perimeter()), format!("{:.4}", object.eccentricity())]);
        line.extend(object.means().iter().map(|v| format!("{}", significant(*v))));
        waiting.insert(object.number(), line);
        while let Some(line) = waiting.remove(&next) {
            table.write_record(line)?;
            next += 1;
        }
        Ok(())
    })?;
    Ok(table.flush()?)
}

/// Seven digits that count: what 32-bit samples have.
fn significant(v: f64) -> f64 {
    format!("{v:.6e}").parse().unwrap_or(v)
}
