//! Pixel sizes, georeferences and pyramids of files written by tifffile (scripts/make_calibration_fixtures.py), and how
//! they are passed on to results.

use std::path::{Path, PathBuf};

use unet_wgpu::low_level::infer::{
    BandInfo, BandSink, Calibration, Coordinates, Ids, InstanceOptions, InstanceSink, Mask, MaskSink, OpenOptions,
    PixelSizeSource, Pixels, ProbabilitySink, calibration_of, describe_image, feed, instance_files, open_image,
    page_count,
};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/calibration").join(name)
}

fn at(level: usize) -> OpenOptions {
    OpenOptions { level, ..OpenOptions::default() }
}

/// The pixel values that the script writes.
fn value(x: usize, y: usize, channel: usize) -> u16 {
    ((3 * x + 5 * y + 7 * channel) % 251) as u16
}

/// Reads a level as a whole and in odd windows, and compares it with every `step`-th pixel of the full resolution.
fn check(name: &str, level: usize, step: usize, [w, h, channels]: [usize; 3]) {
    let mut source = open_image(fixture(name), &at(level)).unwrap();
    let info = source.info();
    assert_eq!([info.width, info.height, info.channels], [w, h, channels], "{name} level {level}");
    for [x0, y0, ww, hh] in [[0, 0, w, h], [3, 2, w - 5, h - 3], [w - 1, h - 1, 1, 1]] {
        let image = source.read(x0, y0, ww, hh).unwrap();
        let values: Vec<u16> = match image.pixels() {
            Pixels::U8(v) => v.iter().map(|&v| v.into()).collect(),
            Pixels::U16(v) => v.clone(),
            Pixels::F32(_) => panic!(),
        };
        let expected = (0..hh).flat_map(|y| (0..ww).flat_map(move |x| (0..channels).map(move |c| (x, y, c))));
        let expected: Vec<u16> = expected.map(|(x, y, c)| value((x0 + x) * step, (y0 + y) * step, c)).collect();
        assert_eq!(values, expected, "{name} level {level}");
    }
}

#[test]
fn every_level_is_read() {
    for (level, step) in [(0, 1), (1, 2), (2, 4)] {
        check("pyramid.ome.tif", level, step, [80 / step, 48 / step, 2]);
        check("aperio.svs", level, step, [96 / step, 64 / step, 3]);
    }
    check("geo.tif", 0, 1, [41, 30, 1]);
    check("geo.tif", 1, 2, [21, 15, 1]);
}

