use super::*;
use crate::model::{Architecture, Padding, UNet, onnx::export::export};
use crate::tensor::HostTensor;
use crate::weights::{Checkpoint, ModelMetadata, Normalisation, StoredType};
use serde_json::json;
use std::io::{Cursor, Write};

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn network() -> Model {
    let network = UNet { width: 2, depth: 2, padding: Padding::Same, out_channels: 1, ..UNet::default() };
    let graph = crate::model::whole_graph(&network, 1, 4, 4).unwrap();
    let tensor = |(name, dims): (&str, &[usize])| {
        (name.to_string(), HostTensor::new(dims, vec![0.25; dims.iter().product()]).unwrap())
    };
    let weights = graph.parameters().map(tensor).collect();
    let metadata = ModelMetadata::parse(r#"{"arch": "unet", "config": {}}"#).unwrap();
    let metadata = ModelMetadata { config: network.config(), ..metadata };
    Model::new("m", Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() }).unwrap()
}

const V4: &str = r#"
format_version: 0.4.9
type: model
name: cells
license: MIT
authors: [{name: A. Author}, {name: B. Author}]
cite: [{text: A paper, doi: 10.1/2}]
inputs:
  - name: raw
    axes: bcyx
    preprocessing:
      - name: scale_range
        kwargs: {mode: per_sample, axes: xy, min_percentile: 1, max_percentile: 99.8}
outputs:
  - name: mask
    axes: bcyx
    halo: [0, 0, 16, 24]
    postprocessing: [{name: sigmoid}]
weights:
  onnx: {source: ./weights.onnx, sha256: SUM, opset_version: 17}
test_inputs: [x.npy]
test_outputs: [y.npy]
"#;

const V5: &str = r#"
format_version: 0.5.3
type: model
name: cells
inputs:
  - id: raw
    axes:
      - {type: batch}
      - {type: channel, channel_names: [raw]}
      - {type: space, id: y, size: {min: 16, step: 4}}
      - {type: space, id: x, size: {min: 16, step: 4}}
    preprocessing:
      - {id: ensure_dtype, kwargs: {dtype: float32}}
      - {id: scale_linear, kwargs: {gain: 0.5, offset: 1}}
      - {id: fixed_zero_mean_unit_variance, kwargs: {mean: 2, std: 4}}
    test_tensor: {source: x.npy}
outputs:
  - id: mask
    axes:
      - {type: batch}
      - {type: channel, channel_names: [a]}
      - {type: space, id: y, size: 16, halo: 8}
      - {type: space, id: x, size: 16, halo: 8}
    test_tensor: {source: y.npy}
weights:
  pytorch_state_dict: {source: weights.safetensors, architecture: {callable: UNet}}
"#;

fn opened(rdf: &str, more: &[(&str, &[u8])]) -> Result<(Model, Package)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("package.zip");
    let mut entries = vec![("rdf.yaml", rdf.as_bytes())];
    entries.extend_from_slice(more);
    std::fs::write(&path, zip_of(&entries)).unwrap();
    open(&path, &Map::new())
}

