//! Nothing that a file or a command line can say makes the library panic, overflow or allocate without bound.

mod files;
mod formats;
mod seeds;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use unet_wgpu::Model;
use unet_wgpu::error::Error;
use unet_wgpu::graph::{footprint, rewrite};
use unet_wgpu::infer::{Image, LabelMap};
use unet_wgpu::kernel::{Caps, Target};
use unet_wgpu::model::{ArchitectureId, parameter_count, parse, whole_graph};
use unet_wgpu::plan::Plan;
use unet_wgpu::weights::{self, ModelMetadata};

const KEYS: [&str; 20] = [
    "in_channels",
    "out_channels",
    "width",
    "widths",
    "depth",
    "padding",
    "up",
    "align_corners",
    "slim",
    "norm",
    "conv_bias",
    "up_relu",
    "skip_first",
    "last_up_channels",
    "level",
    "deep_supervision",
    "cat",
    "cgm",
    "activation",
    "cgm_gate",
];

/// Sizes that are usual, at a limit, or absurd.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 1u64..9,
        2 => 1u64..20_000,
        1 => (0u32..64, -1i64..2).prop_map(|(shift, d)| (1u64 << shift).wrapping_add_signed(d)),
        1 => any::<u64>(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let word = |w: &'static [&'static str]| (0..w.len()).prop_map(|i| json!(w[i]));
    prop_oneof![
        8 => number().prop_map(|n| json!(n)),
        4 => any::<bool>().prop_map(|b| json!(b)),
        2 => word(&["same", "valid", "transpose", "bilinear", "nearest_conv", "sigmoid", "softmax", "prob", "logit"]),
        2 => prop::collection::vec(number(), 0..9).prop_map(|v| json!(v)),
        1 => any::<f64>().prop_map(|x| json!(x)),
        1 => any::<i64>().prop_map(|x| json!(x)),
        1 => word(&["", "x"]),
        1 => Just(json!(null)),
        1 => Just(json!({"a": [1]})),
    ]
}

/// A config of which most values have the type they should have.
fn config() -> impl Strategy<Value = Value> {
    prop::collection::vec((0..KEYS.len(), value()), 0..5).prop_map(|pairs| {
        Value::Object(pairs.into_iter().map(|(k, v)| (KEYS[k].to_string(), v)).collect::<Map<_, _>>())
    })
}

