//! The command line of `unet train`, on a data set of seven small images of discs.

use crate::folder::Folder;
use image::{GrayImage, Luma};
use safetensors::SafeTensors;
use serde_json::Value;
use unet_wgpu::testing::gpu_or_skip;

const NETWORK: [&str; 8] = ["--arch", "unet", "--width", "4", "--depth", "2", "--padding", "same"];
const SIZE: [&str; 4] = ["--crop", "32", "--batch", "2"];

/// A data set `data`; `None` without a GPU.
fn discs() -> Option<Folder> {
    gpu_or_skip()?;
    let f = Folder::new();
    for folder in ["images", "masks"] {
        std::fs::create_dir_all(f.path("data").join(folder)).unwrap();
    }
    for i in 0..7 {
        let inside = move |x: u32, y: u32| (x as f32 - 20.0 - 4.0 * i as f32).hypot(y as f32 - 30.0) < 14.0;
        let grey = |x, y| if inside(x, y) { 170 } else { 40 } + ((x * 37 + y * 91 + x * y) % 60) as u8;
        GrayImage::from_fn(64, 64, |x, y| Luma([grey(x, y)])).save(f.path(&format!("data/images/{i}.png"))).unwrap();
        mask(&f, i, 64, |x, y| u8::from(inside(x, y)));
    }
    Some(f)
}

fn mask(f: &Folder, i: usize, width: u32, value: impl Fn(u32, u32) -> u8) {
    GrayImage::from_fn(width, 64, |x, y| Luma([value(x, y)])).save(f.path(&format!("data/masks/{i}.png"))).unwrap();
}

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["train", "--out", "run"].into_iter().chain(more.iter().copied()).collect()
}

/// All elements of a checkpoint.
fn numbers(f: &Folder, name: &str) -> Vec<f32> {
    let bytes = std::fs::read(f.path(name)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let number = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap());
    tensors.tensors().iter().flat_map(|(_, t)| t.data().chunks_exact(4).map(number).collect::<Vec<_>>()).collect()
}

#[test]
fn a_network_is_trained_and_used() {
    let Some(f) = discs() else { return };
    let short = ["--data", "data", "--steps", "40", "--eval-every", "20", "--lr", "0.01", "--json"];
    let r = f.run(&train(&[&short[..], &NETWORK, &SIZE].concat()));
    assert_eq!(r.code, 0, "{}", r.stderr);
    let messages = ["the network takes 1 channel; images: 7 grey", "6 images to train on, 1 to validate on"];
    assert!(messages.iter().all(|part| r.stderr.contains(part)), "{}", r.stderr);
    for part in ["on the device", "6 images to train on, 1 to validate on", "step 20: loss", "step 40: loss", "best"] {
        assert!(r.stderr.contains(part), "{part}: {}", r.stderr);
    }
    assert_eq!(r.stderr.lines().filter(|l| l.starts_with("device: ")).count(), 1, "{}", r.stderr);
    let d: Value = serde_json::from_str(&r.stdout).unwrap();
    assert_eq!((&d["outcome"], &d["steps"], &d["out"]), (&"finished".into(), &40.into(), &"run".into()));
    let dice = d["scores"]["dice"].as_f64().unwrap();
    assert!(dice > 0.8, "{d}");
    let [steps, waiting] = ["steps", "waiting_for_crops"].map(|part| d["seconds"][part].as_f64().unwrap());
    assert!(steps > 0.0 && (0.0..=steps).contains(&waiting) && r.stderr.contains(" of it waiting for crops"), "{d}");
    let config = std::fs::read_to_string(f.path("run/config.toml")).unwrap();
    assert!(config.contains("steps = 40") && config.contains("depth = 2"), "{config}");
    assert!(f.path("run/metrics.csv").is_file() && f.path("run/last.safetensors").is_file());

    // The best model is self-contained.
    let r = f.run(&["segment", "data/images/3.png", "-m", "run/best.safetensors", "-o", "m.png", "--device", "cpu"]);
    assert_eq!(r.code, 0, "{}", r.stderr);
    let made = image::open(f.path("m.png")).unwrap().into_luma8();
    let ground_truth = image::open(f.path("data/masks/3.png")).unwrap().into_luma8();
    let right = made.pixels().zip(ground_truth.pixels()).filter(|(a, b)| (a.0[0] > 0) == (b.0[0] > 0)).count();
    assert!(right as f64 > 0.93 * (64.0 * 64.0), "{right} of 4096 pixels, dice {dice}");

    // An existing run is not overwritten.
    let before = std::fs::read(f.path("run/last.safetensors")).unwrap();
    let again = f.error(&train(&["--config", "run/config.toml", "--steps", "1"]));
    assert!(again.contains("last.safetensors: there is a run here") && again.contains("--resume"), "{again}");
    assert_eq!(std::fs::read(f.path("run/last.safetensors")).unwrap(), before);
}

