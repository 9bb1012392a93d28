//! Ground ground truth as users have it, through `unet eval` and `unet train`.

use crate::folder::Folder;
use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::{Value, json};
use unet_wgpu::infer::LabelMap;
use unet_wgpu::testing::gpu_or_skip;

/// A model of four classes, and three images.
fn four_classes() -> Folder {
    let f = Folder::new();
    f.unet("m.safetensors", json!({ "width": 2, "depth": 1, "padding": "same", "out_channels": 4 }), |_| {});
    std::fs::create_dir_all(f.path("data/images")).unwrap();
    std::fs::create_dir_all(f.path("data/masks")).unwrap();
    for name in ["a", "b", "c"] {
        f.image(&format!("data/images/{name}.png"));
    }
    f
}

fn eval<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["eval", "-m", "m.safetensors", "--data", "data", "--device", "cpu"]
        .into_iter()
        .chain(more.iter().copied())
        .collect()
}

fn json_of(f: &Folder, more: &[&str]) -> Value {
    let r = f.run(&eval(&[more, &["--json"]].concat()));
    assert_eq!(r.code, 0, "{}", r.stderr);
    serde_json::from_str(&r.stdout).unwrap()
}

/// Dice of a class: `2 |P n T| / (|P| + |T|)`; none of nothing. Written down anew, as one would in numpy.
fn dice(pred: &[u32], ground_truth: &[u32], class: u32) -> Option<f64> {
    let count = |m: &[u32]| m.iter().filter(|&&v| v == class).count();
    let both = pred.iter().zip(ground_truth).filter(|(p, t)| **p == class && **t == class).count();
    let sum = count(pred) + count(ground_truth);
    (sum > 0).then(|| 2.0 * both as f64 / sum as f64)
}

#[test]
fn absent_classes_do_not_count_as_right() {
    let f = four_classes();
    let r = f.run(&["segment", "data/images/a.png", "-m", "m.safetensors", "-o", "p.png", "--device", "cpu"]);
    assert_eq!(r.code, 0, "{}", r.stderr);
    let pred = LabelMap::open(f.path("p.png")).unwrap().into_labels();
    // Every image is the same, so is the prediction; of the masks one is empty.
    let truths: Vec<Vec<u32>> =
        [0u32, 2, 3].map(|n| (0..480).map(|i| if n > 0 && i % 7 < 3 { n - 1 } else { 0 }).collect()).into();
    for (name, ground_truth) in ["a", "b", "c"].iter().zip(&truths) {
        let mask = GrayImage::from_fn(24, 20, |x, y| Luma([ground_truth[(y * 24 + x) as usize] as u8]));
        mask.save(f.path(&format!("data/masks/{name}.png"))).unwrap();
    }
    let d = json_of(&f, &["--csv", "scores.csv"]);
    let near = |value: &Value, expected: f64| {
        assert!((value.as_f64().unwrap() - expected).abs() < 1e-12, "{value} {expected}")
    };
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mut present, mut all) = (Vec::new(), Vec::new());
    for ground_truth in &truths {
        let scores: Vec<_> = (1..4).map(|c| dice(&pred, ground_truth, c)).collect();
        let found: Vec<f64> = scores.iter().flatten().copied().collect();
        present.extend((!found.is_empty()).then(|| mean(&found)));
        all.push(mean(&scores.iter().map(|s| s.unwrap_or(1.0)).collect::<Vec<_>>()));
    }
    near(&d["mean_dice"], mean(&present));
    near(&d["mean_dice_all"], mean(&all));
    for (class, entry) in d["classes"].as_array().unwrap().iter().enumerate() {
        let scores: Vec<_> = truths.iter().map(|t| dice(&pred, t, class as u32)).collect();
        let found: Vec<f64> = scores.iter().flatten().copied().collect();
        match found.is_empty() {
            true => {
                assert!(entry["dice"].is_null() && entry["mean_dice"].is_null() && entry["occurs"] == false, "{entry}")
            }
            false => near(&entry["mean_dice"], mean(&found)),
        }
        near(&entry["mean_dice_all"], mean(&scores.iter().map(|s| s.unwrap_or(1.0)).collect::<Vec<_>>()));
    }
    let csv = std::fs::read_to_string(f.path("scores.csv")).unwrap();
    assert!(
        csv.starts_with("name,width,height,pixel_error,mean_dice,mean_dice_all,mean_iou,mean_iou_all,dice."),
        "{csv}"
    );
    let r = f.run(&eval(&[]));
    assert!(r.stdout.contains("absent as 1") && r.stdout.contains("present in"), "{}", r.stdout);
    assert!(r.stderr.contains("ground truth: masks/ as class ids"), "{}", r.stderr);
}

