//! `unet` on OME-Zarr.

use crate::folder::Folder;
use image::{ImageBuffer, Luma};
use serde_json::{Value, json};
use unet_wgpu::low_level::infer::{LabelMap, OpenOptions, Pixels, read_image};

const CPU: [&str; 4] = ["--device", "cpu", "-m", "m.safetensors"];

/// The fixtures, and a small network.
fn folder() -> Folder {
    let f = Folder::new();
    f.unet("m.safetensors", json!({ "width": 2, "depth": 1, "padding": "same" }), |_| ());
    let zip = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/fixtures/zarr.zip");
    zip::ZipArchive::new(std::fs::File::open(zip).unwrap()).unwrap().extract(f.path(".")).unwrap();
    f
}

/// The pixels of an image as a PNG file of 16 bits.
fn png(f: &Folder, from: &str, to: &str) {
    let (image, _) = read_image(f.path(from), &OpenOptions::default()).unwrap();
    let Pixels::U16(pixels) = image.pixels() else { panic!("16 bits") };
    let (w, h) = (image.width() as u32, image.height() as u32);
    ImageBuffer::<Luma<u16>, _>::from_raw(w, h, pixels.clone()).unwrap().save(f.path(to)).unwrap();
}

#[test]
fn results_are_those_of_the_same_image_in_a_file() {
    let f = folder();
    for name in ["v2_blosclz", "v3_sharded"] {
        let (zarr, file) = (format!("{name}.zarr"), format!("{name}.png"));
        png(&f, &zarr, &file);
        // Whatever the random network says, there is an instance.
        let save = ["--save", "mask,labels,ome-zarr,csv", "--threshold", "0"];
        let line = |input: &str| {
            [&["segment", input], &CPU[..], &save].concat().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let run = |input: &str| f.run(&line(input).iter().map(String::as_str).collect::<Vec<_>>());
        let of_file = run(&file);
        assert_eq!(of_file.code, 0, "{}", of_file.stderr);
        let read = |path: &str| std::fs::read(f.path(path)).unwrap();
        let labels = |path: String| LabelMap::open(f.path(&path)).unwrap();
        let (mask, expected) = (read(&format!("{name}_mask.png")), labels(format!("{name}_labels.tif")));
        assert!(expected.labels().iter().any(|&l| l > 0));
        assert_eq!(labels(format!("{name}_labels.ome.zarr")), expected);
        let of_zarr = run(&zarr);
        assert_eq!(of_zarr.code, 0, "{}", of_zarr.stderr);
        assert_eq!(read(&format!("{name}_mask.png")), mask);
        assert_eq!(labels(format!("{name}_labels.tif")), expected);
        assert_eq!(labels(format!("{zarr}/labels/unet")), expected);
        // Again: what is ours is replaced, or skipped on request.
        let again = f.run(&[&["segment", &zarr, "--json", "--skip-existing"], &CPU[..], &save].concat());
        assert!(again.code == 0 && again.stdout.contains("\"skipped\":true"), "{}{}", again.stdout, again.stderr);
        assert_eq!(run(&zarr).code, 0);
    }
}

#[test]
fn plates_and_folders_are_images() {
    let f = folder();
    let r = f.run(&[&["segment", "plate.zarr", "--save", "mask,ome-zarr", "--json"], &CPU[..]].concat());
    assert_eq!(r.code, 0, "{}", r.stderr);
    for field in ["A/1/0", "A/1/1", "B/2/0"] {
        let mask = format!("plate_{}_mask.png", field.replace('/', "_"));
        assert!(
            f.path(&mask).is_file() && f.path(&format!("plate.zarr/{field}/labels/unet/.zattrs")).is_file(),
            "{field}"
        );
    }
    let r = f.run(&[&["segment", "plate.zarr/?/*/0", "-o", "out", "--save", "ome-zarr"], &CPU[..]].concat());
    assert_eq!(r.code, 0, "{}", r.stderr);
    assert!(f.path("out/plate_B_2_0_labels.ome.zarr").is_dir());
    std::fs::create_dir(f.path("in")).unwrap();
    for name in ["plate.zarr", "v3_none.zarr"] {
        std::fs::rename(f.path(name), f.path(&format!("in/{name}"))).unwrap();
    }
    let r = f.run(&[&["segment", "in", "-o", "all", "--save", "mask", "--json"], &CPU[..]].concat());
    assert_eq!((r.code, r.stdout.lines().count()), (0, 4), "{}", r.stderr);
    assert!(!r.stderr.contains("not searched"), "{}", r.stderr);
}

#[test]
fn inspect_describes_it() {
    let f = folder();
    let r = f.run(&["inspect", "levels_04.zarr", "--json"]);
    let v: Value = serde_json::from_str(&r.stdout).unwrap();
    assert_eq!(v["format"], "OME-Zarr (Zarr 2)");
    assert_eq!(v["pages"][0]["levels"], json!([[53, 41], [27, 21], [14, 11]]));
    assert_eq!(v["pages"][0]["channel_names"], json!(["DAPI", "GFP"]));
    assert_eq!(v["pages"][0]["pixel_size_um"]["source"], "OME-Zarr's scale");
    let r = f.run(&["inspect", "plate.zarr"]);
    assert!(r.code == 0 && r.stdout.contains("images        3: A/1/0, A/1/1, B/2/0\n"), "{}{}", r.stdout, r.stderr);
    assert!(r.stdout.contains("image         plate.zarr/A/1/0\n"), "{}", r.stdout);
    let v: Value = serde_json::from_str(&f.run(&["inspect", "plate.zarr", "--json"]).stdout).unwrap();
    assert_eq!((&v["image_count"], &v["images"][2]), (&json!(3), &json!("plate.zarr/B/2/0")));
    let first: Value = serde_json::from_str(&f.run(&["inspect", "plate.zarr/A/1/0", "--json"]).stdout).unwrap();
    assert!(v["first"] == first && first["page_count"].is_number());
}

#[test]
fn a_plate_is_evaluated() {
    let f = folder();
    std::fs::create_dir_all(f.path("set/images")).unwrap();
    std::fs::rename(f.path("plate.zarr"), f.path("set/images/plate.zarr")).unwrap();
    // Whatever the random network says, it is what the ground truth says.
    let more = ["-o", "set/labels", "--save", "labels", "--threshold", "0"];
    let r = f.run(&[&["segment", "set/images/plate.zarr"], &CPU[..], &more].concat());
    assert_eq!(r.code, 0, "{}", r.stderr);
    let eval = || f.run(&[&["eval", "--data", "set", "--threshold", "0", "--json"], &CPU[..]].concat());
    let r = eval();
    assert_eq!(r.code, 0, "{}", r.stderr);
    let v: Value = serde_json::from_str(&r.stdout).unwrap();
    let names: Vec<&Value> = v["images"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
    assert_eq!(names, ["plate_A_1_0", "plate_A_1_1", "plate_B_2_0"]);
    assert_eq!(v["instances"]["mean_ap"], json!(1.0), "{v}");
    // A field without ground truth.
    std::fs::remove_file(f.path("set/labels/plate_A_1_1_labels.tif")).unwrap();
    let r = eval();
    assert!(r.code == 1 && r.stderr.contains("plate_A_1_1"), "{}", r.stderr);
}

#[test]
fn what_is_foreign_is_kept() {
    let f = folder();
    let into = |out: &str, more: &[&str]| {
        f.run(&[&["segment", "v2_blosclz.zarr", "--save", "ome-zarr", "-o", out], &CPU[..], more].concat())
    };
    let r = into("v3_none.zarr", &[]);
    assert!(r.code != 0 && r.stderr.contains("exists and is no result of this program"), "{}", r.stderr);
    let r = into("v3_none.zarr", &["--overwrite"]);
    assert!(r.code != 0 && r.stderr.contains("it is not replaced"), "{}", r.stderr);
    let r = into("v2_blosclz.zarr/labels/nuclei", &[]);
    assert_eq!(r.code, 0, "{}", r.stderr);
    let list = std::fs::read_to_string(f.path("v2_blosclz.zarr/labels/.zattrs")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&list).unwrap(), json!({ "labels": ["nuclei"] }));
}