/// Everything that is done with a config before weights are looked at.
fn digest(arch: &str, config: &Value, size: [u64; 2]) -> Result<(), Error> {
    let model = parse(arch, config)?;
    let rule = model.size_rule();
    for [h, w] in [[rule.minimum; 2], size.map(|n| usize::try_from(n).unwrap())] {
        let graph = whole_graph(&*model, 1, h, w)?;
        let _ = (graph.macs(), parameter_count(&graph), graph.to_string());
        if let (Some((_, x)), Some((_, y))) = (graph.inputs().next(), graph.outputs().first().cloned()) {
            let _ = footprint(&graph, x, y, 0);
        }
        let unlimited = Target::from(Caps::unlimited());
        for target in [&Target::default(), &unlimited] {
            let _ = rewrite::optimise(&graph, target).and_then(|g| Plan::new(&g, target)).map(|p| p.memory.total());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn configs_never_panic(arch in 0usize..3, mut config in config(), sound: bool, size in [number(), number()], step in 0u32..9) {
        let arch = ArchitectureId::all().nth(arch).unwrap().id();
        // Half of the time only what the architecture knows, or hardly one config would come through.
        while let Err(e) = parse(arch, &config) {
            let text = e.to_string();
            let Some(object) = config.as_object_mut().filter(|_| sound) else { break };
            match KEYS.iter().find(|k| text.contains(&format!("`{k}`")) && object.contains_key(**k)) {
                Some(key) => drop(object.remove(*key)),
                None => break,
            }
        }
        let _ = digest(arch, &config, size.map(|n| n.checked_shl(step).unwrap_or(n).max(1)));
    }

    #[test]
    fn values_of_any_kind_never_panic(arch in "\\PC{0,8}", value in value()) {
        let _ = parse(&arch, &value);
        for arch in ArchitectureId::all().map(ArchitectureId::id) {
            let _ = digest(arch, &value, [64, 64]);
        }
        let _ = ModelMetadata::parse(&json!({ "arch": arch, "config": value }).to_string());
    }

    #[test]
    fn metadata_never_panics(text in "\\PC{0,60}", key in "arch|config|format|classes|normalisation", value in value()) {
        let _ = ModelMetadata::parse(&text);
        let mut sound = json!({ "arch": "unet", "config": {} });
        sound[key.as_str()] = value;
        let _ = ModelMetadata::parse(&sound.to_string());
    }

    #[test]
    fn files_of_any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0usize..6) {
        let heads: [&[u8]; 6] = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0\x08\0\0\0", b"MM\0+\0\x08", b"\x1f\x8b\x08\0"];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [heads[kind], &bytes[..]].concat()).unwrap();
        // Every error names the file.
        let labels = LabelMap::open(file.path()).map(drop);
        for e in [weights::load(file.path()).map(drop), Image::open(file.path()).map(drop), labels].into_iter().filter_map(Result::err) {
            prop_assert!(e.to_string().starts_with(&file.path().display().to_string()), "{}", e);
        }
    }
}

#[test]
fn absurd_sizes_are_limits() {
    let limits = |arch: &str, config: Value, [h, w]: [usize; 2]| {
        let model = parse(arch, &config).unwrap();
        let e = whole_graph(&*model, 1, h, w).map(drop).unwrap_err();
        assert!(matches!(e, Error::Limit { .. }), "{arch} {config}: {e}");
    };
    for arch in ArchitectureId::all().map(ArchitectureId::id) {
        for n in [1 << 20, 1 << 31, 1 << 40, 1 << 63] {
            limits(arch, json!({}), [n, n]);
        }
        limits(arch, json!({}), [256, 1 << 40]);
    }
    limits("unet", json!({"padding": "same"}), [usize::MAX, usize::MAX]);
    limits("unet", json!({"widths": vec![16_384; 9], "depth": 8}), [3068, 3068]);
    limits("unet3p", json!({"widths": vec![16_384; 9], "depth": 8}), [256, 256]);

    // What the graph may say, but 32 bits cannot count, no plan takes.
    let model = parse("unet", &json!({"padding": "same", "width": 16})).unwrap();
    let graph = whole_graph(&*model, 1, 30_000, 30_000).unwrap();
    let unlimited = Target::from(Caps::unlimited());
    let e = Plan::new(&graph, &unlimited).map(drop).unwrap_err().to_string();
    assert_eq!(
        e,
        "enc.0.conv1: a tensor of shape 1x16x30000x30000 needs 14401920064, the limit is 4294967295 elements"
    );
}

/// What fuzzing starts from must be good, or it starts nowhere.
#[test]
fn seeds_are_good_files() {
    let folder = tempfile::tempdir().unwrap();
    for (target, name, bytes) in seeds::all() {
        let path = folder.path().join(&name);
        std::fs::write(&path, &bytes).unwrap();
        let result = match target {
            "safetensors" | "onnx" | "rdf" if name.starts_with("type_") => weights::load(&path).map(drop),
            "safetensors" | "onnx" | "rdf" => Model::open(&path.display().to_string()).map(drop),
            "tiff" | "image" if name == "imagej.tif" => Image::open(&path).map(drop).or(Ok(())),
            "tiff" | "image" => Image::open(&path).map(drop),
            _ => unet_wgpu::tune::parse(std::str::from_utf8(&bytes).unwrap(), "fuzz")
                .map(drop)
                .ok_or_else(|| Error::file(&path, "unread")),
        };
        assert!(result.is_ok(), "{target} {name}: {}", result.unwrap_err());
    }
}

/// `cargo test --test cpu write_seeds -- --ignored` before fuzzing; see fuzz/README.md.
#[test]
#[ignore = "writes into fuzz/corpus"]
fn write_seeds() {
    let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(fuzz.join(target)).unwrap();
        std::fs::write(fuzz.join(target).join(name), bytes).unwrap();
    };
    seeds::all().iter().for_each(|(target, name, bytes)| write(target, name, bytes));
    let torch = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/torch");
    for entry in std::fs::read_dir(torch).unwrap().map(Result::unwrap) {
        write("torch", &entry.file_name().to_string_lossy(), &std::fs::read(entry.path()).unwrap());
    }
    let images = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/images");
    for entry in std::fs::read_dir(images).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let target = if name.ends_with(".tif") { "tiff" } else { "image" };
        write(target, &name, &std::fs::read(entry.path()).unwrap());
    }
}
