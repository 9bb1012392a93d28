//! Interrupted training: killed while writing a checkpoint, or by Ctrl-C. Resuming gives the same results.
#![cfg(unix)]

use crate::folder::Folder;
use image::{GrayImage, Luma};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use unet_wgpu::testing::gpu_or_skip;

/// Saves some megabytes every step: most of the run's time is writing.
const OPTIONS: [&str; 17] = [
    "--data",
    "data",
    "--steps",
    "8",
    "--eval-every",
    "1",
    "--crop",
    "16",
    "--batch",
    "1",
    "--arch",
    "unet",
    "--padding",
    "same",
    "--width=64",
    "--depth=2",
    "--quiet",
];
/// Files that must be the same in the end.
const RESULTS: [&str; 4] = ["metrics.csv", "metrics.jsonl", "best.safetensors", "last.safetensors"];

fn data() -> Option<Folder> {
    gpu_or_skip()?;
    let f = Folder::new();
    for (folder, values) in [("images", [170, 40]), ("masks", [1, 0])] {
        std::fs::create_dir_all(f.path("data").join(folder)).unwrap();
        for i in 0..3u32 {
            let value = |x: u32, y: u32| values[usize::from((x + 5 * i) % 16 < y)];
            GrayImage::from_fn(16, 16, |x, y| Luma([value(x, y)]))
                .save(f.path(&format!("data/{folder}/{i}.png")))
                .unwrap();
        }
    }
    Some(f)
}

fn start(f: &Folder, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unet"));
    command.current_dir(f.path("")).arg("train").args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn whole(f: &Folder) -> Vec<Vec<u8>> {
    let r = f.run(&[&["train", "--out", "whole"][..], &OPTIONS].concat());
    assert_eq!(r.code, 0, "{}", r.stderr);
    results(f, "whole")
}

fn results(f: &Folder, run: &str) -> Vec<Vec<u8>> {
    RESULTS.iter().map(|name| std::fs::read(f.path(run).join(name)).unwrap()).collect()
}

fn resume(f: &Folder, run: &str) {
    let r = f.run(&["train", "--out", run, "--resume", "--quiet"]);
    assert_eq!(r.code, 0, "{}", r.stderr);
}

/// The temporary file of a checkpoint being written, once there is a complete checkpoint.
fn being_written(f: &Folder, run: &str) -> Option<PathBuf> {
    let dir = f.path(run);
    dir.join("last.safetensors").exists().then_some(())?;
    let files = std::fs::read_dir(&dir).ok()?.flatten().map(|e| e.path());
    let is = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(".last.safetensors"));
    files.filter(is).find(|p| std::fs::metadata(p).is_ok_and(|m| m.len() > 0))
}

#[test]
fn a_kill_during_a_write_loses_nothing() {
    let Some(f) = data() else { return };
    let expected = whole(&f);
    // Whether the kill hits the write is chance; a partial file that remains proves it.
    for attempt in 0..20 {
        let run = format!("run{attempt}");
        let mut child = start(&f, &[&["--out", &run][..], &OPTIONS].concat());
        let begin = Instant::now();
        while being_written(&f, &run).is_none() && child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < Duration::from_secs(300), "no checkpoint in five minutes");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let Some(half) = being_written(&f, &run) else { continue };
        let earlier = f.path(&run).join("last.safetensors");
        let size = |p: &PathBuf| std::fs::metadata(p).unwrap().len();
        assert!(size(&half) <= size(&earlier));
        let r = f.run(&["inspect", earlier.to_str().unwrap(), "--quiet"]);
        assert_eq!(r.code, 0, "the earlier checkpoint is damaged: {}", r.stderr);
        resume(&f, &run);
        assert!(results(&f, &run) == expected, "the resumed run differs");
        assert!(!half.exists(), "{half:?} was not removed");
        return;
    }
    panic!("twenty kills, and none in the middle of a write");
}

#[test]
fn ctrl_c_finishes_the_step_and_saves() {
    let Some(f) = data() else { return };
    let expected = whole(&f);
    let mut child = start(&f, &[&["--out", "run"][..], &OPTIONS].concat());
    let begin = Instant::now();
    while !f.path("run/best.safetensors").exists() && child.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(300), "no checkpoint in five minutes");
        std::thread::sleep(Duration::from_millis(1));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status}");
    let steps = std::fs::read_to_string(f.path("run/metrics.csv")).unwrap().matches(",train,loss,").count();
    assert!((1..8).contains(&steps), "{steps} of 8 steps before it stopped");
    resume(&f, "run");
    assert!(results(&f, "run") == expected, "the resumed run differs");
}
