//! A temporary folder in which the program runs.

use assert_cmd::Command;
use image::{ImageBuffer, Luma};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;
use unet_wgpu::low_level::model::{parse, whole_graph};
use unet_wgpu::testing::random_parameter;

/// Result of a run of the program.
pub(crate) struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A folder in which the program runs.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// A small grey image.
    pub(crate) fn image(&self, name: &str) {
        let noise = |x: u32, y: u32| ((x * 37 + y * 91 + x * y) % 251) as u8;
        ImageBuffer::from_fn(24, 20, |x, y| Luma([noise(x, y)])).save(self.path(name)).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unet"));
        for name in ["RUST_LOG", "RUST_BACKTRACE", "UNET_DEVICE", "XDG_RUNTIME_DIR"] {
            command.env_remove(name);
        }
        command.current_dir(self.0.path()).args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        let output = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs a command that must fail with one line and leave no files; returns the line.
    pub(crate) fn error(&self, args: &[&str]) -> String {
        let files = || std::fs::read_dir(self.0.path()).unwrap().map(|f| f.unwrap().path()).collect::<Vec<_>>();
        let before = files().len();
        let r = self.run(args);
        assert_eq!((r.code, r.stdout.as_str()), (1, ""), "{args:?}: {}", r.stderr);
        // Some drivers write to stderr too.
        let lines: Vec<_> = r.stderr.lines().filter(|l| l.starts_with("error: ")).collect();
        assert!(lines.len() == 1 && !r.stderr.contains("panic"), "{args:?}: {}", r.stderr);
        assert_eq!(files().len(), before, "{args:?} left something: {:?}", files());
        lines[0]["error: ".len()..].to_string()
    }

    /// Runs a command line that must be a usage error.
    pub(crate) fn usage(&self, args: &[&str], part: &str) {
        let r = self.run(args);
        assert_eq!((r.code, r.stdout.as_str()), (2, ""), "{args:?}: {}", r.stderr);
        assert!(r.stderr.contains(part), "{args:?}: {}", r.stderr);
    }

    /// A checkpoint with random parameters of the network `sound`, changed by `change`; `metadata` may be invalid.
    pub(crate) fn model(&self, name: &str, metadata: Value, sound: (&str, Value), change: impl FnOnce(&mut Tensors)) {
        let architecture = parse(sound.0, &sound.1).unwrap();
        let size = architecture.size_rule().minimum;
        let graph = whole_graph(&*architecture, 1, size, size).unwrap();
        let tensor = |(key, dims): (&str, &[usize])| {
            let data = random_parameter(key, dims).unwrap().into_data();
            (key.to_string(), (dims.to_vec(), data))
        };
        let mut tensors: Tensors = graph.parameters().map(tensor).collect();
        change(&mut tensors);
        let bytes: HashMap<&String, Vec<u8>> =
            tensors.iter().map(|(k, t)| (k, t.1.iter().flat_map(|v| v.to_le_bytes()).collect())).collect();
        let views = tensors.iter().map(|(k, t)| (k, TensorView::new(Dtype::F32, t.0.clone(), &bytes[k]).unwrap()));
        let metadata = (!metadata.is_null()).then(|| HashMap::from([("unet".to_string(), metadata.to_string())]));
        self.write(name, safetensors::serialize(views, metadata).unwrap());
    }

    /// A small U-Net.
    pub(crate) fn unet(&self, name: &str, config: Value, change: impl FnOnce(&mut Tensors)) {
        self.model(name, json!({ "arch": "unet", "config": config }), ("unet", config.clone()), change);
    }
}

/// Dimensions and elements of tensors by name.
pub(crate) type Tensors = HashMap<String, (Vec<usize>, Vec<f32>)>;
