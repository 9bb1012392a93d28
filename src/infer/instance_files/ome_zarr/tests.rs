use std::fs;

use super::*;
use crate::infer::instance_files::{Labels, write_instances};
use crate::infer::instances::InstanceOptions;
use crate::infer::{Ids, LabelMap, Mask, OpenOptions, find_instances, is_own_result, open_image};
use crate::infer::{PixelSize, PixelSizeSource, Pixels};

/// Squares of 5 pixels on a grid of 8.
fn squares(width: usize, height: usize) -> Instances {
    let ids = (0..width * height).map(|i| u8::from(i % width % 8 < 5 && i / width % 8 < 5)).collect();
    find_instances(&Mask::new(width, height, 2, Ids::U8(ids)).unwrap(), None, &InstanceOptions::default()).unwrap()
}

fn fixtures() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let zip = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/fixtures/zarr.zip");
    zip::ZipArchive::new(fs::File::open(zip).unwrap()).unwrap().extract(dir.path()).unwrap();
    dir
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

#[test]
fn labels_go_into_the_image() {
    let dir = fixtures();
    for (name, files) in [("levels_04.zarr", [".zattrs", ".zgroup"].as_slice()), ("levels_05.zarr", &["zarr.json"])] {
        let image = dir.path().join(name);
        let folder = labels_folder(None, &image, &image, None, false).unwrap();
        assert_eq!(folder, image.join("labels/unet"));
        assert!(!has_labels(&folder));
        let plain = dir.path().join("plain.tif");
        write_instances(&plain, &Labels, &mut squares(53, 41), &Source::default()).unwrap();
        let expected = LabelMap::open(&plain).unwrap();
        write_instances(&folder, &OmeZarr, &mut squares(53, 41), &Source::default()).unwrap();
        assert_eq!(LabelMap::open(&folder).unwrap(), expected);
        assert!(has_labels(&folder) && is_own_result(&folder).unwrap() && !is_own_result(&image).unwrap());
        assert_eq!(names(&image.join("labels")), sorted(&[files, &["unet"]].concat()));
        // The image's levels, scale and axes but the channels.
        let (of, labels) = (Multiscale::open(&image).unwrap(), Multiscale::open(&folder).unwrap());
        assert_eq!(labels.node.format, of.node.format);
        assert!(labels.axes.iter().all(|a| of.axes.contains(a)) && labels.axes.len() + 1 == of.axes.len());
        for level in 0..3 {
            assert_eq!(labels.size(level).unwrap(), of.size(level).unwrap());
            assert_eq!(labels.calibration(level, None), of.calibration(level, None));
            let mut source = open_image(&folder, &OpenOptions { level, ..Default::default() }).unwrap();
            let [w, h] = labels.size(level).unwrap().map(|n| n as usize);
            let Pixels::U16(pixels) = source.read(0, 0, w, h).unwrap().pixels().clone() else { panic!("16 bits") };
            for (i, &label) in pixels.iter().enumerate() {
                let full = expected.labels()[((i / w) << level) * 53 + ((i % w) << level)];
                assert_eq!(u32::from(label), full, "level {level}, pixel {i}");
            }
        }
        // Others are listed beside them, and the same again is listed once.
        let other = image.join("labels/cells");
        for folder in [&other, &folder] {
            write_instances(folder, &OmeZarr, &mut squares(53, 41), &Source::default()).unwrap();
        }
        let format = of.node.format;
        assert_eq!(listed(&image, format).unwrap(), ["unet", "cells"]);
        assert_eq!(names(&image.join("labels")), sorted(&[files, &["cells", "unet"]].concat()));
        // The image itself is as it was.
        assert!(of.node.attributes == Node::open(&image).unwrap().attributes);
        let e = write_instances(&other, &OmeZarr, &mut squares(50, 41), &Source::default()).unwrap_err().to_string();
        assert!(e.contains("has no level of the labels' size, 50x41"), "{e}");
        // Of a smaller copy.
        write_instances(&other, &OmeZarr, &mut squares(27, 21), &Source::default()).unwrap();
        assert_eq!(Multiscale::open(&other).unwrap().levels.len(), 2);
    }
}