fn sum(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn onnx() -> (Vec<u8>, String) {
    let bytes = export(&network()).unwrap();
    let rdf = V4.replace("SUM", &sum(&bytes));
    (bytes, rdf)
}

#[test]
fn version_4_with_onnx() {
    let (bytes, rdf) = onnx();
    let (model, package) = opened(&rdf, &[("weights.onnx", &bytes)]).unwrap();
    assert_eq!(model.weights(), network().weights());
    assert_eq!(model.metadata.normalisation, Normalisation::Percentile { low: 1.0, high: 99.8, clamp: None });
    assert_eq!((package.halo, &package.post[..], package.output.as_str()), ([16, 24], &[Post::Sigmoid][..], "logits"));
    let about = [("name", "cells"), ("license", "MIT"), ("authors", "A. Author; B. Author"), ("cite", "A paper")];
    assert_eq!(package.about, about.map(|(k, v)| (k, v.to_string())));
    assert_eq!(package.test.unwrap().map(|s| s.name), ["x.npy", "y.npy"]);
}

#[test]
fn version_5_with_a_state_dict() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let weights = network().weights().clone();
    crate::weights::save(&path, &Checkpoint { weights, ..Checkpoint::default() }, StoredType::F32).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (model, package) = opened(V5, &[("weights.safetensors", &bytes)]).unwrap();
    assert_eq!((model.weights(), package.halo), (network().weights(), [8, 8]));
    // (0.5 x + 1 - 2) / 4
    assert_eq!(model.metadata.normalisation, Normalisation::Linear { gain: vec![0.125], offset: vec![-0.25] });
    assert!(model.import().is_some());
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    let (bytes, rdf) = onnx();
    let error = |rdf: &str| opened(rdf, &[("weights.onnx", &bytes)]).unwrap_err().to_string();
    for (from, to, part) in [
        ("0.4.9", "0.3.6", "format_version: `0.3.6`; 0.4 and 0.5 are read"),
        ("type: model", "type: dataset", "`dataset` is not a model"),
        ("axes: bcyx", "axes: byxc", "axes of inputs: are `byxc`"),
        ("name: scale_range", "name: stardist", "processing `stardist`: before the network is not supported"),
        ("name: sigmoid", "name: cellpose_flow_dynamics", "processing `cellpose_flow_dynamics`: after the network"),
        ("mode: per_sample", "mode: per_dataset", "mode `per_dataset`"),
        ("axes: xy,", "axes: bzt,", "rather than over the picture"),
        ("weights.onnx", "../weights.onnx", "is not a file in the package"),
        ("weights.onnx", "https://a.b/weights.onnx", "is not a file in the package"),
        ("weights.onnx", "other.onnx", "`other.onnx`: is not in the package"),
        ("sha256: ", "sha256: 00", "the description says 00"),
        ("onnx: {", "tensorflow_js: {", "are tensorflow_js; onnx and pytorch_state_dict can be read"),
        ("license: MIT", "run_mode: {name: deepimagej}", "run_mode: needs Python code of its own"),
        ("test_inputs: [x.npy]", "test_inputs: [/etc/passwd]", "is not a file in the package"),
        ("weights:", "]weights: [", "is not YAML"),
    ] {
        let e = error(&rdf.replacen(from, to, 1));
        assert!(e.contains("package.zip: ") && e.contains(part), "{to}: {e}");
        assert_eq!(e.lines().count(), 1, "{e}");
    }
}

#[test]
fn hostile_archives_are_errors() {
    let (bytes, rdf) = onnx();
    let weights = ("weights.onnx", &bytes[..]);
    let error = |more: &[(&str, &[u8])]| opened(&rdf, more).unwrap_err().to_string();
    assert!(error(&[weights, ("../../evil", b"x")]).contains("entry `../../evil` is outside of the archive"));
    assert!(error(&[weights, ("./rdf.yaml", b"x")]).contains("is there twice"));
    assert!(error(&[("weights.onnx", &vec![0; 80 << 20])]).contains("over 200 times as many"));
    let long = format!("{rdf}\nmore: {}", "x".repeat(2 << 20));
    assert!(opened(&long, &[weights]).unwrap_err().to_string().contains("more than the 1048576 allowed"));
    // Aliases of aliases: ten to the tenth texts.
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_string();
    for i in 1..10 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        laughs += &format!("a{i}: &a{i} [{list}]\n");
    }
    assert!(opened(&format!("{laughs}{rdf}"), &[weights]).unwrap_err().to_string().contains("is not YAML"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.zip");
    let whole = zip_of(&[("rdf.yaml", rdf.as_bytes()), weights]);
    for cut in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(open(&path, &Map::new()).is_err(), "{cut}");
    }
}

#[test]
fn processing_after_the_network() {
    let x = HostTensor::new([1, 2, 1, 2], vec![0.0, 1.0, 3f32.ln(), 1.0]).unwrap();
    let y = Post::Softmax.apply(&x).unwrap();
    for (got, want) in y.data().iter().zip([0.25, 0.5, 0.75, 0.5]) {
        assert!((got - want).abs() < 1e-6, "{y:?}");
    }
    assert_eq!(Post::Sigmoid.apply(&x).unwrap().data()[0], 0.5);
    assert_eq!(Post::Binarize(0.5).apply(&x).unwrap().data(), [0.0, 1.0, 1.0, 1.0]);
    assert_eq!(Post::Linear(2.0, 1.0).apply(&x).unwrap().data()[1], 3.0);
    assert_eq!(Post::Clip(0.0, 0.5).apply(&x).unwrap().data()[1], 0.5);
}

#[test]
fn channels_together_are_refused() {
    let step = |axes: Value| Step { name: "zero_mean_unit_variance".into(), values: json!({ "axes": axes }) };
    assert_eq!(processing::normalisation(&[step(json!(["x", "y"]))], 3).unwrap(), Normalisation::ZScore);
    assert_eq!(processing::normalisation(&[step(json!("cxy"))], 1).unwrap(), Normalisation::ZScore);
    let e = processing::normalisation(&[step(json!(["channel", "y", "x"]))], 3).unwrap_err().to_string();
    assert!(e.contains("all 3 channels together"), "{e}");
    assert!(processing::normalisation(&[step(Value::Null)], 3).is_err(), "the default is all axes");
}