#[test]
fn masks_in_colour_need_a_table() {
    let f = four_classes();
    let grey = |x: u32, y: u32| (x / 4 + y / 5) % 3;
    for name in ["a", "b", "c"] {
        GrayImage::from_fn(24, 20, |x, y| Luma([grey(x, y) as u8]))
            .save(f.path(&format!("data/masks/{name}.png")))
            .unwrap();
    }
    let expected = json_of(&f, &[]);
    let colours = [Rgb([0, 0, 0]), Rgb([255, 0, 0]), Rgb([0, 128, 255])];
    for name in ["a", "b", "c"] {
        let mask = RgbImage::from_fn(24, 20, |x, y| colours[grey(x, y) as usize]);
        mask.save(f.path(&format!("data/masks/{name}.png"))).unwrap();
    }
    let e = f.error(&eval(&[]));
    assert!(e.contains("data/masks/a.png: holds 3 colours and no ids ("), "{e}");
    // What the hint says can be given back as it is.
    let table = e.split("colours = ").nth(1).unwrap().split(" (in [data]").next().unwrap().to_string();
    assert!(table.contains("\"#000000\" = 0") && table.contains("\"#0080ff\" = "), "{table}");
    json_of(&f, &["--colours", &table]);
    let got = json_of(&f, &["--colours", "#000000=0,#f00=1,#0080ff=2"]);
    assert_eq!((&got["confusion"], &got["mean_dice"]), (&expected["confusion"], &expected["mean_dice"]));
    let e = f.error(&eval(&["--colours", "#000000=0,#f00=1"]));
    assert!(e.contains("the colour #0080ff at column 8, row 0; `colours` has no id for it"), "{e}");
    f.usage(&eval(&["--colours", "red=1"]), "`red` is not a colour such as #ff0000");
}

#[test]
fn the_kind_of_numbers_can_be_said() {
    let f = four_classes();
    std::fs::rename(f.path("data/masks"), f.path("data/labels")).unwrap();
    for name in ["a", "b", "c"] {
        GrayImage::from_fn(24, 20, |x, _| Luma([(x / 6) as u8]))
            .save(f.path(&format!("data/labels/{name}_seg.png")))
            .unwrap();
    }
    let e = f.error(&eval(&[]));
    assert!(e.contains("of which of 4 classes") && e.contains("--ground-truth classes"), "{e}");
    let r = f.run(&eval(&["--ground-truth", "classes"]));
    assert!(r.code == 0 && r.stderr.contains("ground truth: labels/ as class ids"), "{}", r.stderr);
    let ignored = json_of(&f, &["--ground-truth", "classes", "--ignore", "0"]);
    let pixels: u64 = ignored["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|r| r.as_array().unwrap())
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(pixels, 3 * 18 * 20, "a class that is to be ignored is none");
}

/// Discs on noise, with masks by `value` of the image and of whether a pixel is inside.
fn discs(value: impl Fn(usize, bool) -> u8) -> Folder {
    let f = Folder::new();
    for folder in ["images", "masks"] {
        std::fs::create_dir_all(f.path("data").join(folder)).unwrap();
    }
    for i in 0..4 {
        let inside = move |x: u32, y: u32| (x as f32 - 12.0 - 4.0 * i as f32).hypot(y as f32 - 16.0) < 8.0;
        let grey = |x, y| if inside(x, y) { 170 } else { 40 } + ((x * 37 + y * 91) % 60) as u8;
        GrayImage::from_fn(32, 32, |x, y| Luma([grey(x, y)])).save(f.path(&format!("data/images/{i}.png"))).unwrap();
        let mask = GrayImage::from_fn(32, 32, |x, y| Luma([value(i, inside(x, y))]));
        mask.save(f.path(&format!("data/masks/{i}.png"))).unwrap();
    }
    f
}

fn train<'a>(classes: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let network = ["--arch", "unet", "--width", "2", "--depth", "1", "--padding", "same", "--set", classes];
    let run = [
        "train",
        "--out",
        "run",
        "--data",
        "data",
        "--steps",
        "1",
        "--eval-every",
        "1",
        "--crop",
        "32",
        "--batch",
        "1",
    ];
    run.into_iter().chain(network).chain(more.iter().copied()).collect()
}

