//! The command line of `bench`, `tune` and `inspect --plan`.

use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;
use unet_wgpu::testing::gpu_or_skip;

/// Runs the program with its cache in `cache`; returns stdout. The run must succeed.
fn unet(cache: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_unet"))
        .args(args)
        .env("UNET_CACHE_DIR", cache)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(cache: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&unet(cache, &[args, &["--json"]].concat())).unwrap()
}

const SMALL: [&str; 8] = ["--arch", "unet", "--width", "8", "--depth", "1", "--padding", "same"];

fn small(command: &'static str, more: &[&'static str]) -> Vec<&'static str> {
    [&[command, "--size", "24x20"], &SMALL[..], more].concat()
}

#[test]
fn bench_reports_speed_and_reasons() {
    if gpu_or_skip().is_none() {
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let d = json(cache.path(), &small("bench", &["--repeat", "2", "--per-layer"]));
    assert_eq!(d["runs_ms"].as_array().unwrap().len(), 2);
    for number in ["median_ms", "gflops", "gbytes_per_s", "peak_gflops", "peak_gbytes_per_s", "share_of_peak"] {
        assert!(d[number].as_f64().is_some_and(|v| v > 0.0), "{number}: {}", d[number]);
    }
    let layers = d["layers"].as_array().unwrap();
    let sum = |key: &str| layers.iter().map(|l| l[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("macs"), d["macs_after_rewrites"].as_u64().unwrap());
    assert_eq!(sum("bytes"), d["bytes_moved"].as_u64().unwrap());
    for l in layers.iter().filter(|l| l["op"] == "conv2d") {
        assert!(l["reason"].as_str().is_some_and(|r| !r.is_empty()), "{l}");
        assert!(l["family"].is_string() && !l["kernels"].as_array().unwrap().is_empty(), "{l}");
    }
    let text = unet(cache.path(), &small("bench", &["--repeat", "1", "--per-layer", "--no-peak"]));
    assert!(text.contains("GFLOP/s") && text.contains("enc.0.conv1: ") && text.contains("By shader:"), "{text}");
    assert!(!text.contains("measured"), "{text}");
}

#[test]
fn tuned_choices_are_cached_used_and_can_be_ignored() {
    if gpu_or_skip().is_none() {
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let reasons = |more: &[&'static str]| {
        let d = json(cache.path(), &small("bench", &[&["--repeat", "1", "--per-layer", "--no-peak"], more].concat()));
        let layers = d["layers"].as_array().unwrap();
        let reasons = layers.iter().filter(|l| l["op"] == "conv2d").map(|l| l["reason"].as_str().unwrap().to_string());
        (d["tuned"].as_bool().unwrap(), reasons.collect::<Vec<_>>())
    };
    let before = reasons(&[]);
    assert!(!before.0 && before.1.iter().all(|r| !r.contains("tuned")), "{before:?}");
    let text = unet(cache.path(), &small("tune", &["--quiet"]));
    assert!(text.contains("chosen") && text.contains("stored in ") && !text.contains("dropped"), "{text}");
    let after = reasons(&[]);
    assert!(after.0 && after.1.iter().all(|r| r.contains("tuned")), "{after:?}");
    assert_eq!(reasons(&["--no-tune"]), before);
    assert_eq!(reasons(&["--no-cache"]), before);
    let d = json(cache.path(), &small("tune", &["--no-cache", "--quiet"]));
    assert_eq!(d["file"], Value::Null);
}

#[test]
fn the_cpu_reference_has_nothing_to_tune() {
    let output = Command::new(env!("CARGO_BIN_EXE_unet")).args(small("tune", &["--device", "cpu"])).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: --device cpu: "));
}

#[test]
fn inspect_shows_the_plan() {
    let args = ["inspect", "--arch", "unet3+", "--width", "8", "--depth", "2", "--size", "32x32", "--plan"];
    let d = &json(Path::new(""), &args)["plan"];
    let rewrites = d["rewrites"].as_array().unwrap();
    let of = |row: &Value, key: &str| row[key].as_u64().unwrap();
    let (first, last) = (&rewrites[0], &rewrites[rewrites.len() - 1]);
    assert_eq!(first["name"], "as written");
    assert!(of(last, "nodes") < of(first, "nodes") && of(last, "macs") < of(first, "macs"));
    for (rows, stage) in [("before", first), ("after", last)] {
        let rows = d[rows].as_array().unwrap();
        assert_eq!(rows.len() as u64, of(stage, "nodes"));
        assert_eq!(rows.iter().map(|r| of(r, "macs")).sum::<u64>(), of(stage, "macs"));
        assert_eq!(rows.iter().map(|r| of(r, "live_bytes")).max(), Some(of(stage, "live_bytes")));
    }
    assert!(!d["dispatches"].as_array().unwrap().is_empty());
    let text = unet(Path::new(""), &args);
    assert!(text.contains("Before rewriting") && text.contains("After rewriting") && text.contains("Dispatches: "));
    let widest = text.lines().skip_while(|l| !l.starts_with("Plan for")).map(|l| l.chars().count()).max();
    assert!(widest.is_some_and(|w| w <= 120), "{widest:?} columns");
}
