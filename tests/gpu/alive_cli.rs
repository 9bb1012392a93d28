//! The program goes on when its device is lost, or has no memory left: the same files as without, or an error and no half a file.

use crate::folder::{Folder, Run};
use image::{GrayImage, Luma};
use serde_json::json;
use unet_wgpu::testing::gpu_or_skip;

const FILES: [&str; 4] = ["metrics.csv", "metrics.jsonl", "best.safetensors", "last.safetensors"];
const TRAIN: [&str; 17] = [
    "train",
    "--data",
    "data",
    "--steps",
    "6",
    "--eval-every",
    "2",
    "--crop",
    "16",
    "--batch",
    "2",
    "--arch",
    "unet",
    "--padding",
    "same",
    "--width=4",
    "--depth=2",
];

/// A network, five images, and a data set.
fn folder() -> Option<Folder> {
    gpu_or_skip()?;
    let f = Folder::new();
    f.unet("net.safetensors", json!({ "width": 4, "depth": 2, "padding": "same", "out_channels": 2 }), |_| {});
    let noise = |x: u32, y: u32| ((x * 37 + y * 91 + x * y) % 251) as u8;
    for i in 0..3u32 {
        GrayImage::from_fn(90, 70 + i, |x, y| Luma([noise(x + i, y)])).save(f.path(&format!("{i}.png"))).unwrap();
    }
    for (folder, values) in [("images", [170, 40]), ("masks", [1, 0])] {
        std::fs::create_dir_all(f.path("data").join(folder)).unwrap();
        for i in 0..3u32 {
            let value = |x: u32, y: u32| values[usize::from((x + 5 * i) % 16 < y)];
            let image = GrayImage::from_fn(16, 16, |x, y| Luma([value(x, y)]));
            image.save(f.path(&format!("data/{folder}/{i}.png"))).unwrap();
        }
    }
    Some(f)
}

