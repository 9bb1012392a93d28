//! Objects as COCO annotations of one picture: <https://cocodataset.org/#format-data>.
//!
//! Polygons run along pixel edges, which COCO's tools fill to exactly the object's pixels. They cannot have holes; objects
//! with holes are run lengths (`counts`, down the columns), which the tools read in the same place.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::{Source, for_each};
use crate::error::Result;
use crate::infer::calibration::Calibration;
use crate::infer::instances::contour::differences;
use crate::infer::instances::{Instances, Object, ObjectRun, Polygon};
use crate::infer::writers::{InstanceWriter, ResultSink, WriteSeek, Writer, Written};

/// COCO annotations of one picture: polygons along pixel edges, or run lengths of objects with holes, which COCO's
/// polygons cannot have.
#[derive(Clone, Copy, Debug)]
pub struct Coco;

impl Writer for Coco {
    fn name(&self) -> &'static str {
        "coco"
    }

    fn about(&self) -> &'static str {
        "Outlines of objects as COCO annotations"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn sink(&self, _path: &Path, _calibration: &Calibration) -> Result<ResultSink> {
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
    let image = json!([{ "id": 1, "file_name": source.picture, "width": width, "height": height }]);
    let names = source.classes.iter().enumerate().skip(1);
    let categories: Vec<Value> = names.map(|(id, name)| json!({ "id": id, "name": name })).collect();
    write!(out, "{{\"images\":{image},\n\"categories\":{},\n\"annotations\":[", json!(categories))?;
    let mut separator = "\n";
    for_each(instances, |object| {
        out.write_all(separator.as_bytes())?;
        separator = ",\n";
        Ok(serde_json::to_writer(&mut *out, &annotation(&object, [height, width]))?)
    })?;
    Ok(out.write_all(b"\n]}\n")?)
}

fn annotation(object: &Object, size: [usize; 2]) -> Value {
    let polygons = object.contours();
    let segmentation = if polygons.iter().all(|p| p.holes.is_empty()) {
        let flat = |p: &Polygon| p.outer.iter().flatten().copied().collect::<Vec<u32>>();
        json!(polygons.iter().map(flat).collect::<Vec<_>>())
    } else {
        json!({ "counts": counts(object, size), "size": size })
    };
    json!({
        "id": object.number(),
        "image_id": 1,
        "category_id": object.class(),
        "segmentation": segmentation,
        "area": object.area(),
        "bbox": object.bounds(),
        "iscrowd": 0,
    })
}

/// Lengths of stretches outside and inside the object, in turn, down the columns of a picture of `size` rows and columns.
fn counts(object: &Object, [height, width]: [usize; 2]) -> Vec<u64> {
    let mut found = columns(object);
    found.sort_unstable();
    let mut counts = Vec::with_capacity(2 * found.len() + 1);
    let mut at = 0;
    for (x, top, bottom) in found {
        let first = u64::from(x) * height as u64 + u64::from(top);
        let length = u64::from(bottom - top);
        match counts.last_mut() {
            // From the last row of a column to the first of the next.
            Some(last) if first == at => *last += length,
            _ => counts.extend([first - at, length]),
        }
        at = first + length;
    }
    counts.push(height as u64 * width as u64 - at);
    counts
}

/// The object's pixels as pieces of columns: column, first row, row behind the last.
fn columns(object: &Object) -> Vec<(u32, u32, u32)> {
    let [left, top, columns, rows] = object.bounds();
    let mut since = vec![0u32; columns as usize];
    let mut found = Vec::new();
    let mut lines = object.runs().chunk_by(|a, b| a.y == b.y).peekable();
    let mut above: &[ObjectRun] = &[];
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
