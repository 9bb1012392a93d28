//! The fixtures of `assets/fixtures` on the GPU and on the CPU reference, through the code of `unet selftest`. The
//! expected number of passed checks is counted here from the manifest, so that a skipped check is a failure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use unet_wgpu::low_level::gpu::PrecisionChoice;
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::low_level::tensor::Precision;
use unet_wgpu::selftest::{Check, Manifest, Outcome, Selftest, Verdict};
use unet_wgpu::testing::gpu_or_skip;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures")
}

fn run(backend: &Backend, dir: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut sink = |check| {
        checks.push(check);
        Ok(())
    };
    let manifest = Manifest::read(dir).unwrap();
    Selftest { backend, filter: "", sink: &mut sink }.fixtures(&manifest).unwrap();
    checks
}

/// Checks that must pass, by case: one per operation, one per output tensor of a network, one per result on the host.
fn expected() -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(folder().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut counts = BTreeMap::new();
    for entry in manifest["cases"].as_array().unwrap() {
        let count = match entry["kind"].as_str().unwrap() {
            "ops" => entry["case"]["ops"].as_array().unwrap().len(),
            "model" => {
                let tensors = |group: &str| entry["groups"][group]["tensors"].as_u64().unwrap_or(0) as usize;
                tensors("out") + tensors("act")
            }
            // Also for an input of another size, if there is one.
            "onnx" => {
                let tensors = |group: &str| entry["groups"][group]["tensors"].as_u64().unwrap_or(0) as usize;
                tensors("out") + tensors("out_b/*")
            }
            "checkpoint" => entry["groups"]["out"]["tensors"].as_u64().unwrap() as usize,
            // Value and gradient of each loss.
            "losses" => 2 * entry["case"]["losses"].as_array().unwrap().len(),
            // Per item of a weight map: separated labels, two distances, the weight. Of metrics: twelve measures, three
            // maps.
            kind @ ("weightmap" | "metrics") => {
                let items = entry["case"]["items"].as_array().unwrap().len();
                items * if kind == "metrics" { 15 } else { 4 }
            }
            kind => panic!("what does a fixture of kind {kind} check?"),
        };
        counts.insert(entry["name"].as_str().unwrap().to_string(), count);
    }
    counts
}

fn assert_all_pass(backend: &Backend) {
    let checks = run(backend, &folder());
    let on = backend.describe();
    let mut passed = BTreeMap::new();
    let (f32, mut skipped) = (backend.precision() == Precision::F32, 0);
    for c in &checks {
        match c.verdict.outcome() {
            Outcome::Passed => *passed.entry(c.case.split('/').next().unwrap().to_string()).or_insert(0) += 1,
            Outcome::Failed => panic!("{on}: {c:?}"),
            // Gradients in f16.
            Outcome::Skipped => {
                assert_eq!(c.verdict, Verdict::Skipped("training is f32 only".into()), "{on}: {c:?}");
                assert!(c.case.starts_with("ops/"), "{on}: {c:?}");
                skipped += 1;
            }
        }
    }
    let mut expected = expected();
    // 70 gradient tensors.
    assert_eq!(skipped, if f32 { 0 } else { 70 }, "{on}");
    *expected.get_mut("ops").unwrap() += 70 - skipped;
    assert_eq!(passed, expected, "{on}");
    assert!(passed.values().sum::<usize>() >= 41 + 43 + 7, "{on}: fixtures were lost: {passed:?}");
    let onnx: Vec<_> = passed.iter().filter(|(name, _)| name.starts_with("onnx_")).map(|(_, &n)| n).collect();
    assert_eq!(onnx, [4, 2, 1], "{on}");
}

#[test]
fn fixtures_pass_on_the_gpu() {
    if let Some(gpu) = gpu_or_skip() {
        assert_all_pass(&Backend::Gpu(gpu));
    }
}

#[test]
fn fixtures_pass_on_the_gpu_in_f16() {
    let Some(gpu) = gpu_or_skip().filter(|g| g.caps().f16) else { return };
    assert_all_pass(&Backend::Gpu(gpu.with_precision(PrecisionChoice::F16).unwrap()));
}

