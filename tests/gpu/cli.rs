//! The command line: output, messages, exit codes. `--device cpu` where no GPU is needed.

mod doctor;
mod images;
mod instances;
mod models;
mod overlap;
mod reading;
mod scale;
mod shards;
mod stacks;
mod zarr;

use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;
use unet_wgpu::testing::gpu_or_skip;

/// The program, with a clean environment.
fn unet(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unet"));
    for name in ["RUST_LOG", "UNET_DEVICE", "XDG_RUNTIME_DIR", "NODEVICE_SELECT"] {
        command.env_remove(name);
    }
    // Tests do not use the user's cache.
    command.env("UNET_CACHE_DIR", "").args(args);
    command
}

struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run(args: &[&str]) -> Run {
    let output = unet(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    // Some drivers write to stderr: keep only lines in this program's form.
    let ours = |line: &&str| ["error", "warning", "device", "note", "Usage", "  "].iter().any(|p| line.starts_with(p));
    let stderr = text(output.stderr).lines().filter(ours).collect::<Vec<_>>().join("\n");
    Run { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr }
}

/// Runs a command that must fail with one line on stderr, nothing on stdout and exit code 1; returns the line.
fn error(args: &[&str]) -> String {
    let r = run(args);
    assert_eq!((r.code, r.stdout.as_str()), (1, ""), "{args:?}: {}", r.stderr);
    let lines: Vec<_> = r.stderr.lines().filter(|l| !l.starts_with("device: ")).collect();
    assert_eq!(lines.len(), 1, "{args:?}: {}", r.stderr);
    assert!(lines[0].starts_with("error: "), "{args:?}: {}", r.stderr);
    lines[0].to_string()
}

fn fixtures() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures").to_str().unwrap().to_string()
}

#[test]
fn help_and_version() {
    let help = run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for part in ["Usage: unet", "devices", "selftest", "--device", "--precision", "--json", "Examples:"] {
        assert!(help.stdout.contains(part), "{part} is not in\n{}", help.stdout);
    }
    for command in ["devices", "selftest"] {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, 0);
        assert!(help.stdout.contains("Examples:"), "{}", help.stdout);
    }
    let version = run(&["--version"]);
    assert_eq!((version.code, version.stdout), (0, format!("unet {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn wrong_command_lines_exit_with_2() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage: unet"),
        (&["segmnet"], "unrecognized subcommand 'segmnet'"),
        (&["selftest", "--fixture"], "--fixtures"),
        (&["devices", "-q", "-v"], "cannot be used with"),
        (&["devices", "--precision", "f64"], "expected f32, f16 or auto"),
    ];
    for (args, part) in cases {
        let r = run(args);
        assert_eq!((r.code, r.stdout.as_str()), (2, ""), "{args:?}");
        assert!(r.stderr.contains(part), "{args:?}: {}", r.stderr);
    }
}

#[test]
fn devices_are_listed() {
    let text = run(&["devices"]);
    assert_eq!((text.code, text.stderr.as_str()), (0, ""));
    assert!(text.stdout.contains("cpu: reference executor"), "{}", text.stdout);
    let json = run(&["devices", "--json"]);
    assert_eq!((json.code, json.stderr.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let adapters = json["adapters"].as_array().unwrap();
    assert_eq!(adapters.iter().filter(|a| a["used"] == true).count(), usize::from(!adapters.is_empty()));
    for (i, a) in adapters.iter().enumerate() {
        assert_eq!(a["index"], i);
        assert!(text.stdout.contains(a["name"].as_str().unwrap()), "{}", text.stdout);
        assert!(a["limits"]["buffer_bytes"].as_u64().unwrap() > 0);
    }
    let cpu: Value = serde_json::from_str(&run(&["devices", "--device", "cpu", "--json"]).stdout).unwrap();
    assert_eq!((&cpu["used"], &cpu["cpu"]["used"]), (&"cpu".into(), &true.into()));
}

#[test]
fn without_a_driver_the_error_says_how_to_get_one() {
    let without = |args: &[&str]| {
        let output = unet(args).env("VK_DRIVER_FILES", "/none").env("VK_ICD_FILENAMES", "/none").output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    if !cfg!(target_os = "linux") {
        return;
    }
    let (code, stdout, _) = without(&["devices"]);
    assert!(code == 0 && stdout.contains("No GPU adapter found") && stdout.contains("apt-get install"), "{stdout}");
    let (code, _, stderr) = without(&["selftest"]);
    assert!(code == 1 && stderr.starts_with("error: no GPU adapter found"), "{stderr}");
    assert!(stderr.contains("--device cpu"), "{stderr}");
}

#[test]
fn an_unknown_device_is_reported_with_the_known_ones() {
    let json: Value = serde_json::from_str(&run(&["devices", "--json"]).stdout).unwrap();
    let Some(first) = json["adapters"].get(0) else { return };
    for command in ["devices", "selftest"] {
        let e = error(&[command, "--device", "no such thing"]);
        assert!(e.starts_with("error: unknown device `no such thing`; available: 0: "), "{e}");
        assert!(e.contains(first["name"].as_str().unwrap()) && e.ends_with("; cpu"), "{e}");
    }
    assert!(error(&["selftest", "--device", "99"]).contains("unknown device `99`"));
}

#[test]
fn shaders_are_written_with_their_index() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("kernels");
    let r = run(&["shaders", "--out", out.to_str().unwrap(), "--class", "nvidia", "--nets"]);
    assert_eq!((r.code, r.stderr.as_str()), (0, ""));
    let index: Value = serde_json::from_str(&std::fs::read_to_string(out.join("index.json")).unwrap()).unwrap();
    let kernels = index["kernels"].as_array().unwrap();
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), kernels.len() + 1);
    for k in kernels {
        let text = std::fs::read_to_string(out.join(k["file"].as_str().unwrap())).unwrap();
        assert!(text.contains("fn main(") && !text.lines().any(|l| l.starts_with('#')), "{}", k["file"]);
        assert!(!text.contains("subgroupBroadcast"), "{} for a device without fixed subgroups", k["file"]);
        assert_eq!(k["bindings"][0], "uniform");
        assert!(!k["networks"].as_array().unwrap().is_empty());
    }
    assert!(error(&["shaders", "--out", "/dev/null/no", "--nets", "--class", "amd"]).contains("/dev/null/no"));
    assert!(error(&["shaders", "--out", "x", "--class", "3dfx"]).contains("adapter class `3dfx`"));
}

