//! Killed, in a full or unwritable place, or two at once: no file is damaged or lost, what is left of killed runs goes, and the next
//! run completes. `scripts/torture.sh` does the same more often, with a disk that is really full.
#![cfg(unix)]

use crate::folder::Folder;
use image::{GrayImage, Luma};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use unet_wgpu::testing::gpu_or_skip;

const SEGMENT: [&str; 7] = ["segment", "in", "-m", "m.safetensors", "--save", "mask,prob,labels", "--quiet"];
const TRAIN: [&str; 17] = [
    "--data",
    "data",
    "--steps",
    "4",
    "--eval-every",
    "2",
    "--crop",
    "32",
    "--batch",
    "1",
    "--arch",
    "unet",
    "--padding",
    "same",
    "--width=8",
    "--depth=2",
    "--quiet",
];
/// Files of a training run that must be the same in the end.
const RESULTS: [&str; 4] = ["metrics.csv", "metrics.jsonl", "best.safetensors", "last.safetensors"];
const IMAGES: u32 = 8;

/// Images, a model, and a data set.
fn folder() -> Option<Folder> {
    gpu_or_skip()?;
    let f = Folder::new();
    f.unet("m.safetensors", json!({"width": 4, "depth": 2, "padding": "same"}), |_| {});
    for (folder, count) in [("in", IMAGES), ("data/images", 4), ("data/masks", 4)] {
        std::fs::create_dir_all(f.path(folder)).unwrap();
        for i in 0..count {
            let bright = |x: u32, y: u32| (x + 5 * i) % 24 < y % 31;
            let value = |x, y| match folder {
                "data/masks" => u8::from(bright(x, y)),
                _ => 40 + 130 * u8::from(bright(x, y)) + ((x * 37 + y * 91) % 13) as u8,
            };
            GrayImage::from_fn(48, 48, |x, y| Luma([value(x, y)])).save(f.path(&format!("{folder}/{i}.png"))).unwrap();
        }
    }
    Some(f)
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |path: std::path::PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())
    };
    std::fs::read_dir(dir).into_iter().flatten().map(|e| read(e.unwrap().path())).collect()
}

fn segment_into(out: &str) -> Vec<&str> {
    [&SEGMENT[..], &["-o", out]].concat()
}

/// The results of a run that nothing disturbs, and how long it took.
fn undisturbed(f: &Folder) -> (BTreeMap<String, Vec<u8>>, Duration) {
    let begin = Instant::now();
    let r = f.run(&segment_into("whole"));
    assert_eq!(r.code, 0, "{}", r.stderr);
    let whole = files(&f.path("whole"));
    assert_eq!(whole.len(), 3 * IMAGES as usize);
    (whole, begin.elapsed())
}

/// A line of shell in front of the program, in the folder.
fn shell(f: &Folder, line: &str) -> std::process::Output {
    let program = env!("CARGO_BIN_EXE_unet");
    Command::new("sh").arg("-c").arg(line.replace("UNET", program)).current_dir(f.path("")).output().unwrap()
}