#[test]
fn what_is_wrong_with_ground_truth_is_said_before_training() {
    if gpu_or_skip().is_none() {
        return;
    }
    let said = |f: &Folder, classes| {
        let r = f.run(&train(classes, &[]));
        assert_eq!(r.code, 0, "{}", r.stderr);
        let before = r.stderr.split("step 1: loss").next().unwrap().to_string();
        std::fs::remove_dir_all(f.path("run")).ok();
        before
    };
    let good = said(&discs(|_, inside| 255 * u8::from(inside)), "out_channels=2");
    assert!(good.contains("ground truth: masks/ as class ids") && !good.contains("warning: "), "{good}");
    assert!(good.contains("class 1: 1") && good.contains("% of pixels, in 3 of 3; to validate on"), "{good}");
    let empty = said(&discs(|_, _| 0), "out_channels=2");
    assert!(empty.contains("warning: all 3 training masks are empty"), "{empty}");
    let full = said(&discs(|_, _| 1), "out_channels=2");
    assert!(full.contains("warning: every pixel of all 3 training masks is of class 1"), "{full}");
    let absent = discs(|_, inside| u8::from(inside));
    assert!(said(&absent, "out_channels=4").contains("warning: no training mask has a pixel of class 2, class 3"));
    let white = discs(|_, inside| 255 * u8::from(inside));
    let e = white.error(&train("out_channels=3", &[]));
    assert!(e.contains("class 255 at column") && e.contains("black and white, of two classes, not 3"), "{e}");
    assert!(e.ends_with("ignore = 255"), "{e}");

    // Nothing to be found and nothing found is no Dice, not a perfect one.
    let r = absent.run(&train("out_channels=2", &[]));
    assert_eq!(r.code, 0, "{}", r.stderr);
    let line = std::fs::read_to_string(absent.path("run/metrics.jsonl")).unwrap().lines().last().unwrap().to_string();
    let numbers: Value = serde_json::from_str(&line).unwrap();
    assert!(numbers["dice"].is_f64() && numbers["dice_all"].is_f64() && numbers["iou_all"].is_f64(), "{line}");
}

#[test]
fn colours_and_negative_numbers_reach_training() {
    if gpu_or_skip().is_none() {
        return;
    }
    let f = discs(|_, _| 0);
    for i in 0..4 {
        let mask = RgbImage::from_fn(32, 32, |x, _| if x < 20 { Rgb([255, 0, 0]) } else { Rgb([1, 2, 3]) });
        mask.save(f.path(&format!("data/masks/{i}.png"))).unwrap();
    }
    let e = f.error(&train("out_channels=2", &[]));
    let table = e.split("as in: ").nth(1).unwrap().split(" (in [data]").next().unwrap();
    f.write("run.toml", format!("[data]\n{table}\n"));
    let r = f.run(&train("out_channels=2", &["--config", "run.toml"]));
    assert!(r.code == 0 && r.stderr.contains("class 0: 62.50% of pixels"), "{}", r.stderr);
    let config = std::fs::read_to_string(f.path("run/config.toml")).unwrap();
    assert!(config.contains("[data.colours]") && config.contains("\"#ff0000\" = 0"), "{config}");

    // int32 TIFF, as tifffile writes it, with -1 for what nobody knows.
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/labels/minus_one.tif");
    let (f, known) = (four_classes(), "--ignore=-1");
    for name in ["a", "b", "c"] {
        GrayImage::new(9, 7).save(f.path(&format!("data/images/{name}.png"))).unwrap();
        std::fs::copy(&fixture, f.path(&format!("data/masks/{name}.tif"))).unwrap();
    }
    let e = f.error(&eval(&[]));
    assert!(e.contains("a.tif: holds the value -1 at column 2, row 0") && e.ends_with("say ignore = -1"), "{e}");
    let d = json_of(&f, &[known]);
    let pixels: u64 = d["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|r| r.as_array().unwrap())
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(pixels, 3 * 62);
}
