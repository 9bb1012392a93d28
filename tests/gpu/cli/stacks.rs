//! `unet segment --page stack`: the results of all pages of a file in one.

use crate::folder::Folder;
use image::{ImageBuffer, Luma};
use serde_json::{Value, json};
use std::io::Cursor;
use tiff::encoder::{TiffEncoder, colortype::Gray16, colortype::Gray32Float};
use unet_wgpu::low_level::infer::{OpenOptions, Pixels, calibration_of, page_axes, page_count, read_image};

/// Whatever the random network says, there are instances.
const HOW: [&str; 6] = ["--device", "cpu", "-m", "m.safetensors", "--threshold", "0.4"];

fn folder() -> Folder {
    let f = Folder::new();
    f.unet("m.safetensors", json!({ "width": 2, "depth": 1, "padding": "same" }), |_| ());
    f
}

fn value(page: usize, i: usize) -> u16 {
    ((i * 7919 + page * 31_337) % 65_521) as u16
}

/// Pages of these sizes, as ImageJ writes a film.
fn film(sizes: &[(u32, u32)]) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut out).unwrap();
    for (page, &(width, height)) in sizes.iter().enumerate() {
        let mut image = encoder.new_image::<Gray16>(width, height).unwrap();
        if page == 0 {
            let text = format!("ImageJ=1.54f\nimages={0}\nframes={0}\nunit=nm\n", sizes.len());
            image.encoder().write_tag(tiff::tags::Tag::ImageDescription, text.as_str()).unwrap();
            image.resolution(tiff::tags::ResolutionUnit::None, tiff::encoder::Rational { n: 1, d: 250 });
        }
        let pixels: Vec<u16> = (0..(width * height) as usize).map(|i| value(page, i)).collect();
        image.write_data(&pixels).unwrap();
    }
    out.into_inner()
}

fn segment(f: &Folder, args: &[&str]) -> (i32, Vec<Value>, String) {
    let r = f.run(&[&["segment"], args, &HOW, &["--json"]].concat());
    (r.code, r.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect(), r.stderr)
}