#[test]
fn a_page_is_a_plane_of_the_labels() {
    let dir = fixtures();
    let image = dir.path().join("v2_tczyx.zarr");
    let folder = labels_folder(None, &image, &image, Some(2), false).unwrap();
    assert_eq!(folder, image.join("labels/unet_page2"));
    write_instances(&folder, &OmeZarr, &mut squares(24, 20), &Source { page: 2, ..Source::default() }).unwrap();
    for page in 0..4 {
        let mut source = open_image(&folder, &OpenOptions { page, ..Default::default() }).unwrap();
        let pixels = source.read(0, 0, 24, 20).unwrap();
        let any = matches!(pixels.pixels(), Pixels::U16(v) if v.iter().any(|&l| l > 0));
        assert_eq!(any, page == 2, "page {page}");
    }
}

/// Two z planes of the full size fall on one of the smaller: the first is taken.
#[test]
fn all_planes_of_resolutions_with_fewer_planes() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("a.zarr");
    let array = |path: &str, shape: [usize; 3]| {
        let metadata = json!({ "zarr_format": 2, "shape": shape, "chunks": shape, "dtype": "|u1", "compressor": null,
            "fill_value": 0, "filters": null, "order": "C", "dimension_separator": "/" });
        fs::create_dir_all(image.join(path)).unwrap();
        fs::write(image.join(path).join(".zarray"), metadata.to_string()).unwrap();
    };
    let dataset = |path: &str, scale: f64| json!({ "path": path, "coordinateTransformations": [{ "type": "scale", "scale": [scale, scale, scale] }] });
    let axis = |name: &str| json!({ "name": name, "type": "space" });
    let axes = ["z", "y", "x"].map(axis);
    let attributes = json!({ "multiscales": [{ "version": "0.4", "axes": axes, "datasets": [dataset("0", 1.0), dataset("1", 2.0)] }] });
    array("0", [3, 4, 6]);
    array("1", [2, 2, 3]);
    fs::write(image.join(".zgroup"), r#"{ "zarr_format": 2 }"#).unwrap();
    fs::write(image.join(".zattrs"), attributes.to_string()).unwrap();
    let folder = image.join("labels/unet");
    let write = |rows: usize| {
        let mut planes = LabelPlanes::all(&folder, [6, 4], [3, 1], &Calibration::default()).unwrap();
        for page in 0..3 {
            planes.page(page);
            (0..rows).for_each(|_| planes.row(&[page as u32 * 100_000 + 1; 6]).unwrap());
        }
        planes
    };
    // Given up, nothing is left.
    drop(write(2));
    assert!(!image.join("labels").exists());
    write(4).finish().unwrap();
    assert_eq!(listed(&image, Format::V2).unwrap(), ["unet"]);
    for (level, pages) in [(0, vec![0, 1, 2]), (1, vec![0, 2])] {
        for (at, page) in pages.into_iter().enumerate() {
            let options = OpenOptions { level, page: at, ..Default::default() };
            let mut source = open_image(&folder, &options).unwrap();
            let (w, h) = (6 >> level, 4 >> level);
            let Pixels::F32(found) = source.read(0, 0, w, h).unwrap().pixels().clone() else { panic!("32 bits") };
            assert_eq!(found, vec![page as f32 * 100_000.0 + 1.0; w * h], "level {level}, plane {at}");
        }
    }
}

