use super::*;

fn near(a: [f64; 2], b: [f64; 2]) -> bool {
    (0..2).all(|i| (a[i] - b[i]).abs() <= 1e-9 * (1.0 + b[i].abs()))
}

fn keys(raster_type: u16) -> Vec<u16> {
    vec![1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, raster_type, 3072, 0, 1, 32632]
}

fn scaled(raster_type: u16) -> Georeference {
    Georeference {
        pixel_scale: Some([10.0, 20.0, 0.0]),
        tie_points: vec![[2.0, 3.0, 0.0, 500_000.0, 5_200_000.0, 0.0]],
        keys: keys(raster_type),
        ..Default::default()
    }
}

#[test]
fn tie_point_and_scale() {
    // gdalinfo: origin = tie point - pixel * scale; rows run south.
    let map = scaled(1).to_world().unwrap();
    assert_eq!(map.at([0.0, 0.0]), [499_980.0, 5_200_060.0]);
    assert_eq!(map.at([2.0, 3.0]), [500_000.0, 5_200_000.0]);
    assert_eq!(map.at([3.0, 4.0]), [500_010.0, 5_199_980.0]);
    // Pixels are points: the tie point is the centre of pixel (2, 3).
    let map = scaled(2).to_world().unwrap();
    assert_eq!(map.at([2.5, 3.5]), [500_000.0, 5_200_000.0]);
    assert_eq!((scaled(1).epsg(), scaled(1).citation()), (Some(32632), None));
}

#[test]
fn what_is_no_affine_map_says_why() {
    let points = Georeference { pixel_scale: None, tie_points: vec![[0.0; 6]; 4], ..scaled(1) };
    assert!(points.to_world().unwrap_err().contains("4 control points"));
    assert!(Georeference::default().to_world().unwrap_err().contains("no tie point"));
    let flat = Georeference { pixel_scale: Some([0.0; 3]), ..scaled(1) };
    assert!(flat.to_world().is_err());
    let endless = Georeference { pixel_scale: Some([f64::NAN, 1.0, 0.0]), ..scaled(1) };
    assert!(endless.to_world().is_err());
}

/// Both georeferences put the same place of the image at the same coordinates.
fn agree(part: &Calibration, whole: &Calibration, to_whole: impl Fn([f64; 2]) -> [f64; 2]) {
    let world = |c: &Calibration| c.georeference.as_ref().unwrap().to_world().unwrap();
    for point in [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [7.5, 3.25]] {
        let (a, b) = (world(part).at(point), world(whole).at(to_whole(point)));
        assert!(near(a, b), "{point:?}: {a:?} {b:?}");
    }
}

#[test]
fn crops_levels_and_orientations_stay_in_place() {
    let matrix = [0.5, 0.1, 0.0, 7.0, 0.2, -0.4, 0.0, 90.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 1.0];
    for raster_type in [1, 2] {
        let oriented = Georeference { transformation: Some(matrix), keys: keys(raster_type), ..Default::default() };
        for geo in [scaled(raster_type), oriented] {
            let whole = Calibration { georeference: Some(geo), ..Default::default() };
            agree(&whole.clone().cropped(5, 9), &whole, |[x, y]| [x + 5.0, y + 9.0]);
            agree(&whole.clone().scaled([2.0, 4.0]), &whole, |[x, y]| [2.0 * x, 4.0 * y]);
            let (w, h) = (40.0, 30.0);
            let upright = |n| whole.clone().oriented(n, [40, 30]);
            agree(&upright(1), &whole, |p| p);
            agree(&upright(2), &whole, |[x, y]| [w - x, y]);
            agree(&upright(3), &whole, |[x, y]| [w - x, h - y]);
            agree(&upright(4), &whole, |[x, y]| [x, h - y]);
            // EXIF 6: the stored first row is the right side, its first column the top.
            agree(&upright(5), &whole, |[x, y]| [y, x]);
            agree(&upright(6), &whole, |[x, y]| [y, h - x]);
            agree(&upright(7), &whole, |[x, y]| [w - y, h - x]);
            agree(&upright(8), &whole, |[x, y]| [w - y, x]);
        }
    }
    // A scale stays a scale, and a tie point moves with the crop.
    let crop = Calibration { georeference: Some(scaled(1)), ..Default::default() }.cropped(5, 9).georeference.unwrap();
    assert_eq!(crop.tie_points, [[-3.0, -6.0, 0.0, 500_000.0, 5_200_000.0, 0.0]]);
    assert_eq!(crop.pixel_scale, Some([10.0, 20.0, 0.0]));
}

