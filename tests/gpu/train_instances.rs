//! `unet train` with `[instances]`, on small images of touching discs.

use crate::folder::Folder;
use image::{GrayImage, Luma};
use serde_json::Value;
use unet_wgpu::Model;
use unet_wgpu::low_level::weights::{InstanceMethod, InstanceTarget};
use unet_wgpu::testing::gpu_or_skip;

/// Seven images of pairs of touching discs in `data`; `None` without a GPU.
fn pairs() -> Option<Folder> {
    gpu_or_skip()?;
    let f = Folder::new();
    for folder in ["images", "labels"] {
        std::fs::create_dir_all(f.path("data").join(folder)).unwrap();
    }
    for i in 0..7 {
        let disc = |x: u32, y: u32, cx: f32| (x as f32 - cx).hypot(y as f32 - 24.0 - 2.0 * i as f32) < 10.0;
        let number = move |x, y| if disc(x, y, 20.0) { 1 } else { 2 * u8::from(disc(x, y, 38.5)) };
        let grey = move |x, y| if number(x, y) > 0 { 160 } else { 40 } + ((x * 37 + y * 91 + x * y) % 60) as u8;
        GrayImage::from_fn(64, 64, |x, y| Luma([grey(x, y)])).save(f.path(&format!("data/images/{i}.png"))).unwrap();
        GrayImage::from_fn(64, 64, |x, y| Luma([number(x, y)])).save(f.path(&format!("data/labels/{i}.png"))).unwrap();
    }
    Some(f)
}

fn train<'a>(arch: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--data", "data", "--arch", arch, "--depth", "2"][..], more].concat()
}

const SMALL: [&str; 6] = ["--crop", "32", "--batch", "2", "--width", "4"];

#[test]
fn instances_are_learned() {
    let Some(f) = pairs() else { return };
    let size = ["--crop", "32", "--batch", "4", "--width", "8", "--padding", "same", "--lr", "0.01"];
    let short = ["--instances", "multi", "--steps", "80", "--eval-every", "40", "--out", "run", "--json"];
    let r = f.run(&train("unet", &[&size[..], &short].concat()));
    assert_eq!(r.code, 0, "{}", r.stderr);
    let scores = &serde_json::from_str::<Value>(&r.stdout).unwrap()["scores"];
    assert!(scores["dice"].as_f64().unwrap() > 0.9 && scores["f1"].is_f64(), "{scores}");
    let csv = std::fs::read_to_string(f.path("run/metrics.csv")).unwrap();
    let losses = |split: &str| -> Vec<f64> {
        let prefix = format!(",{split},loss,");
        csv.lines().filter_map(|l| l.split_once(&prefix)?.1.parse().ok()).collect()
    };
    let (steps, validation) = (losses("train"), losses("validation"));
    assert_eq!((steps.len(), validation.len()), (80, 2));
    // Without augmentation the loss is that of training, but for the statistics of batch normalisation.
    assert!(steps[79] < 0.6 * steps[0] && validation[1] < validation[0], "{steps:?}, {validation:?}");
    assert!(validation[1] < steps[0] && validation[1] > 0.2 * steps[79], "{steps:?}, {validation:?}");
    let model = Model::open(&f.path("run/best.safetensors").to_string_lossy()).unwrap();
    let method = model.metadata.instances.as_ref().and_then(|i| i.method);
    assert_eq!((model.metadata.target, method), (Some(InstanceTarget::Multi), Some(InstanceMethod::Elevation)));

    // The same run, by its configuration: the same bytes.
    let r = f.run(&["train", "--config", "run/config.toml", "--out", "again"]);
    assert_eq!(r.code, 0, "{}", r.stderr);
    for file in ["metrics.csv", "best.safetensors"] {
        assert!(
            std::fs::read(f.path(&format!("run/{file}"))).unwrap()
                == std::fs::read(f.path(&format!("again/{file}"))).unwrap()
        );
    }
}

#[test]
fn every_network_and_target_trains() {
    let Some(f) = pairs() else { return };
    f.write("monitor.toml", "monitor = \"loss\"\n");
    for (arch, target, more) in [
        ("unet", "distance", &["--padding", "valid", "--crop", "52", "--batch", "2", "--width", "4"][..]),
        ("unet", "gap", &[&["--padding", "same"][..], &SMALL].concat()[..]),
        ("unet++", "border", &SMALL[..]),
        ("unet++", "multi", &SMALL[..]),
        ("unet3+", "multi", &[&["--set", "cat=4", "--set", "deep_supervision=true"][..], &SMALL].concat()[..]),
    ] {
        let out = format!("{arch} {target}");
        let short =
            ["--instances", target, "--steps", "2", "--eval-every", "2", "--out", &out, "--config", "monitor.toml"];
        let r = f.run(&train(arch, &[&short[..], more].concat()));
        assert_eq!(r.code, 0, "{out}: {}", r.stderr);
        assert!(f.path(&out).join("best.safetensors").is_file(), "{out}");
    }
}

#[test]
fn what_cannot_be_trained_is_named() {
    let Some(f) = pairs() else { return };
    f.write("loss.toml", "[instances]\ntarget = \"multi\"\n[loss]\nname = \"ce_dice\"\n");
    f.write("alone.toml", "[loss]\nname = \"instances\"\n");
    let error = |arch, more: &[&str]| f.error(&train(arch, &[&SMALL[..], &["--out", "run"], more].concat()));
    let line = error("unet", &["--padding", "same", "--config", "loss.toml"]);
    assert!(line.contains("loss: target `multi` is trained with Instances("), "{line}");
    let line = error("unet", &["--padding", "same", "--config", "alone.toml"]);
    assert!(line.contains("loss: `instances` needs [instances]"), "{line}");
    let line = error("unet3+", &["--instances", "multi", "--set", "deep_supervision=true", "--set", "cgm=true"]);
    assert!(line.contains("(`cgm`) cannot predict instances"), "{line}");
}
