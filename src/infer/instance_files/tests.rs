use std::io::Read;

use serde_json::Value;

use super::*;
use crate::infer::calibration::{Calibration, Georeference, PixelSize, PixelSizeSource};
use crate::infer::instances::split::tests::{Case, cases};
use crate::infer::instances::{ConnectedComponents, Coordinates, Instance, InstanceOptions};
use crate::infer::writers::instance_writers;
use crate::infer::{Band, BandInfo, BandSink, Connectivity, Image, InstanceSink, Mask, Pixels, feed};

fn instances(w: usize, h: usize, mask: &[u32], connectivity: Connectivity) -> Instances {
    let mut components_of_rows =
        ConnectedComponents::new(w, h, &InstanceOptions { connectivity, ..Default::default() }).unwrap();
    mask.chunks(w).for_each(|row| components_of_rows.push_row(row).unwrap());
    components_of_rows.finish().unwrap()
}

fn measured(case: &Case) -> Vec<Instance> {
    let mut components_of_rows =
        ConnectedComponents::new(case.width, case.height, &InstanceOptions::default()).unwrap().with_samples(2);
    for (row, intensity) in case.mask.chunks(case.width).zip(case.intensity.chunks(case.width)) {
        components_of_rows.push_row(row).unwrap();
        // The second channel is constant.
        let samples: Vec<f32> = intensity.iter().map(|&v| v as f32).chain(row.iter().map(|_| 7.5)).collect();
        components_of_rows.push_samples(&samples).unwrap();
    }
    let mut found = Vec::new();
    let keep = |o| {
        found.push(o);
        Ok(())
    };
    components_of_rows.finish().unwrap().instances(keep).unwrap();
    found.sort_by_key(Instance::number);
    found
}

#[test]
fn measurements_match_skimage() {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
    for case in cases() {
        let instances = measured(&case);
        assert_eq!(instances.len(), case.instances.len());
        for (actual, expected) in instances.iter().zip(&case.instances) {
            let number = actual.number();
            assert_eq!(actual.area(), expected.area, "{number}");
            let [top, left, bottom, right] = expected.bbox;
            assert_eq!(actual.bounds(), [left, top, right - left, bottom - top], "{number}");
            let [x, y] = actual.centroid();
            assert!(close(x, expected.centroid[1]) && close(y, expected.centroid[0]), "{number}: {x} {y}");
            assert!(close(actual.eccentricity(), expected.eccentricity), "{number}: {}", actual.eccentricity());
            assert!(
                close(actual.perimeter(), expected.perimeter),
                "{number}: {} is not {}",
                actual.perimeter(),
                expected.perimeter
            );
            assert!(
                close(actual.means()[0], expected.mean) && actual.means()[1] == 7.5,
                "{number}: {:?}",
                actual.means()
            );
        }
    }
}

#[test]
fn perimeters_of_wide_pixels() {
    for case in cases() {
        for instance in measured(&case) {
            let (plain, scaled) = (instance.perimeter(), instance.perimeter_of([0.3, 0.3]));
            assert!((scaled - 0.3 * plain).abs() < 1e-9 * plain, "{}: {plain} {scaled}", instance.number());
        }
    }
    // A disc of 40 rows and 80 columns whose pixels are half as wide as high.
    let (w, h, r) = (90usize, 50usize, 20.0);
    let inside = |x: usize, y: usize| {
        let (dx, dy) = ((x as f64 - 44.5) * 0.5, y as f64 - 24.5);
        u32::from(dx * dx + dy * dy <= r * r)
    };
    let classes: Vec<u32> = (0..w * h).map(|i| inside(i % w, i / w)).collect();
    instances(w, h, &classes, Connectivity::Four)
        .instances(|instance| {
            let (actual, expected) = (instance.perimeter_of([0.5, 1.0]), 2.0 * std::f64::consts::PI * r);
            assert!((actual / expected - 1.0).abs() < 0.02, "{actual} is not {expected}");
            // As square pixels it is far off.
            assert!((instance.perimeter() / expected - 1.0).abs() > 0.2);
            Ok(())
        })
        .unwrap();
}

