//! Measures of instances as comma-separated values.

use std::collections::BTreeMap;

use super::{Failure, Out, Source, Written, exact, for_each};
use crate::infer::instances::Instances;

/// Columns that every table has; `mean_0` and so on follow, a channel of the image each, then [`LENGTHS`] and [`WORLD`]
/// where they are known.
const COLUMNS: [&str; 11] =
    ["label", "class", "area", "centroid_x", "centroid_y", "x", "y", "width", "height", "perimeter", "eccentricity"];

/// Columns where the size of a pixel is known, micrometres; the centre of pixel (0, 0) is at (0, 0).
const LENGTHS: [&str; 6] = ["area_um2", "centroid_x_um", "centroid_y_um", "width_um", "height_um", "perimeter_um"];

/// Columns where world coordinates are asked for.
const WORLD: [&str; 2] = ["centroid_world_x", "centroid_world_y"];

pub(super) fn write(out: Out, instances: &mut Instances, source: &Source) -> Written {
    let mut table = csv::Writer::from_writer(out);
    let channels = instances.samples.as_ref().map_or(0, |s| s.channels());
    let means = (0..channels).map(|c| format!("mean_{c}"));
    let pixel = source.calibration.pixel.as_ref().map(|p| [p.x, p.y]);
    let world = source.world().map_err(Failure::Other)?;
    let mut columns: Vec<String> = COLUMNS.iter().map(|c| c.to_string()).chain(means).collect();
    columns.extend(LENGTHS.iter().filter(|_| pixel.is_some()).map(|c| c.to_string()));
    columns.extend(WORLD.iter().filter(|_| world.is_some()).map(|c| c.to_string()));
    table.write_record(columns)?;
    // Instances are complete in another order than that of their numbers.
    let mut waiting: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut next = 1;
    for_each(instances, |instance| {
        let [x, y] = instance.centroid();
        let mut line = vec![instance.number().to_string(), source.class(instance.class()), instance.area().to_string()];
        line.extend([x, y].map(|v| format!("{v:.3}")));
        line.extend(instance.bounds().map(|v| v.to_string()));
        line.extend([format!("{:.3}", instance.perimeter()), format!("{:.4}", instance.eccentricity())]);
        line.extend(instance.means().iter().map(|v| format!("{}", significant(*v))));
        if let Some([sx, sy]) = pixel {
            let [.., w, h] = instance.bounds().map(f64::from);
            let lengths =
                [instance.area() as f64 * sx * sy, x * sx, y * sy, w * sx, h * sy, instance.perimeter_of([sx, sy])];
            line.extend(lengths.map(|v| format!("{}", significant(v))));
        }
        if let Some(map) = &world {
            // Maps are of pixels' corners, centroids of their centres.
            line.extend(map.at([x + 0.5, y + 0.5]).map(|v| format!("{}", exact(v))));
        }
        waiting.insert(instance.number(), line);
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