fn start(f: &Folder, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unet"));
    command.current_dir(f.path("")).args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn killed_segmentations_leave_whole_files_and_nothing_else_in_the_end() {
    let Some(f) = folder() else { return };
    let (whole, time) = undisturbed(&f);
    let mut killed = 0;
    for part in 1..4 {
        let mut child = start(&f, &segment_into("out"));
        std::thread::sleep(time * part / 4);
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        // As a write that is cut off leaves it.
        std::fs::create_dir_all(f.path("out")).unwrap();
        f.write("out/.unet-cutoff.tmp", b"half");
        for (name, bytes) in files(&f.path("out")) {
            assert!(name.ends_with(".tmp") || whole[&name] == bytes, "{name} is damaged");
        }
        let r = f.run(&segment_into("out"));
        assert_eq!(r.code, 0, "{}", r.stderr);
        assert!(files(&f.path("out")) == whole, "{:?}", files(&f.path("out")).keys());
        std::fs::remove_dir_all(f.path("out")).unwrap();
    }
    assert!(killed > 0, "every run ended before its kill");
}

#[test]
fn two_writers_in_one_folder_do_not_disturb_each_other() {
    let Some(f) = folder() else { return };
    let (whole, _) = undisturbed(&f);
    let both = [start(&f, &segment_into("out")), start(&f, &segment_into("out"))];
    for mut child in both {
        assert!(child.wait().unwrap().success());
    }
    assert!(files(&f.path("out")) == whole, "{:?}", files(&f.path("out")).keys());
}

#[test]
fn results_that_cannot_be_written_are_errors_that_name_them() {
    let Some(f) = folder() else { return };
    f.write("file", b"mine");
    let r = f.run(&segment_into("file/out"));
    assert!(r.code == 1 && r.stderr.contains("file/out") && !r.stderr.contains("panic"), "{} {}", r.code, r.stderr);
    let r = f.run(&[&["train", "--out", "file/run"][..], &TRAIN].concat());
    assert!(r.code == 1 && r.stderr.contains("file/run") && !r.stderr.contains("panic"), "{} {}", r.code, r.stderr);
    assert_eq!(std::fs::read(f.path("file")).unwrap(), b"mine");
    // What is printed, to a device that is always full, and to a reader that goes away.
    if Path::new("/dev/full").exists() {
        let out = shell(&f, "UNET inspect m.safetensors > /dev/full");
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(1) && text.contains("error: ") && !text.contains("panic"), "{text}");
    }
    let out = shell(&f, "UNET inspect m.safetensors --plan | head -c 1");
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && !text.contains("error") && !text.contains("panic"), "{text}");
}

fn results(f: &Folder, run: &str) -> Vec<Vec<u8>> {
    RESULTS.iter().map(|name| std::fs::read(f.path(run).join(name)).unwrap()).collect()
}

fn train(f: &Folder, run: &str) -> Vec<Vec<u8>> {
    let r = f.run(&[&["train", "--out", run][..], &TRAIN].concat());
    assert_eq!(r.code, 0, "{}", r.stderr);
    results(f, run)
}

/// Resumes a run without a checkpoint; the program says that it starts again.
fn starts_again(f: &Folder, run: &str) -> Vec<Vec<u8>> {
    assert!(f.path(run).join("config.toml").exists() && !f.path(run).join("last.safetensors").exists());
    let r = f.run(&["train", "--out", run, "--resume"]);
    assert!(r.code == 0 && r.stderr.contains("before its first checkpoint"), "{} {}", r.code, r.stderr);
    results(f, run)
}

#[test]
fn training_killed_before_its_first_checkpoint_starts_again() {
    let Some(f) = folder() else { return };
    let expected = train(&f, "whole");
    for _ in 0..20 {
        let mut child = start(&f, &[&["train", "--out", "run"][..], &TRAIN].concat());
        while !f.path("run/config.toml").exists() && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        child.wait().unwrap();
        if !f.path("run/last.safetensors").exists() {
            assert!(starts_again(&f, "run") == expected, "the run differs");
            return;
        }
        std::fs::remove_dir_all(f.path("run")).unwrap();
    }
    panic!("twenty kills, and none before the first checkpoint");
}

/// A limit on the size of files in place of a full disk: the configuration fits, the checkpoint does not.
#[test]
fn training_without_room_for_its_first_checkpoint_starts_again() {
    let Some(f) = folder() else { return };
    let expected = train(&f, "whole");
    let line = format!("trap '' XFSZ; ulimit -f 16; UNET train --out run {}", TRAIN.join(" "));
    let out = shell(&f, &line);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && text.contains("run/last.safetensors"), "{:?} {text}", out.status);
    assert!(starts_again(&f, "run") == expected, "the run differs");
    let left = files(&f.path("run"));
    assert!(left.keys().all(|name| !name.ends_with(".tmp")), "{:?}", left.keys());
}

#[test]
fn training_that_fails_at_its_data_leaves_no_folder() {
    let Some(f) = folder() else { return };
    f.write("data/masks/2.png", b"no image");
    let args = [&["train", "--out", "runs/a/run"][..], &TRAIN].concat();
    assert!(f.error(&args).contains("data/masks/2.png"));
    assert!(!f.path("runs").exists());
    std::fs::create_dir_all(f.path("runs/a")).unwrap();
    f.error(&args);
    assert!(f.path("runs/a").exists() && !f.path("runs/a/run").exists());
}
