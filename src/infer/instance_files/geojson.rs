//! Outlines as GeoJSON (RFC 7946), with the properties that QuPath reads.
//!
//! Coordinates are pixels of the image, x to the right and y down; pixel `(x, y)` is the square from `(x, y)` to
//! `(x + 1, y + 1)`, as in QuPath. On request they are coordinates of the image's reference system, whose name GDAL and
//! QGIS read. Features are in the order of their last rows; `name` is the instance's number.

use serde_json::{Value, json};

use super::{colour, exact, for_each};
use crate::error::Result;
use crate::infer::calibration::{Affine, Calibration, Georeference, PixelSize};
use crate::infer::instances::InstanceSource as Source;
use crate::infer::instances::{Instance, Instances, Polygon, Ring};
use crate::infer::origin::SOFTWARE;
use crate::infer::writer::{InstanceWriter, ResultSink, WriteFailure, WriteSeek, Writer, Written};
use crate::io::Output;

/// Outlines along pixel edges as GeoJSON for QuPath: a FeatureCollection of Polygons, and of MultiPolygons for
/// instances whose pixels connect only at corners.
#[derive(Clone, Copy, Debug)]
pub struct GeoJson;

impl Writer for GeoJson {
    fn name(&self) -> &'static str {
        "geojson"
    }

    fn about(&self) -> &'static str {
        "Outlines of instances as GeoJSON for QuPath"
    }

    fn suffix(&self) -> &'static str {
        "contours"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["geojson"]
    }

    fn finds_instances(&self) -> bool {
        true
    }

    fn has_coordinates(&self) -> bool {
        true
    }

    fn sink(&self, _output: Output, _calibration: &Calibration) -> Result<ResultSink> {
        Ok(ResultSink::Instances(&Self))
    }
}

impl InstanceWriter for GeoJson {
    fn write(&self, out: &mut dyn WriteSeek, instances: &mut Instances, source: &Source) -> Written {
        write(out, instances, source)
    }
}

fn write(out: &mut dyn WriteSeek, instances: &mut Instances, source: &Source) -> Written {
    let world = source.world().map_err(WriteFailure::Other)?;
    write!(out, "{{\"type\":\"FeatureCollection\",\"generator\":\"{SOFTWARE}\",")?;
    let system = source.calibration.georeference.as_ref().and_then(Georeference::epsg).filter(|_| world.is_some());
    if let Some(code) = system {
        let name = format!("urn:ogc:def:crs:EPSG::{code}");
        write!(out, "\"crs\":{},", json!({ "type": "name", "properties": { "name": name } }))?;
    }
    out.write_all(b"\"features\":[")?;
    let mut separator = "\n";
    for_each(instances, |instance| {
        out.write_all(separator.as_bytes())?;
        separator = ",\n";
        Ok(serde_json::to_writer(&mut *out, &feature(&instance, source, world.as_ref()))?)
    })?;
    Ok(out.write_all(b"\n]}\n")?)
}

fn feature(instance: &Instance, source: &Source, world: Option<&Affine>) -> Value {
    let polygons: Vec<Value> = instance.contours().iter().map(|p| polygon(p, world)).collect();
    let mut measurements = json!({ "Area px^2": instance.area() });
    if let Some(PixelSize { x, y, .. }) = source.calibration.pixel {
        measurements["Area µm^2"] = json!(exact(instance.area() as f64 * x * y));
    }
    let geometry = match &polygons[..] {
        [one] => json!({ "type": "Polygon", "coordinates": one }),
        several => json!({ "type": "MultiPolygon", "coordinates": several }),
    };
    json!({
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "objectType": "detection",
            "name": instance.number().to_string(),
            "classification": { "name": source.class(instance.class()), "color": colour(instance.class()) },
            "measurements": measurements,
        },
    })
}

/// The outer ring, then the holes; each ring repeats its first point at the end.
fn polygon(polygon: &Polygon, world: Option<&Affine>) -> Value {
    let closed = |ring: &Ring| -> Vec<[u32; 2]> { ring.iter().chain(ring.first()).copied().collect() };
    let rings = std::iter::once(&polygon.outer).chain(&polygon.holes).map(closed);
    let Some(map) = world else { return json!(rings.collect::<Vec<_>>()) };
    let placed = rings.map(|ring| {
        let mut ring: Vec<[f64; 2]> = ring.iter().map(|p| map.at(p.map(f64::from)).map(exact)).collect();
        // Outer rings run counter-clockwise (RFC 7946), also if rows run south.
        if map.determinant() < 0.0 {
            ring.reverse();
        }
        ring
    });
    json!(placed.collect::<Vec<_>>())
}
