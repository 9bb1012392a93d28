//! Instances as COCO annotations of one image: <https://cocodataset.org/#format-data>.
//!
//! Polygons run along pixel edges, which COCO's tools fill to exactly the instance's pixels. COCO polygons cannot have
//! holes; instances with holes are stored in the same field as run lengths (`counts`, down the columns).

use serde_json::{Value, json};

use super::for_each;
use crate::error::Result;
use crate::infer::calibration::Calibration;
use crate::infer::instances::InstanceSource as Source;
use crate::infer::instances::contour::differences;
use crate::infer::instances::{Instance, InstanceRun, Instances, Polygon};
use crate::infer::origin::SOFTWARE;
use crate::infer::writer::{InstanceWriter, ResultSink, WriteSeek, Writer, Written};
use crate::io::Output;

/// COCO annotations of one image: polygons along pixel edges, or run lengths for instances with holes, which COCO's
/// polygons cannot represent.
#[derive(Clone, Copy, Debug)]
pub struct Coco;

impl Writer for Coco {
    fn name(&self) -> &'static str {
        "coco"
    }

    fn about(&self) -> &'static str {
        "Outlines of instances as COCO annotations"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn finds_instances(&self) -> bool {
        true
    }

    fn sink(&self, _output: Output, _calibration: &Calibration) -> Result<ResultSink> {
        Ok(ResultSink::Instances(&Self))
    }
}

impl InstanceWriter for Coco {
    fn write(&self, out: &mut dyn WriteSeek, instances: &mut Instances, source: &Source) -> Written {
        write(out, instances, source)
    }
}

fn write(out: &mut dyn WriteSeek, instances: &mut Instances, source: &Source) -> Written {
    let (width, height) = (instances.width(), instances.height());
    let image = json!([{ "id": 1, "file_name": source.image, "width": width, "height": height }]);
    let names = source.classes.iter().enumerate().skip(1);
    let categories: Vec<Value> = names.map(|(id, name)| json!({ "id": id, "name": name })).collect();
    write!(
        out,
        "{{\"info\":{{\"contributor\":\"{SOFTWARE}\"}},\n\"images\":{image},\n\"categories\":{},\n\"annotations\":[",
        json!(categories)
    )?;
    let mut separator = "\n";
    for_each(instances, |instance| {
        out.write_all(separator.as_bytes())?;
        separator = ",\n";
        Ok(serde_json::to_writer(&mut *out, &annotation(&instance, [height, width]))?)
    })?;
    Ok(out.write_all(b"\n]}\n")?)
}

fn annotation(instance: &Instance, size: [usize; 2]) -> Value {
    let polygons = instance.contours();
    let segmentation = if polygons.iter().all(|p| p.holes.is_empty()) {
        let flat = |p: &Polygon| p.outer.iter().flatten().copied().collect::<Vec<u32>>();
        json!(polygons.iter().map(flat).collect::<Vec<_>>())
    } else {
        json!({ "counts": counts(instance, size), "size": size })
    };
    json!({
        "id": instance.number(),
        "image_id": 1,
        "category_id": instance.class(),
        "segmentation": segmentation,
        "area": instance.area(),
        "bbox": instance.bounds(),
        "iscrowd": 0,
    })
}

/// Alternating lengths of stretches outside and inside the instance, down the columns of an image of `size` rows and
/// columns.
fn counts(instance: &Instance, [height, width]: [usize; 2]) -> Vec<u64> {
    let mut found = columns(instance);
    found.sort_unstable();
    let mut counts = Vec::with_capacity(2 * found.len() + 1);
    let mut at = 0;
    for (x, top, bottom) in found {
        let first = u64::from(x) * height as u64 + u64::from(top);
        let length = u64::from(bottom - top);
        match counts.last_mut() {
            // Continues from the last row of a column to the first of the next.
            Some(last) if first == at => *last += length,
            _ => counts.extend([first - at, length]),
        }
        at = first + length;
    }
    counts.push(height as u64 * width as u64 - at);
    counts
}

/// The instance's pixels as vertical runs: column, first row, one past the last row.
fn columns(instance: &Instance) -> Vec<(u32, u32, u32)> {
    let [left, top, columns, rows] = instance.bounds();
    let mut since = vec![0u32; columns as usize];
    let mut found = Vec::new();
    let mut lines = instance.runs().chunk_by(|a, b| a.y == b.y).peekable();
    let mut above: &[InstanceRun] = &[];
    for y in top..=top + rows {
        let here = lines.next_if(|line| line.first().is_some_and(|r| r.y == y)).unwrap_or_default();
        for (start, end, begins) in differences(above, here) {
            for x in start..end {
                let Some(first) = since.get_mut((x - left) as usize) else { continue };
                if begins { *first = y } else { found.push((x, *first, y)) }
            }
        }
        above = here;
    }
    found
}