#[test]
fn lengths_and_world_coordinates() {
    let transformation = Some([2.0, 0.0, 0.0, 100.0, 0.0, -2.0, 0.0, 50.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    let keys = vec![1, 1, 0, 1, 3072, 0, 1, 32632];
    let georeference = Some(Georeference { transformation, keys, ..Default::default() });
    let pixel = PixelSize::new(0.5, 0.25, PixelSizeSource::User);
    let source = Source {
        image: "a.tif".into(),
        calibration: Calibration { pixel, georeference, ..Calibration::default() },
        coordinates: Coordinates::World,
        ..Source::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let write = |kind: &dyn InstanceWriter, source: &Source| {
        write_instances(&path, kind, &mut ring(), source)?;
        Ok::<_, Error>(std::fs::read_to_string(&path).unwrap())
    };
    let table = write(&Table, &source).unwrap();
    let mut lines = table.lines();
    let columns = lines.next().unwrap();
    assert!(
        columns.ends_with(
            "eccentricity,area_um2,centroid_x_um,centroid_y_um,width_um,height_um,perimeter_um,centroid_world_x,centroid_world_y"
        ),
        "{columns}"
    );
    // The ring: 8 pixels around (2, 1), 3 wide and high.
    let first: Vec<f64> = lines.next().unwrap().split(',').skip(11).map(|v| v.parse().unwrap()).collect();
    assert_eq!(first[..5], [1.0, 1.0, 0.25, 1.5, 0.75]);
    assert_eq!(first[6..], [105.0, 47.0]);
    let geojson: Value = serde_json::from_str(&write(&GeoJson, &source).unwrap()).unwrap();
    assert_eq!(geojson["crs"]["properties"]["name"], "urn:ogc:def:crs:EPSG::32632");
    let ring = geojson["features"].as_array().unwrap().iter().find(|f| f["properties"]["name"] == "1").unwrap();
    assert_eq!(ring["properties"]["measurements"]["Area µm^2"], 1.0);
    let outer: Vec<[f64; 2]> = serde_json::from_value(ring["geometry"]["coordinates"][0].clone()).unwrap();
    let area: f64 = outer.windows(2).map(|p| p[0][0] * p[1][1] - p[1][0] * p[0][1]).sum::<f64>() / 2.0;
    // Counter-clockwise, 3 x 3 pixels of 2 x 2.
    assert_eq!((outer.first(), area), (outer.last(), 36.0));
    assert!(outer.contains(&[102.0, 50.0]) && outer.contains(&[108.0, 44.0]), "{outer:?}");
    // Pixel coordinates are the default; missing calibration is an error.
    let plain = Source { coordinates: Coordinates::Pixel, ..source.clone() };
    let geojson = write(&GeoJson, &plain).unwrap();
    assert!(!geojson.contains("crs") && geojson.contains("[1,0]"), "{geojson}");
    assert!(!write(&Table, &plain).unwrap().contains("world"));
    let unknown = Source { calibration: Calibration::default(), ..source };
    let e = write(&Table, &unknown).unwrap_err().to_string();
    assert!(e.contains("a.tif: has no world coordinates"), "{e}");
}

fn file(kind: &dyn InstanceWriter, instances: &mut Instances) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let classes = vec!["background".into(), "cell".into()];
    let source = Source { image: "cells.png".into(), classes, ..Source::default() };
    write_instances(&path, kind, instances, &source).unwrap();
    std::fs::read(path).unwrap()
}

/// A ring, and a square next to it.
const RING: (usize, usize, [u32; 24]) =
    (6, 4, [0, 1, 1, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0]);

fn ring() -> Instances {
    instances(RING.0, RING.1, &RING.2, Connectivity::Four)
}

#[test]
fn labels_have_sixteen_bits_until_there_are_too_many() {
    let read = |bytes: Vec<u8>| {
        let mut d = tiff::decoder::Decoder::new(std::io::Cursor::new(bytes)).unwrap();
        (d.dimensions().unwrap(), d.read_image().unwrap())
    };
    let (size, image) = read(file(&Labels, &mut ring()));
    let tiff::decoder::DecodingResult::U16(actual) = image else { panic!("not of 16 bits") };
    assert_eq!(size, (6, 4));
    assert_eq!(actual, [0, 1, 1, 1, 0, 0, 0, 1, 0, 1, 0, 2, 0, 1, 1, 1, 0, 2, 0, 0, 0, 0, 0, 0]);
    // More instances than 16 bits can number, in several strips.
    let (w, h) = (600, 600);
    let mask: Vec<u32> = (0..w * h).map(|i| u32::from(i % w % 2 == 0 && i / w % 2 == 0)).collect();
    let (_, image) = read(file(&Labels, &mut instances(w, h, &mask, Connectivity::Four)));
    let tiff::decoder::DecodingResult::U32(actual) = image else { panic!("not of 32 bits") };
    assert_eq!((actual[0], actual[1], actual[w * (h - 2) + w - 2]), (1, 0, 90_000));
}

#[test]
fn geojson_has_the_properties_of_qupath() {
    let json: Value = serde_json::from_slice(&file(&GeoJson, &mut ring())).unwrap();
    assert_eq!(json["type"], "FeatureCollection");
    let features = json["features"].as_array().unwrap();
    assert_eq!(features.len(), 2);
    let ring = &features[0];
    assert_eq!(ring["geometry"]["type"], "Polygon");
    let rings = ring["geometry"]["coordinates"].as_array().unwrap();
    assert_eq!(rings[0], serde_json::json!([[1, 0], [4, 0], [4, 3], [1, 3], [1, 0]]));
    assert_eq!((rings.len(), rings[1].as_array().unwrap().len()), (2, 5));
    assert_eq!(rings[1][0], rings[1][4]);
    assert_eq!(ring["properties"]["objectType"], "detection");
    assert_eq!(ring["properties"]["classification"]["name"], "cell");
    let mut corners = instances(2, 2, &[1, 0, 0, 1], Connectivity::Eight);
    let json: Value = serde_json::from_slice(&file(&GeoJson, &mut corners)).unwrap();
    assert_eq!(json["features"][0]["geometry"]["type"], "MultiPolygon");
    let none: Value = serde_json::from_slice(&file(&GeoJson, &mut instances(1, 1, &[0], Connectivity::Four))).unwrap();
    assert_eq!(none["features"], serde_json::json!([]));
}

#[test]
fn coco_has_polygons_and_run_lengths() {
    let json: Value = serde_json::from_slice(&file(&Coco, &mut ring())).unwrap();
    assert_eq!(json["images"][0]["file_name"], "cells.png");
    assert_eq!(json["categories"], serde_json::json!([{ "id": 1, "name": "cell" }]));
    let [ring, bar] = &json["annotations"].as_array().unwrap()[..] else { panic!() };
    assert_eq!((&ring["area"], &ring["bbox"]), (&8.into(), &serde_json::json!([1, 0, 3, 3])));
    assert_eq!(bar["segmentation"], serde_json::json!([[5, 1, 6, 1, 6, 3, 5, 3]]));
    // Fill again, down the columns.
    let mut pixels = Vec::new();
    for (i, n) in ring["segmentation"]["counts"].as_array().unwrap().iter().enumerate() {
        pixels.extend(std::iter::repeat_n(i % 2 == 1, n.as_u64().unwrap() as usize));
    }
    let (w, h, mask) = RING;
    let expected: Vec<bool> = (0..w * h).map(|i| i / h < 5 && mask[i % h * w + i / h] == 1).collect();
    assert_eq!(pixels, expected);
    assert_eq!(ring["segmentation"]["size"], serde_json::json!([4, 6]));
}

#[test]
fn run_lengths_join_from_column_to_column() {
    // The first instance covers whole columns: the end of one and the start of the next are one stretch.
    let mask = [1, 1, 1, 1, 0, 1, 1, 1, 1];
    let json: Value = serde_json::from_slice(&file(&Coco, &mut instances(3, 3, &mask, Connectivity::Four))).unwrap();
    assert_eq!(json["annotations"][0]["segmentation"]["counts"], serde_json::json!([0, 4, 1, 4, 0]));
}

/// The bytes at the offsets where ImageJ's decoder reads them.
#[test]
fn rois_have_imagejs_layout() {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(file(&Rois, &mut ring()))).unwrap();
    let mut roi = |name: &str| {
        let mut bytes = Vec::new();
        zip.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let short = |b: &[u8], at: usize| u16::from_be_bytes([b[at], b[at + 1]]);
    let word = |b: &[u8], at: usize| u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
    let bar = roi("000002.roi");
    assert_eq!((&bar[..4], short(&bar, 4), bar[6]), (&b"Iout"[..], 228, 8));
    // Top, left, bottom, right; corners.
    assert_eq!([8, 10, 12, 14, 16].map(|at| short(&bar, at)), [1, 5, 3, 6, 4]);
    let corners: Vec<u16> = (0..8).map(|i| short(&bar, 64 + 2 * i)).collect();
    assert_eq!(corners, [0, 1, 1, 0, 0, 0, 2, 2]);
    let second = word(&bar, 60) as usize;
    let (at, length) = (word(&bar, second + 16) as usize, word(&bar, second + 20) as usize);
    let name: Vec<u16> = (0..length).map(|i| short(&bar, at + 2 * i)).collect();
    assert_eq!(String::from_utf16(&name).unwrap(), "000002");
    assert_eq!(bar.len(), at + 2 * length);
    let ring = roi("000001.roi");
    assert_eq!((ring[6], word(&ring, 36)), (1, 2 * (4 * 3 + 1)));
    let path: Vec<f32> = (0..26).map(|i| f32::from_bits(word(&ring, 64 + 4 * i))).collect();
    assert_eq!(path[..13], [0., 1., 0., 1., 4., 0., 1., 4., 3., 1., 1., 3., 4.]);
}

#[test]
fn the_table_is_in_the_order_of_numbers() {
    // The first instance is the last to be completed.
    let mask = [1, 0, 1, 1, 0, 0, 1, 0, 1];
    let mut found = instances(3, 3, &mask, Connectivity::Four);
    let text = String::from_utf8(file(&Table, &mut found)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "label,class,area,centroid_x,centroid_y,x,y,width,height,perimeter,eccentricity");
    assert!(lines[1].starts_with("1,cell,3,0.000,1.000,0,0,1,3,"), "{text}");
    assert!(lines[2].starts_with("2,cell,1,2.000,0.000,2,0,1,1,") && lines[3].starts_with("3,cell,1,"), "{text}");
    assert_eq!(lines.len(), 4);
}

/// Bands of any height give the same files.
#[test]
fn bands_give_equal_files() {
    let case = &cases()[0];
    let (w, h) = (case.width, case.height);
    let ids = case.mask.iter().map(|&v| v as u8).collect();
    let mask = Mask::new(w, h, 2, crate::infer::Ids::U8(ids)).unwrap();
    let image = Image::new(w, h, 1, Pixels::U16(case.intensity.iter().map(|&v| v as u16).collect())).unwrap();
    let classes = vec!["background".to_string(), "cell".to_string()];
    let info =
        BandInfo { width: w, height: h, channels: 1, classes, planes: 1, geometry: 0, contrast: None, network: None };
    let separation = crate::infer::instances::Separation::Watershed { depth: 1.0 };
    let options = InstanceOptions { separation, ..Default::default() };
    let dir = tempfile::tempdir().unwrap();
    let mut first: Option<Vec<Vec<u8>>> = None;
    let all = instance_writers();
    assert!(all.len() > 3);
    for rows in [h, 1, 7] {
        let path = |k: &dyn InstanceWriter| dir.path().join(format!("{rows}_{k:?}"));
        let files: Vec<_> = all.iter().map(|&k| (k, path(k))).collect();
        let sink = InstanceSink::new(options.clone(), "a.png", files);
        assert!(sink.needs().pixels);
        let report = sink.report();
        assert_eq!(report(), None);
        feed(Box::new(sink), &info, &mask, None, Some(&image), rows).unwrap();
        assert!(report().unwrap().count > case.instances.len());
        let bytes: Vec<Vec<u8>> = all.iter().map(|&k| std::fs::read(path(k)).unwrap()).collect();
        assert!(bytes.iter().all(|b| b.len() > 100));
        assert!(first.get_or_insert_with(|| bytes.clone()) == &bytes, "bands of {rows} rows");
    }
    let band =
        Band { first: 0, height: 1, width: w, classes: mask.ids(), probabilities: None, geometry: None, pixels: None };
    assert!(
        InstanceSink::new(options, "a.png", Vec::<(&'static dyn InstanceWriter, Output)>::new()).band(&band).is_err()
    );
}

/// A file that cannot be written is named, and nothing remains.
#[test]
fn failures_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("folder.csv");
    std::fs::create_dir(&path).unwrap();
    let e = write_instances(&path, &Table, &mut ring(), &Source::default()).unwrap_err().to_string();
    assert!(e.contains("folder.csv"), "{e}");
}
