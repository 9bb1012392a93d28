//! Image options of `unet segment`, against independent computations.

use super::models::elements;
use crate::folder::Folder;
use image::{GrayImage, Luma};
use serde_json::{Value, json};
use tiff::encoder::{TiffEncoder, colortype::Gray16};
use unet_wgpu::low_level::infer::palette;

const CPU: [&str; 4] = ["--device", "cpu", "--normalise", "unit"];

/// A folder with a small network of padding `same`.
fn folder() -> Folder {
    let f = Folder::new();
    f.unet("m.safetensors", json!({ "width": 2, "depth": 1, "padding": "same" }), |_| ());
    f
}

fn grey(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| Luma([((x * 37 + y * 91 + x * y) % 251) as u8]))
}

/// Probabilities `[2, H, W]` of an image.
fn probabilities(f: &Folder, name: &str, args: &[&str]) -> Vec<f32> {
    let args = [&["segment", name, "-m", "m.safetensors", "-o", "p/", "--save", "prob-npy"], &CPU[..], args].concat();
    let r = f.run(&args);
    assert_eq!(r.code, 0, "{args:?}: {}", r.stderr);
    let stem = name.rsplit_once('.').unwrap().0;
    elements(f, &format!("p/{stem}_prob.npy"))
}

/// An independent implementation of nnU-Net's sliding window: `compute_steps_for_sliding_window` with step 0.5 and
/// `compute_gaussian` with sigma 1/8 of the tile. MONAI's importance map is centred half a pixel earlier.
#[test]
fn blended_tiles_match_nnunet() {
    let f = folder();
    let (w, h, tile) = (76usize, 40usize, 32usize);
    let image = grey(w as u32, h as u32);
    image.save(f.path("a.png")).unwrap();
    let steps = |size: usize| -> Vec<usize> {
        let count = ((size - tile) as f64 / (tile as f64 * 0.5)).ceil() as usize + 1;
        let step = (size - tile) as f64 / (count - 1) as f64;
        (0..count).map(|i| (step * i as f64).round() as usize).collect()
    };
    assert_eq!((steps(w), steps(h)), (vec![0, 15, 29, 44], vec![0, 8]));
    let sigma = tile as f64 / 8.0;
    let bell = |i: usize| (-0.5 * ((i as f64 - tile as f64 / 2.0) / sigma).powi(2)).exp();
    let (mut sums, mut weights) = (vec![0.0; 2 * w * h], vec![0.0; w * h]);
    for top in steps(h) {
        for left in steps(w) {
            let crop = image::imageops::crop_imm(&image, left as u32, top as u32, tile as u32, tile as u32);
            crop.to_image().save(f.path("crop.png")).unwrap();
            let alone = probabilities(&f, "crop.png", &[]);
            for (y, x) in (0..tile).flat_map(|y| (0..tile).map(move |x| (y, x))) {
                let (at, weight) = ((top + y) * w + left + x, bell(y) * bell(x));
                weights[at] += weight;
                for plane in 0..2 {
                    sums[plane * w * h + at] += weight * f64::from(alone[(plane * tile + y) * tile + x]);
                }
            }
        }
    }
    let got = probabilities(&f, "a.png", &["--blend", "gaussian", "--tile", "32"]);
    assert_eq!(got.len(), sums.len());
    for (i, got) in got.iter().enumerate() {
        let expected = sums[i] / weights[i % (w * h)];
        assert!((f64::from(*got) - expected).abs() <= 2e-6, "element {i}: {got}, by hand {expected}");
    }
    // It differs from the result of the whole image, which exact tiles match.
    let whole = probabilities(&f, "a.png", &[]);
    assert!(whole.iter().zip(&got).any(|(a, b)| (a - b).abs() > 1e-3));
    let exact = probabilities(&f, "a.png", &["--tile", "32"]);
    assert!(whole.iter().zip(&exact).all(|(a, b)| (a - b).abs() <= 1e-6));
}

#[test]
fn orientations_are_averaged() {
    let f = folder();
    let (w, h) = (24usize, 20usize);
    let image = grey(w as u32, h as u32);
    image.save(f.path("a.png")).unwrap();
    let mut mean = vec![0.0f64; 2 * w * h];
    for (across, down) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut oriented = image.clone();
        if across {
            image::imageops::flip_horizontal_in_place(&mut oriented);
        }
        if down {
            image::imageops::flip_vertical_in_place(&mut oriented);
        }
        oriented.save(f.path("t.png")).unwrap();
        let alone = probabilities(&f, "t.png", &[]);
        for (i, sum) in mean.iter_mut().enumerate() {
            let (plane, y, x) = (i / (w * h), i / w % h, i % w);
            let (y, x) = (if down { h - 1 - y } else { y }, if across { w - 1 - x } else { x });
            *sum += f64::from(alone[(plane * h + y) * w + x]) / 4.0;
        }
    }
    let got = probabilities(&f, "a.png", &["--tta", "flips"]);
    assert!(got.iter().zip(&mean).all(|(a, b)| (f64::from(*a) - b).abs() <= 1e-6));
    assert!(probabilities(&f, "a.png", &["--tta", "flips", "--batch", "4"]) == got);
    let plain = probabilities(&f, "a.png", &[]);
    assert!(got.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 1e-3));
    assert!(probabilities(&f, "a.png", &["--tta", "d4"]) != got);
}