#[test]
fn planes_of_other_images_have_axes_and_distances() {
    let dir = tempfile::tempdir().unwrap();
    let pixel = PixelSize::new(0.5, 0.25, PixelSizeSource::Ome).map(|p| PixelSize { z: Some(2.0), ..p });
    let calibration = Calibration { pixel, ..Calibration::default() };
    for (axes, names, scale) in [
        ([3, 2], &["t", "z", "y", "x"][..], &[1.0, 2.0, 0.25, 0.5][..]),
        ([2, 1], &["z", "y", "x"], &[2.0, 0.25, 0.5]),
        ([1, 2], &["t", "y", "x"], &[1.0, 0.25, 0.5]),
        ([1, 1], &["y", "x"], &[0.25, 0.5]),
    ] {
        let folder = dir.path().join(format!("{axes:?}.ome.zarr"));
        let mut planes = LabelPlanes::all(&folder, [6, 4], axes, &calibration).unwrap();
        for page in 0..axes[0] * axes[1] {
            planes.page(page);
            (0..4).for_each(|_| planes.row(&[page as u32 + 1; 6]).unwrap());
        }
        planes.finish().unwrap();
        let attributes = Node::open(&folder).unwrap().attributes;
        let multiscale = &attributes["multiscales"][0];
        let found = multiscale["axes"].as_array().unwrap();
        assert!(found.iter().map(|a| a["name"].as_str().unwrap()).eq(names.iter().copied()));
        assert_eq!(multiscale["datasets"][0]["coordinateTransformations"][0]["scale"], json!(scale));
        for page in 0..axes[0] * axes[1] {
            let mut source = open_image(&folder, &OpenOptions { page, ..Default::default() }).unwrap();
            let Pixels::F32(found) = source.read(0, 0, 6, 4).unwrap().pixels().clone() else { panic!("32 bits") };
            assert_eq!(found, [page as f32 + 1.0; 24], "{axes:?}, page {page}");
        }
    }
}

/// Larger than a chunk, with more instances than 16 bits count.
#[test]
fn labels_of_other_images_are_a_folder_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.tif");
    let folder = labels_folder(None, &input, &input, None, false).unwrap();
    assert_eq!(folder, dir.path().join("a_labels.ome.zarr"));
    assert_eq!(labels_folder(Some(Path::new("b.zarr")), &input, &input, None, false).unwrap(), Path::new("b.zarr"));
    assert!(labels_folder(Some(Path::new("b.zarr")), &input, &input, None, true).is_err());
    let (width, height) = (2500, 1790);
    write_instances(&folder, &OmeZarr, &mut squares(width, height), &Source::default()).unwrap();
    let plain = dir.path().join("plain.tif");
    write_instances(&plain, &Labels, &mut squares(width, height), &Source::default()).unwrap();
    let expected = LabelMap::open(&plain).unwrap();
    assert!(LabelMap::open(&folder).unwrap() == expected && expected.labels().iter().any(|&l| l > 65_535));
    let labels = Multiscale::open(&folder).unwrap();
    let sizes: Vec<_> = (0..labels.levels.len()).map(|i| labels.size(i).unwrap()).collect();
    assert_eq!(sizes, [[2500, 1790], [1250, 895], [625, 448], [313, 224]]);
    let mut third = open_image(&folder, &OpenOptions { level: 2, ..Default::default() }).unwrap();
    let Pixels::F32(pixels) = third.read(0, 0, 625, 448).unwrap().pixels().clone() else { panic!("32 bits") };
    for (i, &label) in pixels.iter().enumerate() {
        assert_eq!(label, expected.labels()[i / 625 * 4 * width + i % 625 * 4] as f32, "pixel {i}");
    }
}

#[test]
fn nothing_else_is_replaced_and_nothing_half_remains() {
    let dir = fixtures();
    let image = dir.path().join("levels_04.zarr");
    let before = names(&image);
    for target in ["v3_none.zarr", "levels_04.zarr"] {
        let e = write_instances(dir.path().join(target), &OmeZarr, &mut squares(9, 9), &Source::default());
        assert!(e.unwrap_err().to_string().contains("holds no labels of OME-Zarr"), "{target}");
    }
    let wrong = write_instances(image.join("labels/a"), &OmeZarr, &mut squares(9, 9), &Source::default());
    assert!(wrong.is_err());
    assert_eq!(names(&image), before);
    // A list that is none is found before any work.
    fs::create_dir(image.join("labels")).unwrap();
    fs::write(image.join("labels/.zattrs"), r#"{"labels": "a"}"#).unwrap();
    let e = OmeZarr.sink(Output::from(image.join("labels/a")), &Calibration::default()).err().unwrap().to_string();
    assert!(e.contains(".zattrs: `labels` is no list"), "{e}");
}