#[test]
fn sizes_change_with_levels_and_swap_when_turned() {
    let pixel = PixelSize::new(0.25, 0.5, PixelSizeSource::Ome);
    let resolution = Some(Resolution { x: [40_000, 1], y: [20_000, 1], unit: 3 });
    let whole = Calibration { pixel, resolution, ..Default::default() };
    let half = whole.clone().scaled([2.0, 2.0]);
    let size = |c: &Calibration| c.pixel.as_ref().map(|p| (p.x, p.y));
    assert_eq!((size(&half), half.resolution.unwrap().x), (Some((0.5, 1.0)), [20_000, 1]));
    let oriented = whole.clone().oriented(6, [10, 20]);
    assert_eq!((size(&oriented), oriented.resolution.unwrap().y), (Some((0.5, 0.25)), [40_000, 1]));
    assert_eq!(whole.clone().scaled([1.0, 1.0]), whole);
    assert_eq!(size(&whole.with_pixel_size(2.0, 3.0)), Some((2.0, 3.0)));
}

#[test]
fn print_resolutions_are_no_pixel_sizes() {
    let size = |v: f64, unit| PixelSize::of_density(v, v, unit, PixelSizeSource::Tiff).map(|p| p.x);
    for dpi in [1.0, 72.0, 96.0, 150.0, 300.0, 600.0, 1200.0, 2400.0] {
        assert_eq!((size(dpi, 2), size(dpi / 2.54, 3)), (None, None), "{dpi}");
    }
    assert_eq!(size(4800.0, 2), None);
    assert!((size(1e4 / 0.65, 3).unwrap() - 0.65).abs() < 1e-12);
    assert!((size(25_400.0 / 0.5, 2).unwrap() - 0.5).abs() < 1e-12);
    // No unit, nothing, everything.
    assert_eq!((size(1e4, 1), size(0.0, 3), size(f64::INFINITY, 3)), (None, None, None));
}

#[test]
fn units_of_length() {
    for (text, expected) in [
        ("micron", Some(1.0)),
        ("\\u00B5m", Some(1.0)),
        ("µm", Some(1.0)),
        ("um ", Some(1.0)),
        ("Microns", Some(1.0)),
        ("nm", Some(1e-3)),
        ("mm", Some(1e3)),
        ("inch", Some(25_400.0)),
        ("Å", Some(1e-4)),
        ("pixel", None),
        ("", None),
        ("reference frame", None),
    ] {
        assert_eq!(micrometres(text), expected, "{text}");
    }
}

#[test]
fn fractions_are_near() {
    assert_eq!(fraction_of(0.5), [1, 2]);
    assert_eq!(fraction_of(3.0), [3, 1]);
    assert_eq!(fraction_of(15384.615384615385), [200_000, 13]);
    assert_eq!((fraction_of(0.0), fraction_of(f64::NAN), fraction_of(1e20)), ([0, 1], [0, 1], [u32::MAX, 1]));
    for value in [std::f64::consts::PI, 1e-7, 3.0769230769, 123_456.789, 4e9, 1.0 / 3.0] {
        let [n, d] = fraction_of(value);
        assert!((f64::from(n) / f64::from(d) / value - 1.0).abs() < 1e-8, "{value}: {n}/{d}");
    }
}