#[test]
fn fixtures_pass_on_the_reference() {
    assert_all_pass(&Backend::Cpu);
}

/// The fixtures of instances: value and gradient of each loss, trainings step by step. Every tensor of the manifest is
/// compared, apart from inputs and targets.
fn assert_instances_pass(backend: &Backend) {
    let dir = folder().join("instance_loss");
    let manifest: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("manifest.json")).unwrap()).unwrap();
    let mut expected = 0;
    for entry in manifest["cases"].as_array().unwrap() {
        expected += match entry["case"]["losses"].as_array() {
            Some(losses) => 2 * losses.len() as u64,
            None => {
                let groups = entry["groups"].as_object().unwrap().iter().filter(|g| g.0 != "target");
                groups.map(|g| g.1["tensors"].as_u64().unwrap()).sum()
            }
        };
    }
    let checks = run(backend, &dir);
    let wrong: Vec<_> = checks.iter().filter(|c| c.verdict.outcome() != Outcome::Passed).collect();
    assert!(wrong.is_empty(), "{}: {wrong:#?}", backend.describe());
    assert_eq!(checks.len() as u64, expected, "{}", backend.describe());
}

#[test]
fn fixtures_of_instances_pass_on_the_gpu() {
    if let Some(gpu) = gpu_or_skip() {
        assert_instances_pass(&Backend::Gpu(gpu));
    }
}

#[test]
fn fixtures_of_instances_pass_on_the_reference() {
    assert_instances_pass(&Backend::Cpu);
}

/// The failures of a copy of the fixtures with a changed manifest.
fn failures(change: impl Fn(&mut serde_json::Value)) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder()).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_dir() {
            continue;
        }
        std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    let path = dir.path().join("manifest.json");
    let mut manifest = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(&path, manifest.to_string()).unwrap();
    let checks = run(&Backend::Cpu, dir.path());
    let failed = checks.iter().filter(|c| c.verdict.outcome() == Outcome::Failed);
    failed.map(|c| format!("{} {}: {:?}", c.case, c.check, c.verdict)).collect()
}

fn case<'a>(manifest: &'a mut serde_json::Value, name: &str) -> &'a mut serde_json::Value {
    manifest["cases"].as_array_mut().unwrap().iter_mut().find(|c| c["name"] == name).unwrap()
}

#[test]
fn wrong_fixtures_fail() {
    let one = |change: &dyn Fn(&mut serde_json::Value), part: &str| {
        let failed = failures(change);
        assert!(!failed.is_empty() && failed.iter().all(|f| f.contains(part)), "{part}: {failed:#?}");
    };
    one(
        &|m| case(m, "unet_caffe_valid_eval")["files"]["unet_caffe_valid_eval.safetensors"]["sha256"] = "0".into(),
        "corrupt",
    );
    one(&|m| case(m, "unet_caffe_valid_eval")["kind"] = "novel".into(), "unknown kind `novel`");
    one(&|m| case(m, "unet_caffe_valid_eval")["case"]["arch"] = "unet9".into(), "unet9");
    one(&|m| case(m, "unet_caffe_valid_eval")["case"]["config"]["width"] = 5.into(), "enc.0.conv1.weight");
    // Another network with the same parameters: only the values differ.
    one(
        &|m| case(m, "unet_caffe_valid_eval")["case"]["config"]["skip_first"] = true.into(),
        "unet_caffe_valid_eval logits: Compared",
    );
    one(&|m| case(m, "unetpp_pruned_l1_eval")["kind"] = "ops".into(), "the list of ops: ");
    one(
        &|m| {
            let name = "onnx_unet_valid_unfolded_bn";
            drop(case(m, name)["files"].as_object_mut().unwrap().remove(&format!("{name}.onnx")))
        },
        "the manifest lists no file `onnx_unet_valid_unfolded_bn.onnx`",
    );
    one(&|m| case(m, "ops")["case"]["ops"][17]["op"] = "fft".into(), "belongs to no op");
    one(
        &|m| case(m, "ops")["case"]["ops"][35]["args"] = serde_json::json!({"slope": 1}),
        "`slope` of sigmoid: is not understood",
    );
}
