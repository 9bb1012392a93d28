//! Files made here: what is read, and what is refused, with the message.

use super::super::proto::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionValue, GraphProto, NodeProto, OperatorSetId,
    StringEntry, TensorProto, TensorShape, TensorType, TypeProto, ValueInfo,
};
use super::*;
use crate::model::{Architecture, INPUT, whole_graph};
use crate::session::Backend;
use crate::tensor::HostTensor;

fn attribute(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: ints.to_vec(), r#type: AttributeType::Ints as i32, ..Default::default() }
}

fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let names = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
    NodeProto { op_type: op.into(), input: names(inputs), output: names(outputs), attribute, ..Default::default() }
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let data_type = DataType::Float as i32;
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type, float_data: values.to_vec(), ..Default::default() }
}

fn whole_numbers(name: &str, values: &[i64]) -> TensorProto {
    let (dims, data_type) = (vec![values.len() as i64], DataType::Int64 as i32);
    TensorProto { name: name.into(), dims, data_type, int64_data: values.to_vec(), ..Default::default() }
}

/// An image; 0 is a dimension without a number.
fn image(name: &str, dims: &[i64]) -> ValueInfo {
    let dim = |&d: &i64| Dimension { value: (d != 0).then_some(DimensionValue::Fixed(d)) };
    let shape = Some(TensorShape { dim: dims.iter().map(dim).collect() });
    let tensor_type = Some(TensorType { elem_type: DataType::Float as i32, shape });
    ValueInfo { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

fn model(nodes: Vec<NodeProto>, tensors: Vec<TensorProto>, input: &[i64]) -> ModelProto {
    let graph = GraphProto {
        node: nodes,
        initializer: tensors,
        input: vec![image("x", input)],
        output: vec![image("y", &[0, 0, 0, 0])],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetId { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..Default::default() }
}

fn conv(input: &str, output: &str) -> NodeProto {
    node("Conv", &[input, "w"], &[output], vec![attribute("pads", &[1, 1, 1, 1])])
}

/// A convolution to two channels.
fn weight() -> TensorProto {
    floats("w", &[2, 1, 3, 3], &[0.5; 18])
}

fn opened(model: &ModelProto) -> Result<(OnnxNetwork, ModelMetadata, Weights)> {
    parse(&model.encode_to_vec(), Path::new("m.onnx"), &OnnxOptions::default())
}

fn refused(model: &ModelProto) -> String {
    opened(model).unwrap_err().to_string()
}

fn run(model: &ModelProto, x: &HostTensor) -> BTreeMap<String, HostTensor> {
    let (network, _, weights) = opened(model).unwrap();
    let s = x.shape().unwrap();
    let graph = whole_graph(&network, s.n, s.h, s.w).unwrap();
    let inputs = BTreeMap::from([(INPUT.to_string(), x.clone())]);
    Backend::Cpu.run(&graph, &inputs, |key, dims| weights.require(key, dims).cloned()).unwrap()
}

fn ramp(n: usize, h: usize, w: usize) -> HostTensor {
    HostTensor::new([n, 1, h, w], (0..n * h * w).map(|i| i as f32).collect()).unwrap()
}

#[test]
fn a_network_of_any_size_is_understood() {
    let m = model(vec![conv("x", "a"), node("Relu", &["a"], &["y"], vec![])], vec![weight()], &[0, 1, 0, 0]);
    let (network, metadata, weights) = opened(&m).unwrap();
    let rule = network.size_rule();
    assert_eq!((rule.minimum, rule.step, rule.margin, network.fixed_size()), (1, 1, 0, [None; 2]));
    assert_eq!((network.in_channels(), network.out_channels()), (1, 2));
    assert_eq!(weights.keys().collect::<Vec<_>>(), ["w"]);
    assert_eq!(metadata.normalisation, Normalisation::Unit);
    assert_eq!(run(&m, &ramp(2, 2, 2))["y"].data()[..4], [3.0; 4]);
}

#[test]
fn sizes_are_found_by_translating() {
    let pool = |i: &str, o: &str| {
        node("MaxPool", &[i], &[o], vec![attribute("kernel_shape", &[2, 2]), attribute("strides", &[2, 2])])
    };
    let up = node(
        "Resize",
        &["b", "", "s"],
        &["y"],
        vec![
            AttributeProto {
                name: "coordinate_transformation_mode".into(),
                s: Some("asymmetric".into()),
                ..Default::default()
            },
            AttributeProto { name: "nearest_mode".into(), s: Some("floor".into()), ..Default::default() },
        ],
    );
    let m =
        model(vec![pool("x", "a"), pool("a", "b"), up], vec![floats("s", &[4], &[1.0, 1.0, 4.0, 4.0])], &[0, 1, 0, 0]);
    let rule = opened(&m).unwrap().0.size_rule();
    assert_eq!((rule.minimum, rule.step, rule.margin), (4, 4, 0));
    // Unpadded: two pixels less, and an even number goes into the pool.
    let narrow = node("Conv", &["x", "w"], &["a"], vec![]);
    let m = model(vec![narrow, node("Relu", &["a"], &["y"], vec![])], vec![weight()], &[0, 1, 0, 0]);
    let rule = opened(&m).unwrap().0.size_rule();
    assert_eq!((rule.minimum, rule.step, rule.margin), (3, 1, 1));
    let m = model(vec![conv("x", "y")], vec![weight()], &[1, 1, 6, 4]);
    let (network, ..) = opened(&m).unwrap();
    assert_eq!(network.fixed_size(), [Some(6), Some(4)]);
    let e = whole_graph(&network, 1, 8, 8).unwrap_err().to_string();
    assert!(e.contains("the file fixes rows at 6"), "{e}");
    let free = OnnxOptions { free_size: true, ..OnnxOptions::default() };
    let (network, ..) = parse(&m.encode_to_vec(), Path::new("m.onnx"), &free).unwrap();
    assert!(whole_graph(&network, 1, 8, 8).is_ok());
}

#[test]
fn arithmetic_on_shapes_is_done() {
    // What PyTorch writes for `F.interpolate(pool(x), size=x.shape[2:])`.
    let nodes = vec![
        node("MaxPool", &["x"], &["p"], vec![attribute("kernel_shape", &[2, 2]), attribute("strides", &[2, 2])]),
        node("Shape", &["x"], &["xs"], vec![]),
        node("Slice", &["xs", "two", "four", "zero"], &["size"], vec![]),
        node("Shape", &["p"], &["ps"], vec![]),
        node("Slice", &["ps", "zero", "two", "zero"], &["nc"], vec![]),
        node(
            "Concat",
            &["nc", "size"],
            &["sizes"],
            vec![AttributeProto { name: "axis".into(), i: Some(0), ..Default::default() }],
        ),
        node("Resize", &["p", "", "", "sizes"], &["y"], vec![]),
    ];
    let numbers = [("zero", 0), ("two", 2), ("four", 4)].map(|(n, v)| whole_numbers(n, &[v])).to_vec();
    let got = run(&model(nodes, numbers, &[0, 1, 0, 0]), &ramp(1, 5, 7));
    assert_eq!(got["y"].dims(), [1, 1, 5, 7]);
}

#[test]
fn nodes_that_cannot_be_translated_are_listed_at_once() {
    let nodes = vec![
        node("Einsum", &["x"], &["a"], vec![]),
        node("Relu", &["a"], &["b"], vec![]),
        node("LSTM", &["b"], &["c"], vec![]),
        node("Conv", &["x", "w"], &["d"], vec![attribute("strides", &[1, 1, 1])]),
        node("Add", &["c", "d"], &["y"], vec![]),
    ];
    let e = refused(&model(nodes, vec![weight()], &[0, 1, 0, 0]));
    assert!(e.starts_with("m.onnx: 3 nodes cannot be translated: `a` (Einsum): the operator is not supported"), "{e}");
    assert!(e.contains("`c` (LSTM): ") && e.contains("`d` (Conv): `strides` is [1, 1, 1]"), "{e}");
}

#[test]
fn damaged_files_are_refused() {
    let whole = model(vec![conv("x", "y")], vec![weight()], &[0, 1, 0, 0]).encode_to_vec();
    for length in 0..whole.len() {
        let e = parse(&whole[..length], Path::new("m.onnx"), &OnnxOptions::default()).unwrap_err().to_string();
        assert!(e.starts_with("m.onnx: "), "{length}: {e}");
    }
    let e = parse(&[0xff; 40], Path::new("m.onnx"), &OnnxOptions::default()).unwrap_err().to_string();
    assert!(e.contains("not an ONNX file, or a damaged one"), "{e}");
    // A field of 2^60 bytes takes no memory.
    let e = parse(b"\x08\x08\x3a\x80\x80\x80\x80\x80\x80\x80\x80\x10", Path::new("m.onnx"), &OnnxOptions::default());
    assert!(e.unwrap_err().to_string().contains("it ends too early"));
    // Two million nodes of two bytes each.
    let mut graph = vec![0x3a, 0x80, 0x89, 0x7a];
    graph.extend([0x0au8, 0x00].repeat(1_000_000));
    let e = parse(&[graph.clone(), graph].concat(), Path::new("m.onnx"), &OnnxOptions::default());
    assert!(e.unwrap_err().to_string().contains("more entries than any network has"));
}

#[test]
fn cycles_and_names_made_twice_are_refused() {
    let e = refused(&model(
        vec![
            node("Add", &["x", "b"], &["a"], vec![]),
            node("Relu", &["a"], &["b"], vec![]),
            node("Relu", &["b"], &["y"], vec![]),
        ],
        vec![],
        &[0, 1, 0, 0],
    ));
    assert_eq!(e, "m.onnx: node `a` (Add) needs its own result");
    let e = refused(&model(vec![conv("x", "y"), conv("x", "y")], vec![weight()], &[0, 1, 0, 0]));
    assert_eq!(e, "m.onnx: `y` is made twice");
    let e = refused(&model(vec![conv("x", "y")], vec![weight(), weight()], &[0, 1, 0, 0]));
    assert_eq!(e, "m.onnx: two tensors are called `w`");
}

#[test]
fn what_is_missing_is_named() {
    let e = refused(&model(vec![conv("x", "y")], vec![], &[0, 1, 0, 0]));
    assert!(e.ends_with("takes 1 input: `w`") || e.contains("`w` is not in the file"), "{e}");
    let mut m = model(vec![conv("x", "z")], vec![weight()], &[0, 1, 0, 0]);
    assert!(refused(&m).contains("`y` (output): nothing makes it"), "{}", refused(&m));
    m.graph.as_mut().unwrap().input.clear();
    assert!(refused(&m).contains("takes 0 inputs"));
    m.graph = None;
    assert_eq!(refused(&m), "m.onnx: holds no network");
    let e = refused(&model(vec![node("Relu", &["x"], &["y"], vec![])], vec![], &[0, 0, 0, 0]));
    assert!(e.contains("how many channels"), "{e}");
}

#[test]
fn huge_and_empty_dimensions_are_refused() {
    let tensor = |dims: &[i64]| {
        refused(&model(vec![conv("x", "y")], vec![TensorProto { dims: dims.to_vec(), ..weight() }], &[0, 1, 0, 0]))
    };
    assert!(tensor(&[i64::MAX, i64::MAX, 3, 3]).contains("are too many or too large"));
    assert!(tensor(&[-2, 1, 3, 3]).contains("negative dimensions"));
    assert!(tensor(&[1 << 20, 1, 3, 3]).contains("18 elements do not fill"));
    assert!(tensor(&[2, 1, 3, 3, 1, 1, 1, 1, 1]).contains("too many"));
    let input = |dims: &[i64]| refused(&model(vec![conv("x", "y")], vec![weight()], dims));
    assert!(input(&[1, 1, 1 << 40, 8]).contains("has a dimension of 1099511627776"));
    assert!(input(&[1, 1, 8, 8, 1]).contains("has 5 dimensions; images have 2 to 4"));
    // A constant that would be made of nothing.
    let fill = vec![node("ConstantOfShape", &["s"], &["c"], vec![]), node("Add", &["x", "c"], &["y"], vec![])];
    let e = refused(&model(fill, vec![whole_numbers("s", &[1, 1, 1 << 20, 1 << 18])], &[0, 1, 0, 0]));
    assert!(e.contains("is larger than"), "{e}");
    // An output beyond every device.
    let scale = floats("s", &[4], &[1.0, 1.0, 1e9, 1e9]);
    let e = refused(&model(vec![node("Resize", &["x", "", "s"], &["y"], vec![])], vec![scale], &[0, 1, 0, 0]));
    assert!(e.contains("(Resize)"), "{e}");
    // Slices that leave nothing.
    let nothing = vec![node("Slice", &["x", "a", "a", "b"], &["y"], vec![])];
    let numbers = vec![whole_numbers("a", &[5]), whole_numbers("b", &[2])];
    let e = refused(&model(nothing, numbers, &[0, 1, 0, 0]));
    assert!(e.contains("`y` (output): is a constant"), "{e}");
}

/// A model file in a folder, with its weight in another file.
fn outside(
    location: &str,
    more: &[(&str, &str)],
) -> (tempfile::TempDir, Result<(OnnxNetwork, ModelMetadata, Weights)>) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("model");
    std::fs::create_dir(&folder).unwrap();
    let bytes: Vec<u8> = (0..18).flat_map(|i| (i as f32).to_le_bytes()).collect();
    std::fs::write(folder.join("w.bin"), [&[0; 8][..], &bytes].concat()).unwrap();
    std::fs::write(dir.path().join("secret.bin"), &bytes).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../secret.bin", folder.join("link.bin")).unwrap();
    let entry = |(k, v): (&str, &str)| StringEntry { key: k.into(), value: v.into() };
    let mut external_data = vec![entry(("location", location))];
    external_data.extend(more.iter().map(|&e| entry(e)));
    let tensor = TensorProto { float_data: vec![], data_location: 1, external_data, ..weight() };
    let path = folder.join("m.onnx");
    std::fs::write(&path, model(vec![conv("x", "y")], vec![tensor], &[0, 1, 0, 0]).encode_to_vec()).unwrap();
    let result = open(&path, &OnnxOptions::default());
    (dir, result)
}

#[test]
fn tensors_in_other_files_are_read_from_the_folder_only() {
    let (_dir, result) = outside("w.bin", &[("offset", "8"), ("length", "72")]);
    assert_eq!(result.unwrap().2.get("w").unwrap().data()[17], 17.0);
    let error = |location: &str, more: &[(&str, &str)]| outside(location, more).1.unwrap_err().to_string();
    for location in ["../secret.bin", "/etc/passwd", "a/../../secret.bin", "..\\secret.bin", ""] {
        let e = error(location, &[]);
        assert!(e.contains("outside of the model's folder: refused"), "{location}: {e}");
    }
    #[cfg(unix)]
    assert!(error("link.bin", &[]).contains("leads out of the model's folder: refused"));
    assert!(error("none.bin", &[]).contains("`none.bin`"));
    assert!(error(".", &[]).contains("is not a file"));
    assert!(error("w.bin", &[("offset", "8"), ("length", "80")]).contains("are not in `w.bin`"));
    assert!(error("w.bin", &[("offset", "18446744073709551615"), ("length", "72")]).contains("are not in `w.bin`"));
    assert!(error("w.bin", &[("offset", "-1")]).contains("its offset is `-1`"));
    assert!(error("w.bin", &[("offset", "8"), ("length", "71")]).contains("71 bytes of elements"));
}

#[test]
fn files_are_recognised_by_their_first_bytes() {
    let head = model(vec![conv("x", "y")], vec![weight()], &[0, 1, 0, 0]).encode_to_vec();
    assert!(is_onnx(&head[..16], Path::new("model")));
    assert!(is_onnx(b"garbage", Path::new("model.onnx")));
    assert!(!is_onnx(b"\x08\0\0\0\0\0\0\0{}      ", Path::new("a.safetensors")));
    assert!(!is_onnx(b"PK\x03\x04", Path::new("a.pth")));
}

#[test]
fn a_git_lfs_pointer_is_called_that() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n";
    let e = parse(pointer, Path::new("m.onnx"), &OnnxOptions::default()).unwrap_err().to_string();
    assert_eq!(e, "m.onnx: is a Git LFS pointer, not the file: run `git lfs pull`");
    let page = b"<!DOCTYPE html><html><head></head></html>";
    let e = parse(page, Path::new("m.onnx"), &OnnxOptions::default()).unwrap_err().to_string();
    assert!(e.contains("web page"), "{e}");
    // The same where the weights lie in another file.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("w.bin"), pointer).unwrap();
    let entry = |key: &str, value: &str| StringEntry { key: key.into(), value: value.into() };
    let outside = TensorProto {
        data_location: 1,
        external_data: vec![entry("location", "w.bin"), entry("offset", "0"), entry("length", "72")],
        float_data: vec![],
        ..weight()
    };
    let bytes = model(vec![conv("x", "y")], vec![outside], &[1, 1, 0, 0]).encode_to_vec();
    let path = folder.path().join("m.onnx");
    let e = parse(&bytes, &path, &OnnxOptions::default()).unwrap_err().to_string();
    assert!(e.contains("`w.bin` is a Git LFS pointer, not the file: run `git lfs pull`"), "{e}");
}