#[test]
fn selftest_of_one_op() {
    if gpu_or_skip().is_none() {
        return;
    }
    let r = run(&["selftest", "--filter", "max_pool2d/"]);
    assert_eq!(r.code, 0, "{}", r.stderr);
    assert!(r.stderr.starts_with("device: ") && r.stderr.lines().count() == 1, "{}", r.stderr);
    let lines: Vec<_> = r.stdout.lines().collect();
    let rows = lines.iter().filter(|l| l.starts_with("max_pool2d/") && l.ends_with("  ok")).count();
    assert!(rows > 0);
    assert_eq!(lines.len(), rows + 3, "{}", r.stdout);
    assert_eq!(*lines.last().unwrap(), format!("{rows} passed, 0 failed, 0 skipped"));
    assert_eq!(run(&["selftest", "-q", "--filter", "max_pool2d/"]).stderr, "");
}

#[test]
fn selftest_with_fixtures_on_the_reference() {
    let r = run(&["selftest", "--device", "cpu", "--fixtures", &fixtures(), "--json"]);
    assert_eq!(r.code, 0, "{}", r.stderr);
    let json: Value = serde_json::from_str(&r.stdout).unwrap();
    let checks = json["checks"].as_array().unwrap();
    for verdict in ["passed", "failed", "skipped"] {
        assert_eq!(json[verdict], checks.iter().filter(|c| c["verdict"] == verdict).count(), "{verdict}");
    }
    assert!(json["passed"].as_u64().unwrap() >= 84 && json["failed"] == 0, "{}", r.stdout);
    assert!(checks.iter().all(|c| c["verdict"] != "passed" || c["max_error"].as_f64() <= c["tolerance"].as_f64()));
    let logits = checks.iter().find(|c| c["case"] == "unet_caffe_valid_eval").unwrap();
    assert_eq!((&logits["check"], &logits["verdict"]), (&"logits".into(), &"passed".into()));
}

#[test]
fn selftest_fails_loudly() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = std::fs::read_to_string(Path::new(&fixtures()).join("manifest.json")).unwrap();
    std::fs::write(dir.path().join("manifest.json"), manifest).unwrap();
    let r = run(&["selftest", "--device", "cpu", "--fixtures", dir.path().to_str().unwrap(), "--filter", "caffe"]);
    assert_eq!(r.code, 1, "{}", r.stdout);
    assert!(r.stdout.contains("FAILED: ") && r.stdout.contains("unet_caffe_valid_eval.safetensors: "), "{}", r.stdout);
    assert!(r.stdout.ends_with("0 passed, 1 failed, 0 skipped\n"), "{}", r.stdout);
    let e = error(&["selftest", "--device", "cpu", "--filter", "nothing is called so"]);
    assert_eq!(e, "error: --filter: no case has `nothing is called so` in its name");
    assert!(error(&["selftest", "--device", "cpu", "--fixtures", "/no/such"]).contains("/no/such/manifest.json: "));
}

/// `unet devices | true`: a closed reader is not an error.
#[test]
#[cfg(unix)]
fn a_closed_pipe_is_not_an_error() {
    use std::process::{Command, Stdio};
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_unet"));
    command.args(["selftest", "-q", "--device", "cpu"]).stdout(writer).stderr(Stdio::piped());
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