fn names(f: &Folder, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(f.path(folder)).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn pixels(f: &Folder, name: &str, page: usize) -> Pixels {
    let (image, _) = read_image(f.path(name), &OpenOptions { page, ..OpenOptions::default() }).unwrap();
    image.pixels().clone()
}

#[test]
fn pages_of_a_stack_are_those_of_single_files() {
    let f = folder();
    f.write("film.tif", film(&[(24, 20); 4]));
    let save = ["--save", "mask,overlay,labels,prob,csv"];
    let (code, lines, stderr) = segment(&f, &[&["film.tif", "-o", "each", "--page", "all"][..], &save].concat());
    assert_eq!((code, lines.len()), (0, 4), "{stderr}");
    let stack = [&["film.tif", "-o", "out", "--page", "stack"][..], &save].concat();
    let (code, lines, stderr) = segment(&f, &stack);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(lines.iter().map(|l| l["page"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let kinds = |line: &Value| line["outputs"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(kinds(&lines[0]), ["objects", "overlay"]);
    assert_eq!(kinds(&lines[3]), ["labels", "mask", "objects", "overlay", "prob"]);
    let of_pages = (0..4).flat_map(|p| ["objects.csv", "overlay.png"].map(|s| format!("film_page{p}_{s}")));
    let together = ["labels", "mask", "prob"].map(|kind| format!("film_{kind}.tif"));
    let mut expected: Vec<String> = of_pages.chain(together.clone()).collect();
    expected.sort();
    assert_eq!(names(&f, "out"), expected);
    for name in &together {
        let path = f.path(&format!("out/{name}"));
        assert_eq!((page_count(&path).unwrap(), page_axes(&path).unwrap()), (4, [1, 4]), "{name}");
        let pixel = calibration_of(&path, &OpenOptions::default(), None).unwrap().pixel.unwrap();
        assert_eq!((pixel.x, pixel.y), (0.25, 0.25), "{name}");
    }
    let read = |name: String| std::fs::read(f.path(&name)).unwrap();
    for page in 0..4 {
        let alone = format!("each/film_page{page}");
        assert_eq!(pixels(&f, "out/film_mask.tif", page), pixels(&f, &format!("{alone}_mask.png"), 0), "page {page}");
        let labels = pixels(&f, "out/film_labels.tif", page);
        assert_eq!(labels, pixels(&f, &format!("{alone}_labels.tif"), 0), "page {page}");
        assert!(matches!(&labels, Pixels::U16(v) if v.iter().any(|&l| l > 0)));
        let Pixels::F32(both) = pixels(&f, "out/film_prob.tif", page) else { panic!("not floats") };
        for class in 0..2 {
            let Pixels::F32(plane) = pixels(&f, &format!("{alone}_prob.tif"), class) else { panic!("not floats") };
            assert!(both.iter().skip(class).step_by(2).eq(&plane), "page {page}, class {class}");
        }
        let table = format!("film_page{page}_objects.csv");
        assert_eq!(read(format!("out/{table}")), read(format!("each/{table}")));
    }
    // In a batch; and again, where one file of a page is missing.
    let batch = [&["film.tif", "-o", "batch", "--page", "stack", "--batch", "3"][..], &save].concat();
    assert_eq!(segment(&f, &batch).0, 0);
    together.iter().for_each(|name| assert!(read(format!("out/{name}")) == read(format!("batch/{name}")), "{name}"));
    let again = || segment(&f, &[&stack[..], &["--skip-existing"]].concat());
    let skipped = |(code, lines, stderr): (i32, Vec<Value>, String)| {
        assert_eq!(code, 0, "{stderr}");
        lines.iter().filter(|l| l["skipped"] == true).count()
    };
    assert_eq!(skipped(again()), 4);
    std::fs::remove_file(f.path("out/film_page2_objects.csv")).unwrap();
    let before = read("out/film_labels.tif".into());
    assert_eq!(skipped(again()), 0);
    assert!(names(&f, "out") == expected && read("out/film_labels.tif".into()) == before);
}

#[test]
fn a_stack_is_whole_or_not_written() {
    let f = folder();
    let mut out = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut out).unwrap();
    for page in 0..5 {
        let mut pixels: Vec<f32> = (0..480).map(|i| f32::from(value(page, i))).collect();
        pixels[7] = if page == 2 { f32::NAN } else { 1.0 };
        encoder.write_image::<Gray32Float>(24, 20, &pixels).unwrap();
    }
    f.write("bad.tif", out.into_inner());
    f.write("uneven.tif", film(&[(24, 20), (24, 20), (22, 20)]));
    f.write("good.tif", film(&[(24, 20); 2]));
    let args = ["bad.tif", "uneven.tif", "good.tif", "-o", "out", "--page", "stack", "--save", "mask,labels"];
    let (code, lines, stderr) = segment(&f, &args);
    assert_eq!((code, lines.len()), (1, 10), "{stderr}");
    let error = |line: usize| lines[line]["error"].as_str().unwrap_or_default();
    assert!(error(0).is_empty() && error(1).is_empty() && error(8).is_empty() && error(9).is_empty(), "{stderr}");
    assert!(error(2).contains("column 7, row 0 is NaN"), "{stderr}");
    assert!(error(3).contains("bad.tif: no stack is written, since page 2 failed"), "{stderr}");
    assert!(error(5).contains("page 0 has 24x20 pixels, page 2 22x20: pages of a stack are of one size"), "{stderr}");
    assert!(stderr.contains("error: 6 of 10 images failed"), "{stderr}");
    assert_eq!(stderr.matches("no stack is written").count(), 2, "{stderr}");
    assert_eq!(names(&f, "out"), ["good_labels.tif", "good_mask.tif"]);
    assert_eq!(lines[9]["outputs"]["labels"], json!("out/good_labels.tif"));
    // Files of single pages are no stack, so they are written.
    let (code, lines, stderr) = segment(&f, &["uneven.tif", "-o", "all", "--page", "all", "--save", "labels"]);
    assert_eq!((code, lines.len()), (0, 3), "{stderr}");
}

#[test]
fn what_a_stack_is_called() {
    let f = folder();
    f.write("film.tif", film(&[(24, 20); 3]));
    let run = |args: &[&str]| segment(&f, &[&["film.tif", "--page", "stack"], args].concat());
    let error = |args: &[&str]| f.error(&[&["segment", "film.tif", "--page", "stack"], args, &HOW].concat());
    assert_eq!(run(&["-o", "m.tif", "--save", "mask,labels"]).0, 0);
    assert_eq!((page_count(f.path("m.tif")).unwrap(), page_count(f.path("m_labels.tif")).unwrap()), (3, 3));
    assert!(error(&["-o", "m.png", "--save", "mask"]).contains("m.png: the mask of a stack is a .tif file"));
    assert!(error(&["-o", "n.tif", "--save", "mask,csv"]).contains("several images need a folder"));
    // A file that is none of ours stays, unless it is to be replaced.
    f.write("film_labels.tif", "mine");
    let foreign = error(&["--save", "labels"]);
    assert!(foreign.contains("film_labels.tif: exists and is no result of this program"), "{foreign}");
    assert_eq!(run(&["--save", "labels", "--overwrite"]).0, 0);
    assert_eq!(page_count(f.path("film_labels.tif")).unwrap(), 3);
    // Without a TIFF among the results.
    let (code, lines, stderr) = run(&["--save", "csv", "-o", "tables"]);
    assert!(
        code == 0 && lines.len() == 3 && stderr.contains("no kind of --save is a TIFF file or OME-Zarr"),
        "{stderr}"
    );
    // An image of one page.
    ImageBuffer::from_fn(24, 20, |x, y| Luma([(x * y % 251) as u8])).save(f.path("one.png")).unwrap();
    assert_eq!(segment(&f, &["one.png", "-o", "one", "--page", "stack", "--save", "mask,csv"]).0, 0);
    assert_eq!(names(&f, "one"), ["one_mask.tif", "one_objects.csv"]);
    f.usage(&["segment", "film.tif", "--page", "stack", "--pages-as-channels"], "--pages-as-channels");
}

#[test]
fn parts_have_whole_stacks() {
    let f = folder();
    std::fs::create_dir(f.path("in")).unwrap();
    ["in/a.tif", "in/b.tif", "in/c.tif"].iter().for_each(|name| f.write(name, film(&[(24, 20); 2])));
    let args = |part| ["in", "-o", "out", "--page", "stack", "--save", "labels", "--shard", part];
    assert_eq!(segment(&f, &args("1/2")).1.len(), 4);
    assert_eq!(names(&f, "out"), ["a_labels.tif", "c_labels.tif"]);
    assert_eq!(segment(&f, &args("2/2")).1.len(), 2);
    assert_eq!(page_count(f.path("out/b_labels.tif")).unwrap(), 2);
}

#[test]
fn planes_of_ome_zarr() {
    let f = folder();
    let zip = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/fixtures/zarr.zip");
    zip::ZipArchive::new(std::fs::File::open(zip).unwrap()).unwrap().extract(f.path(".")).unwrap();
    let args = ["v2_tczyx.zarr", "--channels", "1", "--page", "stack", "--save", "labels,mask", "-o", "out"];
    let (code, lines, stderr) = segment(&f, &args);
    assert_eq!((code, lines.len()), (0, 4), "{stderr}");
    let path = f.path("out/v2_tczyx_labels.tif");
    assert_eq!(page_axes(&path).unwrap(), [2, 2]);
    let pixel = calibration_of(&path, &OpenOptions::default(), None).unwrap().pixel.unwrap();
    assert_eq!((pixel.x, pixel.y, pixel.z), (0.25, 0.5, Some(2.0)));
}

/// The labels of every plane in one folder, as the stack in TIFF has them.
#[test]
fn labels_of_all_planes_are_one_ome_zarr() {
    let f = folder();
    let zip = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/fixtures/zarr.zip");
    zip::ZipArchive::new(std::fs::File::open(zip).unwrap()).unwrap().extract(f.path(".")).unwrap();
    f.write("film.tif", film(&[(24, 20); 4]));
    for (image, channels, folder, axes) in [
        ("v2_tczyx.zarr", "1", "v2_tczyx.zarr/labels/unet", ["t", "z", "y", "x"].as_slice()),
        ("film.tif", "0", "film_labels.ome.zarr", &["t", "y", "x"]),
    ] {
        let args = |save| [image, "--channels", channels, "--page", "stack", "--save", save];
        let (code, _, stderr) = segment(&f, &[&args("labels")[..], &["-o", "tiff"]].concat());
        assert_eq!(code, 0, "{stderr}");
        let tiff = format!("tiff/{}_labels.tif", image.split('.').next().unwrap());
        let (code, lines, stderr) = segment(&f, &args("ome-zarr"));
        assert_eq!((code, lines.len()), (0, 4), "{stderr}");
        assert!(lines[3]["outputs"].to_string().contains(folder), "{}", lines[3]);
        assert_eq!(page_axes(f.path(folder)).unwrap(), page_axes(f.path(&tiff)).unwrap());
        let attributes: Value =
            serde_json::from_slice(&std::fs::read(f.path(&format!("{folder}/.zattrs"))).unwrap()).unwrap();
        let found =
            attributes["multiscales"][0]["axes"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap());
        assert_eq!(found.collect::<Vec<_>>(), axes);
        for page in 0..4 {
            let wide = |p: Pixels| match p {
                Pixels::U16(v) => v.into_iter().map(f32::from).collect(),
                Pixels::F32(v) => v,
                other => panic!("{other:?}"),
            };
            let found = wide(pixels(&f, folder, page));
            assert!(found.iter().any(|&l| l > 0.0) && found == wide(pixels(&f, &tiff, page)), "{image}, page {page}");
        }
        // Done already; then again in its place, and nothing is left beside it.
        let again = |option: &str| segment(&f, &[&args("ome-zarr")[..], &[option]].concat());
        assert_eq!(again("--skip-existing").1.iter().filter(|l| l["skipped"] == true).count(), 4);
        assert_eq!(again("--overwrite").0, 0);
        let left = names(&f, ".").into_iter().chain(names(&f, "v2_tczyx.zarr")).find(|n| n.starts_with(".unet"));
        assert_eq!(left, None);
    }
    assert_eq!(names(&f, "v2_tczyx.zarr/labels"), [".zattrs", ".zgroup", "unet"]);
}
