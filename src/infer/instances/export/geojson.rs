//! Outlines as GeoJSON (RFC 7946), with the properties that QuPath reads.
//!
//! Coordinates are pixels of the picture, x to the right and y down; pixel `(x, y)` is the square from `(x, y)` to
//! `(x + 1, y + 1)`, as QuPath has it. Features lie in the order of their last rows; `name` is the object's number.

use std::io::Write;

use serde_json::{Value, json};

use super::{Out, Source, Written, colour, for_each};
use crate::infer::instances::{Instances, Object, Polygon, Ring};

pub(super) fn write(out: Out, instances: &mut Instances, source: &Source) -> Written {
    out.write_all(b"{\"type\":\"FeatureCollection\",\"features\":[")?;
    let mut separator = "\n";
    for_each(instances, |object| {
        out.write_all(separator.as_bytes())?;
        separator = ",\n";
        Ok(serde_json::to_writer(&mut *out, &feature(&object, source))?)
    })?;
    Ok(out.write_all(b"\n]}\n")?)
}

fn feature(object: &Object, source: &Source) -> Value {
    let polygons: Vec<Value> = object.contours().iter().map(polygon).collect();
    let geometry = match &polygons[..] {
        [one] => json!({ "type": "Polygon", "coordinates": one }),
        several => json!({ "type": "MultiPolygon", "coordinates": several }),
    };
    json!({
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "objectType": "detection",
            "name": object.number().to_string(),
            "classification": { "name": source.class(object.class()), "color": colour(object.class()) },
            "measurements": { "Area px^2": object.area() },
        },
    })
}

/// The outer ring, then the holes; each ends where it began.
fn polygon(polygon: &Polygon) -> Value {
    let closed = |ring: &Ring| -> Vec<[u32; 2]> { ring.iter().chain(ring.first()).copied().collect() };
    json!(std::iter::once(&polygon.outer).chain(&polygon.holes).map(closed).collect::<Vec<_>>())
}