/// Pages of 24x20 pixels in ImageJ's hyperstack order: channels vary fastest, then slices.
fn stack(description: Option<&str>, pages: std::ops::Range<usize>) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut out).unwrap();
    for page in pages {
        let mut image = encoder.new_image::<Gray16>(24, 20).unwrap();
        if let Some(text) = description.filter(|_| page == 0) {
            image.encoder().write_tag(tiff::tags::Tag::ImageDescription, text).unwrap();
        }
        let pixels: Vec<u16> = (0..480).map(|i| ((i * 7919 + page * 31_337) % 65_521) as u16).collect();
        image.write_data(&pixels).unwrap();
    }
    out.into_inner()
}

#[test]
fn pages_and_channels_of_a_stack() {
    let f = folder();
    let text = "ImageJ=1.54f\nimages=6\nchannels=2\nslices=3\nhyperstack=true\nmode=composite\n";
    f.write("stack.tif", stack(Some(text), 0..6));
    for directory in 0..6 {
        f.write(&format!("{directory}.tif"), stack(None, directory..directory + 1));
    }
    let alone: Vec<_> = (0..6).map(|i| probabilities(&f, &format!("{i}.tif"), &[])).collect();
    for (page, channel) in [(0, 0), (0, 1), (1, 0), (2, 1)] {
        let (p, c) = (page.to_string(), channel.to_string());
        let got = probabilities(&f, "stack.tif", &["--page", &p, "--channels", &c]);
        assert!(got == alone[2 * page + channel], "page {page}, channel {channel}");
    }
    let error = |more: &[&str]| {
        f.error(&[&["segment", "stack.tif", "-m", "m.safetensors", "-o", "p/"], &CPU[..], more].concat())
    };
    let two = error(&[]);
    assert!(two.ends_with("has 2 channels (0, 1), the network takes 1 channel; choose with --channels 0"), "{two}");
    let beyond = error(&["--page", "3", "--channels", "0"]);
    assert!(beyond.contains("has 3 pages, there is no page 3"), "{beyond}");
    let none = error(&["--channels", "2"]);
    assert!(none.contains("there is no channel 2, the image has channels 0 to 1"), "{none}");
    // Every page is a separate image.
    let all =
        ["segment", "stack.tif", "-m", "m.safetensors", "-o", "all", "--page", "all", "--channels", "1", "--json"];
    let r = f.run(&[&all[..], &CPU].concat());
    assert_eq!(r.code, 0, "{}", r.stderr);
    let lines: Vec<Value> = r.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.iter().map(|l| l["page"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    assert!((0..3).all(|p| f.path(&format!("all/stack_page{p}_mask.png")).is_file()));
    // A network of two channels takes both, in the requested order.
    let config = json!({ "width": 2, "depth": 1, "padding": "same", "in_channels": 2 });
    f.unet("m.safetensors", config, |_| ());
    let both = probabilities(&f, "stack.tif", &[]);
    assert!(both == probabilities(&f, "stack.tif", &["--channels", "0,1"]));
    assert!(both != probabilities(&f, "stack.tif", &["--channels", "1,0"]));
}

/// Batched images have the same results as single ones, even with bad images or other sizes in between.
#[test]
fn batches_of_a_folder() {
    let f = folder();
    std::fs::create_dir(f.path("in")).unwrap();
    for (name, width) in [("a", 24), ("b", 24), ("d", 30), ("e", 24), ("f", 24), ("g", 24), ("h", 24)] {
        let mut image = grey(width, 20);
        image.pixels_mut().for_each(|p| p.0[0] = p.0[0].wrapping_add(name.as_bytes()[0].wrapping_mul(31)));
        image.save(f.path(&format!("in/{name}.png"))).unwrap();
    }
    f.write("in/c.png", "no image");
    let run = |batch: &str, out: &str| {
        let args = ["segment", "in", "-m", "m.safetensors", "-o", out, "--save", "mask,overlay,prob-npy,csv"];
        let more = ["--device", "cpu", "--json", "--normalise", "zscore", "--batch", batch];
        let r = f.run(&[&args[..], &more].concat());
        assert_eq!(r.code, 1, "{}", r.stderr);
        assert!(r.stderr.contains("error: 1 of 8 images failed"), "{}", r.stderr);
        let lines: Vec<Value> = r.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let inputs: Vec<_> = lines.iter().map(|l| l["input"].as_str().unwrap().to_string()).collect();
        assert_eq!(inputs, ["a", "b", "c", "d", "e", "f", "g", "h"].map(|n| format!("in/{n}.png")));
        assert!(lines[2]["error"].as_str().unwrap().contains("not an image"));
        lines.iter().map(|l| l["batch"].as_u64().unwrap_or(0)).collect::<Vec<_>>()
    };
    assert_eq!(run("1", "alone"), [1, 1, 0, 1, 1, 1, 1, 1]);
    assert_eq!(run("3", "together"), [2, 2, 0, 1, 3, 3, 3, 1]);
    let names = |folder: &str| {
        let mut names: Vec<_> = std::fs::read_dir(f.path(folder)).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!((names("alone").len(), names("alone")), (28, names("together")));
    for name in names("alone") {
        let read = |folder: &str| std::fs::read(f.path(folder).join(&name)).unwrap();
        assert!(read("alone") == read("together"), "{name:?}");
    }
    f.usage(&["segment", "in", "--batch", "0"], "--batch");
}

/// Where it is known how instances are found, the overlay outlines each in its own colour, unless classes are requested.
#[test]
fn overlays_show_instances() {
    let f = folder();
    f.image("a.png");
    let run = |save: &str, out: &str, more: &[&str]| {
        let args = ["segment", "a.png", "-m", "m.safetensors", "-o", out, "--save", save];
        let r = f.run(&[&args[..], more, &CPU].concat());
        assert_eq!(r.code, 0, "{}", r.stderr);
        image::open(f.path(&format!("{out}a_overlay.png"))).unwrap().to_rgb8()
    };
    let watershed = ["--instances", "watershed", "--seed-depth", "0.1"];
    let classes = run("overlay", "c/", &[]);
    let instances = run("overlay,labels", "o/", &watershed);
    assert_eq!(instances, run("overlay", "a/", &watershed));
    assert_eq!(classes, run("overlay,labels", "b/", &[&watershed[..], &["--overlay", "classes"]].concat()));
    let bytes = std::fs::read(f.path("o/a_labels.tif")).unwrap();
    let mut decoder = tiff::decoder::Decoder::new(std::io::Cursor::new(bytes)).unwrap();
    assert_eq!(decoder.get_tag_u32(tiff::tags::Tag::Compression).unwrap(), 8, "deflate");
    let tiff::decoder::DecodingResult::U16(labels) = decoder.read_image().unwrap() else { panic!("not of 16 bits") };
    let label = |x: u32, y: u32| labels[(y * 24 + x) as usize];
    let (mut touching, mut different) = (0, 0);
    for (x, y) in (0..19).flat_map(|y| (0..23).map(move |x| (x, y))) {
        let own = label(x, y);
        if own == 0 {
            assert_eq!(instances.get_pixel(x, y), classes.get_pixel(x, y));
            continue;
        }
        let near = [label(x + 1, y), label(x, y + 1)];
        if near.iter().any(|&n| n != own) {
            assert_eq!(instances.get_pixel(x, y).0, palette(own.into()), "column {x}, row {y}");
            touching += usize::from(near.iter().any(|&n| n != own && n != 0));
        }
        different += usize::from(instances.get_pixel(x, y) != classes.get_pixel(x, y));
    }
    assert!(touching > 0 && different > 0, "{touching} {different}: nothing to see");
}

/// A file of assets/fixtures/calibration in the folder.
fn calibrated(f: &Folder, name: &str) {
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/calibration").join(name);
    std::fs::copy(from, f.path(name)).unwrap();
}

#[test]
fn levels_pixel_sizes_and_coordinates() {
    let f = folder();
    f.unet("m3.safetensors", json!({ "width": 2, "depth": 1, "padding": "same", "in_channels": 3 }), |_| ());
    ["aperio.svs", "geo.tif", "imagej.tif"].iter().for_each(|name| calibrated(&f, name));
    let segment = |args: &[&str]| f.run(&[&["segment"], args, &CPU[..], &["-o", "out/", "--json"]].concat());
    let r = segment(&["aperio.svs", "-m", "m3.safetensors", "--level", "1", "--save", "mask,csv"]);
    assert_eq!(r.code, 0, "{}", r.stderr);
    let line: Value = serde_json::from_str(&r.stdout).unwrap();
    assert_eq!((&line["width"], &line["height"], &line["level"]), (&json!(48), &json!(32), &json!(1)));
    assert_eq!(line["pixel_size_um"], json!([0.998, 0.998]));
    let table = std::fs::read_to_string(f.path("out/aperio_objects.csv")).unwrap();
    assert!(table.lines().next().unwrap().contains(",area_um2,centroid_x_um,"), "{table}");
    let e = f.error(&["segment", "aperio.svs", "-m", "m3.safetensors", "--level", "3"]);
    assert!(e.contains("aperio.svs: has levels 0 to 2 (96x64, 48x32, 24x16), there is no level 3"), "{e}");
    // Reading one plane of a stack gives a note, unless a page is chosen.
    let unread =
        "imagej.tif has 3 pages; page 0 is used (--page all for every page, --page stack for one TIFF of them)";
    let stderr = |args: &[&str]| {
        let output = f.command(&[&["segment", "imagej.tif", "-m", "m.safetensors"], args, &CPU[..]].concat()).output();
        String::from_utf8(output.unwrap().stderr).unwrap()
    };
    assert!(stderr(&[]).contains(unread) && !stderr(&["--page", "0"]).contains(unread));
    // World coordinates of a georeferenced image.
    let world = ["--save", "geojson", "--coordinates", "world", "-m", "m.safetensors"];
    assert_eq!(segment(&[&["geo.tif"][..], &world].concat()).code, 0);
    let outlines = std::fs::read_to_string(f.path("out/geo_contours.geojson")).unwrap();
    assert!(outlines.contains("urn:ogc:def:crs:EPSG::32632"), "{outlines}");
    let e = f.error(&[&["segment", "imagej.tif"][..], &world].concat());
    assert!(e.contains("imagej.tif: has no world coordinates (it is not georeferenced)"), "{e}");
    // Nothing else has coordinates, so that nothing is missing.
    let without = "--coordinates world has no effect without --save geojson or csv";
    for save in ["overlay", "overlay,labels"] {
        let args =
            ["imagej.tif", "--save", save, "--overlay", "instances", "--coordinates", "world", "-m", "m.safetensors"];
        let r = f.run(&[&["segment", "-o", "world"][..], &args, &CPU].concat());
        assert!(r.code == 0 && r.stderr.contains(without), "{save}: {}", r.stderr);
    }
    let r = segment(&["geo.tif", "-m", "m.safetensors", "--save", "csv", "--pixel-size", "2x4"]);
    assert_eq!(serde_json::from_str::<Value>(&r.stdout).unwrap()["pixel_size_um"], json!([2.0, 4.0]));
}

#[test]
fn images_are_inspected() {
    let f = folder();
    let names = ["pyramid.ome.tif", "geo.tif", "imagej.tif"];
    names.iter().for_each(|name| calibrated(&f, name));
    let inspect = |name: &str| -> Value {
        let r = f.run(&["inspect", name, "--json"]);
        assert_eq!(r.code, 0, "{name}: {}", r.stderr);
        serde_json::from_str(&r.stdout).unwrap()
    };
    let ome = inspect("pyramid.ome.tif");
    assert_eq!((&ome["format"], &ome["page_count"]), (&json!("TIFF (OME)"), &json!(1)));
    let page = &ome["pages"][0];
    assert_eq!(page["levels"], json!([[80, 48], [40, 24], [20, 12]]));
    assert_eq!((&page["channels"], &page["channel_names"]), (&json!(2), &json!(["DAPI", "GFP"])));
    assert_eq!((&page["sample"], &page["layout"]), (&json!("uint16"), &json!("tiles of 16x16")));
    assert_eq!(page["pixel_size_um"]["x"], json!(0.25));
    let geo = inspect("geo.tif");
    assert_eq!(geo["pages"][0]["georeference"]["epsg"], json!(32632));
    assert_eq!(geo["no_pages"].as_array().unwrap().len(), 2);
    assert_eq!((&inspect("imagej.tif")["page_count"], &geo["read_as"]["width"]), (&json!(3), &json!(41)));
    let text = f.run(&["inspect", "imagej.tif"]).stdout;
    assert!(text.contains("pages 0 to 2, each") && text.contains("planes 2 µm apart"), "{text}");
    // Other files are inspected as models.
    assert!(f.run(&["inspect", "m.safetensors"]).stdout.contains("architecture"));
    std::fs::write(f.path("cut.png"), b"\x89PNG\r\n\x1a\n\0\0").unwrap();
    assert!(f.run(&["inspect", "cut.png"]).stdout.contains("not read"));
}