#[test]
fn bad_options_are_one_line() {
    let Some(f) = discs() else { return };
    std::fs::create_dir_all(f.path("empty")).unwrap();
    std::fs::create_dir_all(f.path("bare/images")).unwrap();
    f.write("key.toml", "seed = 1\nstepz = 3\n");
    f.write("inner.toml", "[optimiser]\nlearning_rate = 3\n");
    f.write("cut.toml", "steps = [");
    f.write("loss.toml", "[loss]\nname = \"lovasz\"\n");
    f.write("monitor.toml", "monitor = \"f1\"\n[data]\nfolder = \"data\"\n");
    let data = ["--data", "data"];
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["--data: is missing"]),
        (&["--data", "none"], &["none: no such folder"]),
        (&["--data", "empty"], &["empty: holds no folder `images`"]),
        (&["--data", "bare"], &["bare/images: holds no image"]),
        (&["--data", "data", "--validation", "empty"], &["empty: holds no folder `images`"]),
        (&["--config", "none.toml"], &["none.toml"]),
        (&["--config", "key.toml"], &["key.toml: line 2: ", "stepz"]),
        (&["--config", "inner.toml"], &["inner.toml: line 2: ", "learning_rate"]),
        (&["--config", "cut.toml"], &["cut.toml: line 1: "]),
        (&["--config", "loss.toml"], &["loss.toml: line ", "lovasz"]),
        (&["--config", "monitor.toml"], &["data: has no labels/", "f1"]),
        (&["--data", "data", "--crop", "50"], &["crop: 50 does not fit U-Net: take 48 or 52"]),
        (&["--data", "data", "--batch", "0"], &["batch: 0 is not from 1"]),
        (&["--data", "data", "--lr", "nan"], &["optimiser: ", "NaN"]),
        (&["--data", "data", "--memory", "64K"], &["a training step on 1 crops of 128x128 pixels", "MiB"]),
        (&["--data", "data", "--init", "none.safetensors"], &["none.safetensors"]),
        (
            &["--data", "data", "--init", "nuclei", "--init-set", "up=bilinear"],
            &["--set up: nuclei has its own configuration"],
        ),
        (&["--resume"], &["run: holds no run to resume"]),
        (&["--resume", "--data", "data"], &["run: holds no run to resume"]),
        (&["--data", "data", "--device", "cpu"], &["device cpu: "]),
    ];
    for (args, parts) in cases {
        let line = f.error(&train(&[args, &NETWORK[..]].concat()));
        assert!(parts.iter().all(|p| line.contains(p)), "{args:?}: {parts:?} are not all in: {line}");
    }
    let line = f.error(&train(&[&data[..], &["--arch", "unet9"]].concat()));
    assert!(line.contains("unet9"), "{line}");
}

/// A run never begins at random where the weights of a model were asked for.
#[test]
fn a_model_to_begin_with_must_fit() {
    let Some(f) = discs() else { return };
    let short = ["--data", "data", "--steps", "1", "--quiet", "--json"];
    let r = f.run(&[&["train", "--out", "base"][..], &short, &NETWORK, &SIZE].concat());
    assert_eq!(r.code, 0, "{}", r.stderr);
    let init = ["--init", "base/last.safetensors"];
    let wider = ["--arch", "unet", "--width", "16", "--depth", "2", "--padding", "same"];
    let e = f.error(&train(&[&short[..], &init, &wider, &SIZE].concat()));
    let parts = ["base/last.safetensors: does not fit", "width is 16, there 4", "`enc.0.bn1.weight`", "[16]"];
    assert!(parts.iter().all(|p| e.contains(p)), "{e}");
    assert!(!f.path("run").exists());

    // A head for other classes is the exception, and it is said.
    let r = f.run(&train(&[&short[..], &init, &NETWORK, &["--out-channels", "3"], &SIZE].concat()));
    assert_eq!(r.code, 0, "{}", r.stderr);
    let said = &serde_json::from_str::<Value>(&r.stdout).unwrap()["findings"];
    assert!(said.to_string().contains("`head.weight`, `head.bias` begin at random"), "{said}");
}

/// Of equal scores the later network is the best.
#[test]
fn equal_scores_do_not_keep_the_first_network() {
    let Some(f) = discs() else { return };
    f.write("still.toml", "steps = 3\neval_every = 1\n[schedule]\nkind = \"constant\"\n[data]\nfolder = \"data\"\n");
    let args = ["--config", "still.toml", "--lr", "1e-12", "--set", "norm=false"];
    let r = f.run(&train(&[&args[..], &NETWORK, &SIZE].concat()));
    assert_eq!(r.code, 0, "{}", r.stderr);
    let lines: Vec<&str> = r.stderr.lines().filter(|l| l.starts_with("step ")).collect();
    let score = |line: &str| line.split("dice ").nth(1).unwrap().split(' ').next().unwrap().to_string();
    assert!(lines.len() == 3 && lines.iter().all(|l| score(l) == score(lines[0])), "{lines:?}");
    assert!(lines.iter().all(|l| l.ends_with("best so far")), "{lines:?}");
}