fn run(f: &Folder, args: &[&str], fault: Option<(&str, &str)>) -> Run {
    let mut command = f.command(args);
    if let Some((name, value)) = fault {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn segment(out: &str) -> Vec<&str> {
    let args = ["segment", "0.png", "1.png", "2.png", "-m", "net.safetensors", "--tile", "64", "--exact", "-o"];
    args.into_iter().chain([out, "--save", "mask,prob,overlay"]).collect()
}

/// Names and bytes of all files of a folder.
fn contents(f: &Folder, folder: &str) -> Vec<(String, Vec<u8>)> {
    if !f.path(folder).exists() {
        return vec![];
    }
    let entries = std::fs::read_dir(f.path(folder)).unwrap().map(|e| e.unwrap());
    let mut all: Vec<_> =
        entries.map(|e| (e.file_name().to_string_lossy().into(), std::fs::read(e.path()).unwrap())).collect();
    all.sort();
    all
}

#[test]
fn segment_goes_on_where_it_was() {
    let Some(f) = folder() else { return };
    assert_eq!(run(&f, &segment("whole"), None).code, 0);
    let expected = contents(&f, "whole");
    assert_eq!(expected.len(), 9);
    // Before the first tile, in the middle of the first image, in the second, twice.
    for (i, fault) in ["1", "5", "23", "9,4"].into_iter().enumerate() {
        let out = format!("out{i}");
        let r = run(&f, &segment(&out), Some(("UNET_LOSE_AT", fault)));
        assert_eq!(r.code, 0, "{fault}: {}", r.stderr);
        let reopened = r.stderr.matches("opening it again").count();
        assert_eq!(reopened, fault.split(',').count(), "{fault}: {}", r.stderr);
        assert!(contents(&f, &out) == expected, "lost at {fault}: other bytes");
    }
    let r = run(&f, &segment("never"), Some(("UNET_LOSE_AT", "1,1,1,1,1")));
    assert_eq!(r.code, 1, "{}", r.stderr);
    let last = r.stderr.lines().last().unwrap();
    assert!(last.starts_with("error: the GPU device was lost: ") && last.contains("3 times in a row"), "{}", r.stderr);
    assert_eq!(contents(&f, "never"), [], "no half a file");
}

#[test]
fn eval_goes_on_where_it_was() {
    let Some(f) = folder() else { return };
    let args =
        ["eval", "-m", "net.safetensors", "--data", "data", "--objects", "components", "--json", "--csv", "scores.csv"];
    let scores = |r: &Run| (r.stdout.clone(), std::fs::read(f.path("scores.csv")).unwrap());
    let r = run(&f, &args, None);
    assert_eq!(r.code, 0, "{}", r.stderr);
    let expected = scores(&r);
    for fault in ["1", "2", "4", "3,1"] {
        std::fs::remove_file(f.path("scores.csv")).unwrap();
        let r = run(&f, &args, Some(("UNET_LOSE_AT", fault)));
        assert_eq!(r.code, 0, "{fault}: {}", r.stderr);
        let reopened = r.stderr.matches("opening it again").count();
        assert_eq!(reopened, fault.split(',').count(), "{fault}: {}", r.stderr);
        assert!(scores(&r) == expected, "lost at {fault}: other scores");
    }
    let r = run(&f, &args, Some(("UNET_LOSE_AT", "1,1,1,1,1")));
    let last = r.stderr.lines().last().unwrap();
    assert!(r.code == 1 && last.contains("3 times in a row"), "{}", r.stderr);
}

fn results(f: &Folder, run: &str) -> Vec<Vec<u8>> {
    FILES.iter().map(|name| std::fs::read(f.path(run).join(name)).unwrap()).collect()
}

#[test]
fn train_goes_on_from_its_checkpoint() {
    let Some(f) = folder() else { return };
    let train = |out: &str, fault: Option<(&str, &str)>| run(&f, &[&TRAIN[..], &["--out", out]].concat(), fault);
    let r = train("whole", None);
    assert_eq!(r.code, 0, "{}", r.stderr);
    let expected = results(&f, "whole");
    let mut resumed = 0;
    for fault in ["1", "60", "131", "200", "420", "600", "200,150"] {
        let out = format!("lost{fault}");
        let r = train(&out, Some(("UNET_LOSE_AT", fault)));
        assert_eq!(r.code, 0, "{fault}: {}", r.stderr);
        assert!(r.stderr.contains("opening it again"), "{fault}: {}", r.stderr);
        resumed += usize::from(r.stderr.contains("going on after step"));
        assert!(results(&f, &out) == expected, "lost at {fault}: other bytes");
    }
    assert!(resumed >= 4, "{resumed} runs went on from a checkpoint");
    let r = train("never", Some(("UNET_LOSE_AT", "1,1,1,1,1")));
    let last = r.stderr.lines().last().unwrap();
    assert!(r.code == 1 && last.contains("3 times in a row"), "{}", r.stderr);
}

/// Wherever the device has no memory left: files of a smaller tile, or an error that names what and how much.
#[test]
fn no_memory_left_is_said_and_leaves_no_half_a_file() {
    let Some(f) = folder() else { return };
    assert_eq!(run(&f, &segment("whole"), None).code, 0);
    let expected = contents(&f, "whole");
    for k in [1, 3, 8, 15, 22] {
        let out = format!("out{k}");
        let r = run(&f, &segment(&out), Some(("UNET_FAIL_ALLOCATION", &k.to_string())));
        assert_eq!(r.code, 0, "{k}: {}", r.stderr);
        assert!(contents(&f, &out) == expected, "allocation {k}: other bytes");
    }
    let train = |out: &str, fault: Option<(&str, &str)>| run(&f, &[&TRAIN[..], &["--out", out]].concat(), fault);
    assert_eq!(train("undisturbed", None).code, 0);
    let expected = results(&f, "undisturbed");
    for k in [1, 20, 100, 250, 400, 600] {
        let out = format!("train{k}");
        let number = k.to_string();
        let r = train(&out, Some(("UNET_FAIL_ALLOCATION", &number)));
        if r.code == 0 {
            // An evaluation's tiles.
            assert!(results(&f, &out) == expected, "allocation {k}: other bytes");
            continue;
        }
        let line = r.stderr.lines().find(|l| l.starts_with("error: ")).unwrap();
        assert!(
            line.contains("no memory left for allocating `") && (line.contains("iB)") || line.contains(" bytes)")),
            "{k}: {line}"
        );
        assert!(line.ends_with("; what takes less: `--memory SIZE`"), "{k}: {line}");
        let left = contents(&f, &out);
        assert!(left.iter().all(|(name, _)| !name.contains("tmp")), "{k}: {left:?}");
        let resumes = left.iter().any(|(name, _)| name == "last.safetensors");
        let more: &[&str] = if resumes { &["--resume"] } else { &[] };
        let r = run(&f, &[&TRAIN[..], &["--out", &out], more].concat(), None);
        assert_eq!(r.code, 0, "{k}: {}", r.stderr);
        assert!(results(&f, &out) == expected, "allocation {k}: other bytes afterwards");
    }
}
