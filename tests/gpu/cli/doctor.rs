//! `unet doctor`: what it finds, what it advises, and its exit code.

use super::{error, run, unet};
use serde_json::Value;
use unet_wgpu::testing::gpu_or_skip;

#[test]
fn the_machine_is_examined() {
    if gpu_or_skip().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let examine = |args: &[&str]| {
        let output = unet(args).env("UNET_CACHE_DIR", folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = examine(&["doctor", "--seconds", "2"]);
    assert_eq!(code, Some(0), "{text}");
    for part in
        ["Program\n", "Device\n", "Limits", "GFLOP/s", "GB/s", "nuclei 512x512: ", "Self-test", "No problems found."]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let folder_name = folder.path().to_str().unwrap();
    assert!(text.lines().all(|l| l.chars().count() <= 80 || l.contains(folder_name)), "{text}");

    let (code, text) = examine(&["doctor", "--seconds", "1", "--json", "-q"]);
    assert_eq!(code, Some(0), "{text}");
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["problems"], Value::Array(vec![]));
    assert!(json["speed"]["gflops"].as_f64().unwrap() > 0.0 && json["speed"]["gbytes_per_s"].as_f64().unwrap() > 0.0);
    assert!(json["self_test"]["passed"].as_u64().unwrap() > 0, "{text}");
    assert_eq!(json["self_test"]["failed"], Value::Array(vec![]));
    assert_eq!(json["files"]["folder"], folder_name);
    assert_eq!(json["files"]["writable"], true);
    assert!(json["limits"]["models"][0]["binding_bytes"].as_u64().unwrap() > 0);
    let features = |key: &str| json["features"][key].as_array().unwrap().len();
    assert!(features("has") + features("lacks") >= 5);
    let devices: Value = serde_json::from_str(&run(&["devices", "--json"]).stdout).unwrap();
    assert_eq!(json["device"]["index"], devices["used"]);
}

#[test]
fn without_the_self_test_it_is_left_out() {
    if gpu_or_skip().is_none() {
        return;
    }
    let r = run(&["doctor", "--seconds", "0", "--json"]);
    let json: Value = serde_json::from_str(&r.stdout).unwrap();
    assert_eq!((r.code, &json["self_test"], &json["files"]["folder"]), (0, &Value::Null, &Value::Null));
}

#[test]
#[cfg(target_os = "linux")]
fn without_a_driver_it_says_what_to_install() {
    let without = |args: &[&str]| {
        let output = unet(args).env("VK_DRIVER_FILES", "/none").env("VK_ICD_FILENAMES", "/none").output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = without(&["doctor"]);
    assert_eq!(code, Some(1), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "Problems",
        "no driver offers a device",
        "software renderer",
        "VK_DRIVER_FILES or VK_ICD_FILENAMES",
        "Graphics hardware",
    ] {
        assert!(words.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("Self-test"), "{text}");
    let (code, text) = without(&["doctor", "--json"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, json["problems"].as_array().unwrap().len()), (Some(1), 1));
    assert_eq!(json["device"], Value::Null);
}

#[test]
fn the_reference_has_no_driver() {
    assert!(error(&["doctor", "--device", "cpu"]).contains("has no driver to examine"));
}
