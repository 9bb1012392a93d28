//! Conversion of models between formats, and verification against expected outputs.

use crate::folder::Folder;
use serde_json::json;
use unet_wgpu::testing::gpu_or_skip;

fn small() -> serde_json::Value {
    json!({ "width": 2, "depth": 1, "padding": "same" })
}

/// A `.npy` of floats.
pub(super) fn npy(dims: &[usize], data: &[f32]) -> Vec<u8> {
    let shape = dims.iter().map(|n| format!("{n},")).collect::<String>();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    header.push_str(&" ".repeat(127 - header.len() - 10));
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data.iter().flat_map(|v| v.to_le_bytes()));
    out
}

/// The elements of a `.npy` of floats.
pub(super) fn elements(f: &Folder, name: &str) -> Vec<f32> {
    let bytes = std::fs::read(f.path(name)).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00") && bytes.windows(3).any(|w| w == b"<f4"), "{name}");
    let first = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[first..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn noise(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 997) as f32 / 997.0).collect()
}

fn run_ok(f: &Folder, args: &[&str]) -> String {
    let r = f.run(args);
    assert_eq!(r.code, 0, "{args:?}: {}", r.stderr);
    r.stdout
}

#[test]
fn converted_to_onnx_and_back() {
    let f = Folder::new();
    f.unet("m.safetensors", small(), |_| ());
    f.image("a.png");
    run_ok(&f, &["convert", "m.safetensors", "m.onnx"]);
    run_ok(&f, &["convert", "m.onnx", "back.safetensors"]);
    for (model, out) in [("m.safetensors", "m/"), ("m.onnx", "onnx/"), ("back.safetensors", "back/")] {
        let save = ["--save", "mask,prob-npy", "--normalise", "unit", "--device", "cpu"];
        run_ok(&f, &[&["segment", "a.png", "-m", model, "-o", out], &save[..]].concat());
    }
    let mask = |folder: &str| std::fs::read(f.path(&format!("{folder}/a_mask.png"))).unwrap();
    let probabilities = |folder: &str| elements(&f, &format!("{folder}/a_prob.npy"));
    let own = probabilities("m");
    assert_eq!(own.len(), 2 * 24 * 20);
    assert!(own.iter().any(|p| (p - own[0]).abs() > 1e-3), "all equal");
    assert!(mask("back") == mask("m") && probabilities("back") == own);
    assert!(mask("onnx") == mask("m"));
    let off = probabilities("onnx").iter().zip(&own).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off <= 1e-6, "{off}");
    let twice = f.error(&["convert", "m.safetensors", "m.safetensors"]);
    assert!(twice.contains("the output would overwrite the input"), "{twice}");
}

#[test]
fn another_programs_checkpoint_becomes_a_native_one() {
    let f = Folder::new();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures");
    std::fs::copy(folder.join("ckpt_milesial_bilinear.ckpt.safetensors"), f.path("theirs.safetensors")).unwrap();
    run_ok(&f, &["convert", "theirs.safetensors", "ours.safetensors", "--set", "classes=background,car"]);
    f.write("x.npy", npy(&[1, 3, 16, 32], &noise(3 * 16 * 32)));
    for (model, y) in [("theirs.safetensors", "theirs.npy"), ("ours.safetensors", "ours.npy")] {
        run_ok(&f, &["run", "-m", model, "--input", "x.npy", "--output", y, "--device", "cpu"]);
    }
    assert_eq!(elements(&f, "theirs.npy").len(), 2 * 16 * 32);
    assert!(elements(&f, "theirs.npy") == elements(&f, "ours.npy"));
    assert!(run_ok(&f, &["inspect", "ours.safetensors"]).contains("background, car"));
    // A native checkpoint has its configuration.
    let message = f.error(&["inspect", "ours.safetensors", "--set", "align_corners=false"]);
    assert!(message.contains("--set align_corners: ours.safetensors has its own configuration"), "{message}");
}

#[test]
fn verification_against_expected_outputs() {
    let f = Folder::new();
    f.unet("m.safetensors", small(), |_| ());
    f.write("x.npy", npy(&[1, 1, 8, 12], &noise(96)));
    run_ok(&f, &["run", "-m", "m.safetensors", "--input", "x.npy", "--output", "y.npy", "--device", "cpu"]);
    let verify = ["inspect", "m.safetensors", "--verify", "--input", "x.npy", "--device", "cpu"];
    let right = run_ok(&f, &[&verify[..], &["--expected", "y.npy"]].concat());
    let row = |text: &str| text.lines().find(|l| l.contains(" expected ")).unwrap().to_string();
    assert!(row(&right).ends_with("  ok") && row(&right).contains(" 0.00e0 "), "{right}");
    // One element is off by a hundredth of the largest.
    let mut y = elements(&f, "y.npy");
    let scale = y.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    y[41] += scale / 100.0;
    f.write("wrong.npy", npy(&[1, 2, 8, 12], &y));
    let r = f.run(&[&verify[..], &["--expected", "wrong.npy"]].concat());
    assert_eq!(r.code, 1, "{}{}", r.stdout, r.stderr);
    assert!(row(&r.stdout).ends_with("TOO LARGE at element 41"), "{}", r.stdout);
    let loose = run_ok(&f, &[&verify[..], &["--expected", "wrong.npy", "--tolerance", "0.02"]].concat());
    assert!(row(&loose).ends_with("  ok"), "{loose}");
    if gpu_or_skip().is_some() {
        let text = run_ok(&f, &["inspect", "m.safetensors", "--verify"]);
        let row = text.lines().find(|l| l.contains(" reference ")).unwrap();
        assert!(row.ends_with("  ok"), "{text}");
    }
}