#[test]
fn bad_data_is_named() {
    let Some(f) = discs() else { return };
    let error = |parts: &[&str]| {
        let line = f.error(&train(&[&["--data", "data"], &NETWORK[..], &SIZE].concat()));
        assert!(parts.iter().all(|p| line.contains(p)), "{parts:?} are not all in: {line}");
    };
    // Image 3 may be in the training or the validation data.
    let third = std::fs::read(f.path("data/masks/3.png")).unwrap();
    mask(&f, 3, 60, |_, _| 0);
    error(&["data/masks/3.png: has 60x64 pixels, but data/images/3.png has 64x64"]);
    mask(&f, 3, 64, |x, y| if (x, y) == (5, 9) { 7 } else { 1 });
    error(&["data/masks/3.png: class 7 at column 5, row 9; there are 2"]);
    f.write("data/masks/3.png", &third[..third.len() / 2]);
    error(&["data/masks/3.png: ", "truncated"]);
    std::fs::remove_file(f.path("data/masks/3.png")).unwrap();
    error(&["data/images/3.png: has no mask: there is no data/masks/3"]);
    for i in 1..7 {
        std::fs::remove_file(f.path(&format!("data/images/{i}.png"))).unwrap();
    }
    error(&["data: 1 of 1 images for validation leaves none for training"]);
}

/// Ignored pixels never become background in silence.
#[test]
fn losses_that_count_every_pixel_refuse_ignored_ones() {
    let Some(f) = discs() else { return };
    for i in 0..7 {
        mask(&f, i, 64, |x, y| if x < 8 { 9 } else { u8::from(x > y) });
    }
    let run = |more: &[&str]| f.run(&train(&[&["--config", "run.toml", "--steps", "1"], &SIZE[..], more].concat()));
    let config = |loss: &str| {
        f.write("run.toml", format!("[data]\nfolder = \"data\"\nignore = 9\n[config]\nwidth = 4\ndepth = 2\n{loss}"));
    };
    config("out_channels = 1\ndeep_supervision = false\n");
    let r = run(&["--arch", "unet++"]);
    assert!(r.code == 1 && r.stderr.contains("pixels to train on are ignored"), "{}", r.stderr);
    config("padding = \"same\"\nout_channels = 2\n[loss]\nname = \"ce_dice\"\n");
    let r = run(&[]);
    assert_eq!(r.code, 0, "{}", r.stderr);
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run() {
    let Some(f) = discs() else { return };
    // Stable for four steps, after which a checkpoint is written.
    let config =
        "steps = 12\neval_every = 4\n[schedule]\nkind = \"step\"\nevery = 4\ngamma = 1e35\n[data]\nfolder = \"data\"\n";
    f.write("wild.toml", config);
    let r = f.run(&train(&[&["--config", "wild.toml"], &NETWORK[..], &SIZE].concat()));
    let lines: Vec<_> = r.stderr.lines().filter(|l| l.starts_with("error: ")).collect();
    assert!(r.code == 1 && lines.len() == 1 && r.stdout.is_empty(), "{} {} {}", r.code, r.stdout, r.stderr);
    let line = lines[0];
    let steps = ["the loss of step 6 is ", "the loss of step 7 is "];
    assert!(steps.iter().any(|s| line.contains(s)), "{line}");
    for part in ["training: ", "its crops are of ", "run/last.safetensors has the state before", "learning rate"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    // Two images, by name.
    let crops = line.split("crops are of ").nth(1).unwrap().split(';').next().unwrap();
    assert!(crops.split(", ").all(|name| name.parse::<usize>().is_ok_and(|n| n < 7)) && crops.len() == 4, "{line}");
    for name in ["run/last.safetensors", "run/best.safetensors"] {
        let numbers = numbers(&f, name);
        assert!(numbers.len() > 100 && numbers.iter().all(|v| v.abs() < 1e3), "{name}");
    }
    let names = std::fs::read_dir(f.path("run")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let left: Vec<_> = names.filter(|name| name.ends_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");

    // The first checkpoint is that of the beginning.
    f.write("wild.toml", config.replace("\nevery = 4", "\nevery = 1"));
    let wild = ["train", "--out", "wild", "--config", "wild.toml", "--lr", "1e30"];
    let r = f.run(&[&wild[..], &NETWORK, &SIZE].concat());
    assert!(r.code == 1 && r.stderr.contains("wild/last.safetensors has the state before"), "{} {}", r.code, r.stderr);
    assert!(f.path("wild/last.safetensors").exists() && !f.path("wild/best.safetensors").exists());

    // Divergence found at an evaluation, before the loss shows it: huge weights, and weights with NaN predictions.
    for (lr, why) in [("1e30", "holds the value "), ("1e12", "the network's prediction for ")] {
        let config = config.replace("\nevery = 4", "\nevery = 100").replace("eval_every = 4", "eval_every = 1");
        f.write("wild.toml", &(config + "[optimiser]\nkind = \"sgd\"\n"));
        let r =
            f.run(&[&["train", "--out", "wild2", "--config", "wild.toml", "--lr", lr], &NETWORK[..], &SIZE].concat());
        assert!(
            r.code == 1 && r.stderr.contains("after step 1, ") && r.stderr.contains(why),
            "{} {}",
            r.code,
            r.stderr
        );
        assert!(!f.path("wild2/best.safetensors").exists());
        std::fs::remove_dir_all(f.path("wild2")).unwrap();
    }
}