#[test]
fn missing_levels_are_named() {
    let error = |name: &str, level| match open_image(fixture(name), &at(level)) {
        Err(e) => e.to_string(),
        Ok(_) => panic!("{name}"),
    };
    let e = error("aperio.svs", 3);
    assert!(e.ends_with("aperio.svs: has levels 0 to 2 (96x64, 48x32, 24x16), there is no level 3"), "{e}");
    assert!(error("geo.tif", 2).ends_with("has levels 0 to 1 (41x30, 21x15), there is no level 2"));
    let e = error("imagej.tif", 1);
    assert!(e.contains("holds the image in its full size only, there is no level 1"), "{e}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    std::fs::write(&path, b"\x93NUMPY\x01\0").unwrap();
    assert!(open_image(&path, &at(1)).err().unwrap().to_string().contains("full size only"));
}

#[test]
fn copies_masks_labels_and_thumbnails_are_not_pages() {
    for (name, pages) in
        [("pyramid.ome.tif", 1), ("aperio.svs", 1), ("geo.tif", 1), ("imagej.tif", 3), ("big_endian.btf", 1)]
    {
        assert_eq!(page_count(fixture(name)).unwrap(), pages, "{name}");
    }
}

#[test]
fn pixel_sizes() {
    let size = |name: &str, level| calibration_of(fixture(name), &at(level), None).unwrap().pixel;
    let near = |name: &str, level, expected: [f64; 2], source: PixelSizeSource| {
        let p = size(name, level).unwrap_or_else(|| panic!("{name} has no pixel size"));
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-6;
        assert!(close(p.x, expected[0]) && close(p.y, expected[1]), "{name}: {p:?}");
        assert_eq!(p.source, source, "{name}");
    };
    near("pyramid.ome.tif", 0, [0.25, 0.5], PixelSizeSource::Ome);
    near("pyramid.ome.tif", 2, [1.0, 2.0], PixelSizeSource::Ome);
    near("aperio.svs", 0, [0.499, 0.499], PixelSizeSource::Aperio);
    near("aperio.svs", 1, [0.998, 0.998], PixelSizeSource::Aperio);
    near("imagej.tif", 0, [0.325, 0.65], PixelSizeSource::ImageJ { unit: "um".into() });
    assert_eq!(size("imagej.tif", 0).unwrap().z, Some(2.0));
    near("centimetre.tif", 0, [0.65, 0.65], PixelSizeSource::Tiff);
    near("big_endian.btf", 0, [0.25, 0.5], PixelSizeSource::Tiff);
    assert_eq!((size("dpi300.tif", 0), size("geo.tif", 0)), (None, None));
}

#[test]
fn georeferences() {
    let geo = |name: &str, level| calibration_of(fixture(name), &at(level), None).unwrap().georeference.unwrap();
    let whole = geo("geo.tif", 0);
    assert_eq!((whole.epsg(), whole.citation().as_deref()), (Some(32632), Some("WGS 84 / UTM zone 32N")));
    let map = whole.to_world().unwrap();
    assert_eq!(map.at([0.0, 0.0]), [500_000.0, 5_200_000.0]);
    assert_eq!(map.at([41.0, 30.0]), [500_410.0, 5_199_400.0]);
    // An overview has the extent of the image, as in GDAL.
    let half = geo("geo.tif", 1).to_world().unwrap().at([21.0, 15.0]);
    assert!((half[0] - 500_410.0).abs() < 1e-6 && (half[1] - 5_199_400.0).abs() < 1e-6, "{half:?}");
    let rotated = geo("geo_turned_points.tif", 0).to_world().unwrap();
    assert_eq!(rotated.at([0.5, 0.5]), [7.0, 90.0]);
    let next = rotated.at([1.5, 2.5]);
    assert!((next[0] - 7.7).abs() < 1e-12 && (next[1] - 89.1).abs() < 1e-12, "{next:?}");
}

#[test]
fn the_orientation_tag_applies_to_the_calibration_too() {
    let of = |ignore_orientation| {
        let options = OpenOptions { ignore_orientation, ..at(0) };
        calibration_of(fixture("geo_orientation6.tif"), &options, None).unwrap()
    };
    let (stored, upright) = (of(true), of(false));
    let size = |c: &Calibration| c.pixel.as_ref().map(|p| [p.x.round(), p.y.round()]);
    assert_eq!((size(&stored), size(&upright)), (Some([2.0, 3.0]), Some([3.0, 2.0])));
    let world = |c: Calibration, at| c.georeference.unwrap().to_world().unwrap().at(at);
    // 24 x 16 stored pixels; tag 6 rotates them clockwise, so the stored lower left corner becomes the upper left.
    assert_eq!(world(stored, [0.0, 16.0]), [500_000.0, 5_199_680.0]);
    assert_eq!(world(upright.clone(), [0.0, 0.0]), [500_000.0, 5_199_680.0]);
    assert_eq!(world(upright, [16.0, 24.0]), [500_240.0, 5_200_000.0]);
}

/// Writes a mask, probabilities of three classes, and labels of 6 x 4 pixels.
fn results(dir: &Path, calibration: &Calibration) -> [PathBuf; 3] {
    let paths = ["mask.tif", "prob.tif", "labels.tif"].map(|name| dir.join(name));
    let copy = || calibration.clone();
    let options = InstanceOptions::default().with_scratch(dir.to_path_buf());
    let instances_sink = InstanceSink::new(options, "a.tif", vec![(&instance_files::Labels as _, paths[2].clone())]);
    let sinks: [Box<dyn BandSink>; 3] = [
        Box::new(MaskSink::new(&paths[0]).with_calibration(copy())),
        Box::new(ProbabilitySink::new(&paths[1]).unwrap().with_calibration(copy())),
        Box::new(instances_sink.with_calibration(copy(), Coordinates::Pixel)),
    ];
    let mask = Mask::new(6, 4, 3, Ids::U8((0..24).map(|i| i % 3).collect())).unwrap();
    let classes = (0..3).map(|i| format!("class {i}")).collect();
    let info =
        BandInfo { width: 6, height: 4, channels: 1, classes, planes: 3, geometry: 0, contrast: None, network: None };
    let probabilities: Vec<f32> = (0..72).map(|i| i as f32 / 72.0).collect();
    for sink in sinks {
        feed(sink, &info, &mask, Some(&probabilities), None, 4).unwrap();
    }
    paths
}

#[test]
fn results_have_pixel_sizes_and_georeferences() {
    for (name, level) in [
        ("pyramid.ome.tif", 0),
        ("pyramid.ome.tif", 1),
        ("aperio.svs", 2),
        ("imagej.tif", 0),
        ("centimetre.tif", 0),
        ("big_endian.btf", 0),
        ("dpi300.tif", 0),
        ("geo.tif", 0),
        ("geo.tif", 1),
        ("geo_turned_points.tif", 0),
    ] {
        let of = calibration_of(fixture(name), &at(level), None).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for path in results(dir.path(), &of) {
            let name = format!("{name} level {level}: {}", path.display());
            let written = calibration_of(&path, &at(0), None).unwrap();
            assert_eq!(written.georeference, of.georeference, "{name}");
            match (&written.pixel, &of.pixel) {
                (Some(a), Some(b)) => {
                    assert!((a.x / b.x - 1.0).abs() < 1e-9 && (a.y / b.y - 1.0).abs() < 1e-9, "{name}: {a:?} {b:?}")
                }
                (a, b) => assert_eq!(a, b, "{name}"),
            }
            // The same resolution tags if they hold the pixel size, or if no size is known.
            if !name.starts_with("pyramid") && !name.starts_with("aperio") {
                assert_eq!(written.resolution, of.resolution, "{name}");
            }
            assert_eq!(page_count(&path).unwrap(), if path.ends_with("prob.tif") { 3 } else { 1 }, "{name}");
            let info = open_image(&path, &at(0)).unwrap().info();
            assert_eq!((info.width, info.height, info.channels), (6, 4, 1), "{name}");
        }
    }
}

#[test]
fn damage_is_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.tif");
    for name in ["pyramid.ome.tif", "aperio.svs", "geo.tif", "geo_turned_points.tif", "imagej.tif", "big_endian.btf"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let mut seed = 1u64;
        for round in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..1 + round % 3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 33) as usize % bytes.len().min(4096);
                bytes[at] = (seed >> 24) as u8;
            }
            if round % 10 == 9 {
                bytes.truncate((seed >> 40) as usize % whole.len());
            }
            std::fs::write(&path, bytes).unwrap();
            let named = |e: String| assert!(e.contains("damaged.tif"), "{name} {round}: {e}");
            let _ = describe_image(&path).map_err(|e| named(e.to_string()));
            for level in 0..2 {
                let _ = calibration_of(&path, &at(level), None).map_err(|e| named(e.to_string()));
                let _ = open_image(&path, &at(level))
                    .and_then(|mut s| s.read(0, 0, 1, 1))
                    .map_err(|e| named(e.to_string()));
            }
        }
    }
}
