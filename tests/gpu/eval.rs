//! The command line of `unet eval`. `--device cpu`: no GPU is needed.

use crate::folder::Folder;
use image::{GrayImage, Luma};
use serde_json::{Value, json};

const CPU: [&str; 2] = ["--device", "cpu"];

/// A data set of two images whose masks are the predictions of the small model `m.safetensors`.
fn perfect() -> Folder {
    let f = Folder::new();
    f.unet("m.safetensors", json!({ "width": 2, "depth": 1, "padding": "same" }), |_| {});
    for folder in ["images", "masks"] {
        std::fs::create_dir_all(f.path("data").join(folder)).unwrap();
    }
    for name in ["data/images/a.png", "data/images/b.png"] {
        f.image(name);
    }
    let r = f.run(&[
        "segment",
        "data/images",
        "-m",
        "m.safetensors",
        "-o",
        "data/masks",
        "--save",
        "mask",
        "--device",
        "cpu",
    ]);
    assert_eq!(r.code, 0, "{}", r.stderr);
    f
}

fn eval<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["eval", "-m", "m.safetensors", "--data", "data"].into_iter().chain(CPU).chain(more.iter().copied()).collect()
}

#[test]
fn a_model_agrees_with_its_own_masks() {
    let f = perfect();
    let r = f.run(&eval(&["--objects", "components", "--em", "--csv", "out/scores.csv", "--json"]));
    assert_eq!(r.code, 0, "{}", r.stderr);
    let d: Value = serde_json::from_str(&r.stdout).unwrap();
    let foreground = &d["classes"][1];
    assert_eq!(
        (&foreground["dice"], &foreground["iou"], &foreground["occurs"]),
        (&json!(1.0), &json!(1.0), &json!(true))
    );
    assert_eq!(
        (&d["mean_iou"], &d["pixel_error"], &d["instances"]["mean_ap"]),
        (&json!(1.0), &json!(0.0), &json!(1.0))
    );
    assert_eq!((&d["instances"]["true"], &d["instances"]["v_rand"]), (&d["instances"]["predicted"], &json!(1.0)));
    assert!(d["instances"]["true"].as_u64().unwrap() > 1 && d["em"]["warping_error"] == 0.0, "{d}");
    assert_eq!((d["images"].as_array().unwrap().len(), &d["images"][1]["name"]), (2, &json!("b")));
    let csv = std::fs::read_to_string(f.path("out/scores.csv")).unwrap();
    let lines: Vec<Vec<&str>> = csv.lines().map(|l| l.split(',').collect()).collect();
    assert_eq!((lines.len(), &lines[1][..5]), (3, &["a", "24", "20", "0", "1"][..]));
    assert!(lines.iter().all(|l| l.len() == lines[0].len()) && lines[0].contains(&"ap@0.9"), "{csv}");
}

#[test]
fn the_table_shows_errors() {
    let f = perfect();
    // Changes one of 480 pixels in one of two images.
    let mut mask: GrayImage = image::open(f.path("data/masks/b_mask.png")).unwrap().into_luma8();
    let old = mask.get_pixel(3, 4).0[0];
    mask.put_pixel(3, 4, Luma([255 - old]));
    mask.save(f.path("data/masks/b_mask.png")).unwrap();
    let r = f.run(&eval(&[]));
    assert_eq!(r.code, 0, "{}", r.stderr);
    assert!(r.stdout.contains("pixel error 0.0010, 2 images"), "{}", r.stdout);
    assert!(!r.stdout.contains("instances"), "there are no labels: {}", r.stdout);
    let only_a = f.run(&eval(&["--every", "2"]));
    assert!(only_a.stdout.contains("pixel error 0.0000, 1 images"), "{}", only_a.stdout);
}

#[test]
fn bad_data_is_named() {
    let f = perfect();
    let mask = f.path("data/masks/b_mask.png");
    let error = |more: &[&str]| f.error(&eval(more)).replace('\\', "/");
    GrayImage::from_pixel(24, 20, Luma([7])).save(&mask).unwrap();
    let class = "data/masks/b_mask.png: class 7 at column 0, row 0; there are 2: 0 to 1, or only 0 and 255";
    assert_eq!(error(&[]), class);
    GrayImage::new(24, 21).save(&mask).unwrap();
    assert_eq!(error(&[]), "data/masks/b_mask.png: has 24x21 pixels, but data/images/b.png has 24x20");
    std::fs::write(&mask, "text").unwrap();
    assert_eq!(
        error(&[]),
        "data/masks/b_mask.png: not an image in a known format (PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000, TIFF or NPY)"
    );
    std::fs::remove_file(&mask).unwrap();
    assert_eq!(
        error(&[]),
        "data/images/b.png: has no mask: there is no data/masks/b; the nearest file there is a_mask.png"
    );
    assert!(f.error(&["eval", "--data", "none"]).contains("none: no such folder"));
    assert!(f.error(&["eval", "--data", "data/masks"]).contains("holds no folder `images`"));
}

#[test]
fn bad_options_are_errors() {
    let f = perfect();
    assert_eq!(f.error(&eval(&["--iou", "0.5,1"])), "IoU threshold: 1 is not in [0, 1)");
    assert_eq!(f.error(&eval(&["--object-class", "2"])), "instance class: 2 does not exist, there are 2");
    assert!(f.error(&eval(&["--csv", "data"])).contains("data: cannot be written: it is a folder"));
    f.usage(&eval(&["--connectivity", "6"]), "expected 4 or 8");
    f.usage(&["eval"], "--data");
}
