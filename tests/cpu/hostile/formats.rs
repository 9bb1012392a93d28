//! Small files that claim more than they hold: each would exhaust a careless reader's memory, stack or time.

use super::files::{Tiff, zip_of};
use super::seeds::{RDF, floats, int, ints, models, node, numbers, onnx_model, text};
use prost::Message;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unet_wgpu::Model;
use unet_wgpu::low_level::graph::{Graph, ValueId, footprint};
use unet_wgpu::low_level::infer::{Image, LabelMap, OpenOptions, Pixels, open_image, page_count};
use unet_wgpu::low_level::model::onnx::proto::{AttributeProto, ModelProto, NodeProto, TensorProto};
use unet_wgpu::low_level::model::{Architecture, Built, SizeRule};
use unet_wgpu::low_level::model::{
    onnx::{OnnxOptions, parse},
    onnx_export::export,
};
use unet_wgpu::low_level::tensor::{Shape, TensorDesc};
use unet_wgpu::low_level::weights::{Checkpoint, ModelMetadata, Weights, load};
use unet_wgpu::{Error, Result};

/// Far above what any check takes, far below what a successful attack would take.
const TIMEOUT: Duration = Duration::from_secs(60);

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Checks that `work` fails in time, with an error that names the file and contains `parts`.
fn assert_rejected<T>(path: &Path, parts: &[&str], work: impl FnOnce(&Path) -> Result<T>) {
    let start = Instant::now();
    let e = work(path).err().unwrap_or_else(|| panic!("{} was read", path.display())).to_string();
    assert!(start.elapsed() < TIMEOUT, "{}: {:?}", path.display(), start.elapsed());
    assert!(e.starts_with(&path.display().to_string()), "{e}");
    assert!(parts.iter().all(|p| e.contains(p)), "{parts:?}: {e}");
}

fn model(path: &Path) -> Result<Model> {
    Model::open(&path.display().to_string())
}

fn checkpoint(path: &Path) -> Result<Checkpoint> {
    load(path)
}

fn onnx(nodes: Vec<NodeProto>, tensors: Vec<TensorProto>) -> Result<SizeRule> {
    opened(&onnx_model(nodes, tensors, &[1, 1, 0, 0]))
}

fn opened(model: &ModelProto) -> Result<SizeRule> {
    let start = Instant::now();
    let result = parse(&model.encode_to_vec(), Path::new("m.onnx"), &OnnxOptions::default());
    assert!(start.elapsed() < TIMEOUT, "{:?}", start.elapsed());
    result.map(|r| r.0.size_rule())
}

fn assert_error(result: Result<SizeRule>, parts: &[&str]) {
    let e = result.unwrap_err().to_string();
    assert!(e.starts_with("m.onnx: ") && parts.iter().all(|p| e.contains(p)), "{parts:?}: {e}");
    assert!(e.len() < 1 << 17, "a message of {} bytes", e.len());
}

#[test]
fn zip_bombs() {
    let folder = Folder::new();
    let zeros = vec![0u8; 80 << 20];
    // A checkpoint whose storage was replaced.
    let good = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/torch/module.pth")).unwrap();
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(good)).unwrap();
    let mut entries = Vec::new();
    for i in 0..zip.len() {
        let mut bytes = Vec::new();
        let mut entry = zip.by_index(i).unwrap();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        entries.push((entry.name().unwrap().to_string(), bytes));
    }
    let first = entries.iter().position(|e| e.0.contains("/data/")).unwrap();
    entries[first].1 = zeros.clone();
    let borrowed: Vec<(&str, &[u8])> = entries.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
    assert_rejected(&folder.file("bomb.pth", &zip_of(&borrowed, true)), &["inflate to", "over 200 times"], checkpoint);
    // Packages: the description, and the weights.
    let bomb = zip_of(&[("rdf.yaml", &zeros)], true);
    assert_rejected(&folder.file("description.zip", &bomb), &["more than the 1048576 allowed"], model);
    let bomb = zip_of(&[("rdf.yaml", RDF.as_bytes()), ("weights.onnx", &zeros)], true);
    assert_rejected(&folder.file("weights.zip", &bomb), &["`weights.onnx`", "over 200 times"], model);
    // A name that points out of the package.
    let outside = zip_of(&[("rdf.yaml", RDF.as_bytes()), ("../weights.onnx", b"x")], false);
    assert_rejected(&folder.file("outside.zip", &outside), &[], model);
    let linked = RDF.replace("./weights.onnx", "../../etc/passwd");
    assert_rejected(
        &folder.file("link.zip", &zip_of(&[("rdf.yaml", linked.as_bytes())], false)),
        &["not a file in the package"],
        model,
    );
}

#[test]
fn deep_and_exponential_yaml() {
    let folder = Folder::new();
    let package = |name: &str, yaml: &str| {
        let exported = export(&models()[0]).unwrap();
        folder.file(name, &zip_of(&[("rdf.yaml", yaml.as_bytes()), ("weights.onnx", &exported)], true))
    };
    let laughs: String =
        (1..12).map(|i| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "))).collect();
    assert_rejected(&package("laughs.zip", &format!("a0: &a0 lol\n{laughs}{RDF}")), &["is not YAML"], model);
    assert_rejected(
        &package("deep.zip", &format!("{RDF}x: {}{}\n", "[".repeat(200_000), "]".repeat(200_000))),
        &["is not YAML"],
        model,
    );
    let merged: String = (1..40).map(|i| format!("m{i}: &m{i} {{<<: [*m{0}, *m{0}], k{i}: 1}}\n", i - 1)).collect();
    let start = Instant::now();
    let _ = model(&package("merged.zip", &format!("m0: &m0 {{k: 1}}\n{merged}{RDF}")));
    assert!(start.elapsed() < TIMEOUT);
}

#[test]
fn deep_exponential_and_lying_pickles() {
    let folder = Folder::new();
    let zipped = |name: &str, pickle: &[u8]| {
        folder.file(name, &zip_of(&[("archive/data.pkl", pickle), ("archive/version", b"3")], false))
    };
    // Lists in lists.
    let deep = [&b"\x80\x02"[..], &b"]".repeat(100_000), &b"a".repeat(99_999), b"."].concat();
    assert_rejected(&zipped("deep.pth", &deep), &["cannot be read"], checkpoint);
    // Every list holds the previous one twice.
    let mut laughs = b"\x80\x02]q\x00".to_vec();
    (1..60u8).for_each(|i| laughs.extend([b']', b'(', b'h', i - 1, b'h', i - 1, b'e', b'q', i]));
    laughs.push(b'.');
    assert_rejected(&zipped("laughs.pth", &laughs), &["cannot be read"], checkpoint);
    // A string of 2^31 bytes in a file of 20 bytes.
    assert_rejected(&zipped("long.pth", b"\x80\x02X\xff\xff\xff\x7fabc."), &[], checkpoint);
    assert_rejected(&zipped("long8.pth", b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0fabc."), &[], checkpoint);
    // Code is never run.
    assert_rejected(&zipped("system.pth", b"\x80\x02cos\nsystem\nX\x04\0\0\0echoq\0\x85R."), &[], checkpoint);
    // The same without the zip: PyTorch before 1.6.
    let legacy = |name: &str, rest: &[u8]| {
        let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
        let system = b"\x80\x02}X\x0d\0\0\0little_endian\x88s.";
        folder.file(name, &[&magic[..], system, rest].concat())
    };
    assert_rejected(&legacy("deep.pt", &deep), &[], checkpoint);
    assert_rejected(&legacy("laughs.pt", &laughs), &[], checkpoint);
    assert_rejected(&legacy("cut.pt", b"\x80\x02}"), &[], checkpoint);
}

#[test]
fn tensors_larger_than_their_file() {
    let folder = Folder::new();
    let header = |dtype: &str, shape: serde_json::Value, end: u64| {
        let text =
            json!({ "enc.0.conv1.weight": { "dtype": dtype, "shape": shape, "data_offsets": [0, end] } }).to_string();
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &[0; 8]].concat()
    };
    let file = |i: usize, bytes: Vec<u8>| folder.file(&format!("{i}.safetensors"), &bytes);
    let named = "enc.0.conv1.weight";
    assert_rejected(
        &file(0, header("F32", json!([1_000_000_000_000u64]), 8)),
        &[named, "needs 4000000000000 bytes"],
        checkpoint,
    );
    assert_rejected(
        &file(1, header("F32", json!([1u64 << 40, 1u64 << 40]), 8)),
        &[named, "impossibly large"],
        checkpoint,
    );
    assert_rejected(
        &file(2, header("F32", json!([1_000_000_000_000u64]), 4_000_000_000_000)),
        &["cut off"],
        checkpoint,
    );
    assert_rejected(&file(3, header("F32", json!([-1]), 8)), &[named, "`shape` is not a list of sizes"], checkpoint);
    assert_rejected(&file(4, [&(1u64 << 62).to_le_bytes()[..], b"{}"].concat()), &[], checkpoint);
}

#[test]
fn exponential_constants() {
    // Each twice as large as the previous one: 2^40 elements after 40 small nodes.
    let doubled = |op: &str| {
        let attribute = vec![int("axis", 0)];
        let twice =
            |i: usize| node(op, &[&format!("c{i}"), &format!("c{i}")], &[&format!("c{}", i + 1)], attribute.clone());
        let mut nodes: Vec<NodeProto> = (0..40).map(twice).collect();
        nodes.push(node("Reshape", &["x", "c40"], &["y"], vec![]));
        onnx(nodes, vec![numbers("c0", &[1, 2])])
    };
    assert_error(doubled("Concat"), &["(Concat)", "elements"]);
    // Many constants of the same size.
    let mut nodes = vec![node("ConstantOfShape", &["s"], &["c0"], vec![])];
    nodes.extend((0..2000).map(|i| node("Neg", &[&format!("c{i}")], &[&format!("c{}", i + 1)], vec![])));
    nodes.push(node("Add", &["x", "c2000"], &["y"], vec![]));
    assert_error(
        onnx(nodes, vec![numbers("s", &[1, 1, 1 << 12, 1 << 11])]),
        &["arithmetic on constants uses more than"],
    );
    let one = |nodes: Vec<NodeProto>, tensors: Vec<TensorProto>| {
        onnx([nodes, vec![node("Reshape", &["x", "c"], &["y"], vec![])]].concat(), tensors)
    };
    let range = |v: [i64; 3]| {
        let scalar = |name: &str, v: i64| TensorProto { dims: vec![], ..numbers(name, &[v]) };
        one(
            vec![node("Range", &["a", "b", "d"], &["c"], vec![])],
            vec![scalar("a", v[0]), scalar("b", v[1]), scalar("d", v[2])],
        )
    };
    assert_error(range([0, i64::MAX, 1]), &["a range from"]);
    assert_error(range([0, 5, 0]), &["a range from"]);
    assert_error(range([i64::MAX - 1, i64::MAX, i64::MAX]), &[]);
    let expand =
        one(vec![node("Expand", &["a", "s"], &["c"], vec![])], vec![numbers("a", &[1]), numbers("s", &[1 << 30])]);
    assert_error(expand, &["is larger than"]);
    let tile =
        one(vec![node("Tile", &["a", "s"], &["c"], vec![])], vec![numbers("a", &[1, 2]), numbers("s", &[i64::MAX])]);
    assert_error(tile, &["too many or too large"]);
    let parts = node("Split", &["a"], &["c"], vec![int("num_outputs", i64::MAX)]);
    assert_error(one(vec![parts], vec![numbers("a", &[1, 2])]), &["num_outputs"]);
}

/// If one dimension is 0 there are no elements, and the others may have any size.
#[test]
fn empty_tensors_of_huge_dimensions() {
    let empty = |dims: &[i64]| TensorProto { int64_data: vec![], dims: dims.to_vec(), ..numbers("e", &[]) };
    for (op, inputs, attribute) in [
        ("Transpose", vec!["e"], vec![]),
        ("Gather", vec!["e", "i"], vec![int("axis", 1)]),
        ("Concat", vec!["e", "e"], vec![int("axis", 2)]),
        ("ReduceSum", vec!["e"], vec![int("axis", 0)]),
        ("Slice", vec!["e", "i", "i"], vec![]),
        ("Cast", vec!["e"], vec![int("to", 1)]),
    ] {
        for dims in [&[1 << 40, 1, 0][..], &[1 << 62, 1 << 62, 0], &[0, i64::MAX, i64::MAX], &[1 << 20, 1 << 20, 0]] {
            let nodes =
                vec![node(op, &inputs, &["c"], attribute.clone()), node("Reshape", &["x", "c"], &["y"], vec![])];
            assert_error(onnx(nodes, vec![empty(dims), numbers("i", &[0])]), &[]);
        }
    }
}

#[test]
fn absurd_attributes() {
    let w = || floats("w", &[2, 1, 3, 3], &[0.5; 18]);
    let conv = |a: AttributeProto| onnx(vec![node("Conv", &["x", "w"], &["y"], vec![a])], vec![w()]);
    for name in ["strides", "dilations"] {
        assert_error(conv(ints(name, &[0, 1])), &["(Conv)", "[0, 1]"]);
        assert_error(conv(ints(name, &[-1, 1])), &["(Conv)", "-1"]);
        assert_error(conv(ints(name, &[i64::MAX, 1])), &["(Conv)"]);
    }
    assert_error(conv(int("group", 0)), &["group is not a positive number"]);
    assert_error(conv(int("group", i64::MIN)), &["group is not a positive number"]);
    assert_error(conv(int("group", 1 << 40)), &["(Conv)"]);
    assert_error(conv(ints("pads", &[i64::MAX; 4])), &["`pads`"]);
    assert_error(conv(ints("kernel_shape", &[0, 0])), &["kernel_shape"]);
    let pool = |k: &[i64], s: &[i64]| {
        onnx(vec![node("MaxPool", &["x"], &["y"], vec![ints("kernel_shape", k), ints("strides", s)])], vec![])
    };
    assert_error(pool(&[0, 0], &[1, 1]), &["(MaxPool)"]);
    assert_error(pool(&[2, 2], &[0, 0]), &["(MaxPool)"]);
    let transposed = vec![node("ConvTranspose", &["x", "k"], &["y"], vec![ints("strides", &[0, 0])])];
    assert_error(onnx(transposed, vec![floats("k", &[1, 1, 2, 2], &[0.5; 4])]), &["(ConvTranspose)"]);
    for scale in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.0, 1e-30, 1e30] {
        let nodes = vec![node("Resize", &["x", "", "s"], &["y"], vec![text("mode", "linear")])];
        assert_error(onnx(nodes, vec![floats("s", &[4], &[1.0, 1.0, scale, scale])]), &["(Resize)"]);
    }
    assert_error(onnx(vec![node("DepthToSpace", &["x"], &["y"], vec![int("blocksize", 0)])], vec![]), &["blocksize"]);
    assert_error(
        onnx(vec![node("Transpose", &["x"], &["y"], vec![ints("perm", &[0, 0, 1, 2])])], vec![]),
        &["permutation"],
    );
    let nan = AttributeProto { name: "alpha".into(), f: Some(f32::NAN), ..Default::default() };
    assert_error(onnx(vec![node("LeakyRelu", &["x"], &["y"], vec![nan])], vec![]), &["slope: NaN"]);
}

/// Long chains take linear time and constant stack.
#[test]
fn networks_of_very_many_nodes() {
    let chain = |op: &str, n: usize, first: &str| -> Vec<NodeProto> {
        let name = |i: usize| if i == 0 { first.to_string() } else { format!("{op}{i}") };
        (0..n).map(|i| node(op, &[&name(i)], &[&name(i + 1)], vec![])).collect()
    };
    let last = |mut nodes: Vec<NodeProto>| {
        nodes.last_mut().unwrap().output[0] = "y".into();
        nodes
    };
    assert_error(
        onnx(last(chain("Relu", 100_000, "x")), vec![]),
        &["has 100000 nodes, more than the 65536 that are read"],
    );
    assert_eq!(onnx(last(chain("Relu", 20_000, "x")), vec![]).unwrap().step, 1);
    assert_eq!(onnx(last(chain("Identity", 60_000, "x")), vec![]).unwrap().step, 1);
    // A long chain of weights computed from weights.
    let mut nodes = chain("Transpose", 20_000, "w");
    nodes.push(node("Conv", &["x", "Transpose20000"], &["y"], vec![]));
    let w = floats("w", &[72, 72, 1, 1], &vec![0.5; 72 * 72]);
    assert_error(opened(&onnx_model(nodes, vec![w.clone()], &[1, 72, 0, 0])), &["arithmetic on constants"]);
    let mut nodes = chain("Transpose", 2_000, "w");
    nodes.push(node("Conv", &["x", "Transpose2000"], &["y"], vec![]));
    let model = onnx_model(nodes, vec![TensorProto { dims: vec![72, 72, 1, 1], ..w }], &[1, 72, 0, 0]);
    let start = Instant::now();
    if let Ok((network, metadata, weights)) =
        parse(&model.encode_to_vec(), Path::new("m.onnx"), &OnnxOptions::default())
    {
        let model = Model::with_architecture("m", Arc::new(network), metadata, weights).unwrap();
        let graph = unet_wgpu::low_level::model::whole_graph(&*model.architecture, 1, 8, 8).unwrap();
        let _ = unet_wgpu::low_level::graph::rewrite::optimise(&graph, &Default::default()).unwrap();
    }
    // Every node fails for a different reason.
    let nodes = (0..30_000).map(|i| node(&format!("Op{i}"), &["x"], &[&format!("o{i}")], vec![]));
    let mut nodes: Vec<NodeProto> = nodes.collect();
    let names: Vec<String> = (0..30_000).map(|i| format!("o{i}")).collect();
    nodes.push(node("Sum", &names.iter().map(String::as_str).collect::<Vec<_>>(), &["y"], vec![]));
    assert_error(onnx(nodes, vec![]), &["30000 nodes cannot be translated", "and 29936 more reasons"]);
    assert!(start.elapsed() < TIMEOUT, "{:?}", start.elapsed());
}

/// Finding sizes by trial must end.
#[test]
fn strides_beyond_every_image() {
    let pool = |i: usize, o: usize| {
        let a = vec![ints("kernel_shape", &[1, 1]), ints("strides", &[3, 3])];
        node("MaxPool", &[&format!("v{i}")], &[&format!("v{o}")], a)
    };
    for depth in [1, 5, 20, 60] {
        let mut nodes: Vec<NodeProto> = (0..depth).map(|i| pool(i, i + 1)).collect();
        nodes[0].input[0] = "x".into();
        nodes[depth - 1].output[0] = "y".into();
        let start = Instant::now();
        let model = onnx_model(nodes, vec![], &[1, 1, 0, 0]).encode_to_vec();
        // A network that shrinks the image may run, but is marked as unfit to segment.
        if let Ok((network, ..)) = parse(&model, Path::new("m.onnx"), &OnnxOptions::default()) {
            assert!(network.unfit().is_some_and(|why| !why.is_empty()), "{depth}");
        }
        assert!(start.elapsed() < TIMEOUT, "{:?}", start.elapsed());
    }
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::blocked(Shape::new(1, 1, 64, 64)));
    let step = |graph: &mut Graph, v: ValueId| {
        let pool = unet_wgpu::low_level::ops::MaxPool2d { kernel: 1, stride: 1 << 20, padding: 0, ceil_mode: false };
        graph.node("pool", pool, &[v]).unwrap()
    };
    let y = (0..6).fold(x, |v, _| step(&mut graph, v));
    assert!(footprint(&graph, x, y, 0).unwrap_err().contains("pool: "));
}

#[derive(Debug)]
struct NoStep;

impl Architecture for NoStep {
    fn id(&self) -> &'static str {
        "none"
    }
    fn name(&self) -> &'static str {
        "none"
    }
    fn in_channels(&self) -> usize {
        1
    }
    fn out_channels(&self) -> usize {
        1
    }
    fn config(&self) -> serde_json::Value {
        json!({})
    }
    fn size_rule(&self) -> SizeRule {
        SizeRule { minimum: 8, step: 0, margin: 0 }
    }
    fn build(&self, _: &mut Graph, x: ValueId) -> Result<Built> {
        Ok(Built {
            outputs: vec![],
            logits: x,
            probability: x,
            decision: x,
            rule: unet_wgpu::low_level::ops::MaskRule::Threshold(0.5),
        })
    }
}

#[test]
fn a_size_rule_without_a_step() {
    let metadata = ModelMetadata::parse(r#"{"arch": "none", "config": {}}"#).unwrap();
    let e = Model::with_architecture("none", Arc::new(NoStep), metadata, Weights::new()).unwrap_err().to_string();
    assert_eq!(e, "none: its size rule has a minimum of 8 and a step of 0");
}

#[test]
fn lying_and_cyclic_tiffs() {
    let folder = Folder::new();
    let mut number = 0;
    let mut reject = |bytes: Vec<u8>, parts: &[&str]| {
        number += 1;
        assert_rejected(&folder.file(&format!("{number}.tif"), &bytes), parts, |p| Image::open(p).map(drop));
    };
    let grey = || Tiff::grey(12, 10);
    let data = [7u8; 120];
    // Strips outside the file, or without bytes.
    reject(grey().with(273, &[1 << 30]).chunks(false, &[&data]), &["truncated"]);
    reject(grey().big().with(273, &[u64::MAX]).chunks(false, &[&data]), &[]);
    // Tiles of size 0, and far too large ones.
    reject(grey().with(322, &[0]).with(323, &[0]).chunks(true, &[&data]), &[]);
    reject(grey().with(322, &[1 << 31]).with(323, &[1 << 31]).chunks(true, &[&data]), &[]);
    reject(
        grey().with(322, &[8192]).with(323, &[8192]).with(277, &[60]).with(258, &[16; 60]).chunks(true, &[&data]),
        &[],
    );
    reject(grey().with(278, &[0]).chunks(false, &[&data]), &[]);
    // Too many rows.
    reject(grey().with(257, &[u64::from(u32::MAX)]).chunks(false, &[&data]), &["4294967295"]);
    reject(grey().big().with(257, &[1 << 60]).chunks(false, &[&data]), &[]);
    reject(grey().with(256, &[0]).chunks(false, &[&data]), &["has no pixels"]);
    reject(grey().with(277, &[65535]).chunks(false, &[&data]), &[]);
    // A list of 2^30 strips that does not exist.
    let mut long = grey().chunks(false, &[&data]);
    let entry = long.windows(4).position(|w| w == [0x11, 0x01, 4, 0]).unwrap();
    long[entry + 4..entry + 8].copy_from_slice(&(1u32 << 30).to_le_bytes());
    reject(long, &["more memory than it can need"]);
    // The length of uncompressed data follows from the image, whatever the file claims.
    let long = folder.file("long.tif", &grey().with(279, &[u64::from(u32::MAX)]).chunks(false, &[&data]));
    assert_eq!(Image::open(long).unwrap().pixels(), &Pixels::U8(data.to_vec()));
    // Cyclic directories: the first page is readable, and counting ends.
    let circle = grey().next(8 + 120).chunks(false, &[&data]);
    let path = folder.file("circle.tif", &circle);
    let start = Instant::now();
    assert!(page_count(&path).map_or(true, |n| n <= 1 << 16));
    assert!(start.elapsed() < TIMEOUT);
}

#[test]
fn images_larger_than_the_memory_allowed() {
    let folder = Folder::new();
    let grey = image::GrayImage::from_pixel(900, 700, image::Luma([3]));
    let open = |path: &Path, memory: u64| {
        open_image(path, &OpenOptions { memory: Some(memory), ..OpenOptions::default() }).map(drop)
    };
    for ending in ["png", "jpg", "webp", "bmp"] {
        let path = folder.0.path().join(format!("a.{ending}"));
        // The WebP encoder takes RGB only.
        if ending == "webp" {
            image::DynamicImage::from(grey.clone()).to_rgb8().save(&path).unwrap()
        } else {
            grey.save(&path).unwrap()
        }
        let e = open(&path, 500_000).unwrap_err();
        assert!(
            matches!(e, Error::Limit { .. }) && e.to_string().starts_with(&path.display().to_string()),
            "{ending}: {e}"
        );
        assert!(e.to_string().contains("decoded as a whole, needs"), "{ending}: {e}");
        open(&path, 4 << 20).unwrap();
    }
    // Formats read by windows have no limit.
    let tiff = folder.file("a.tif", &Tiff::grey(900, 700).chunks(false, &[&vec![1; 900 * 700]]));
    open(&tiff, 1000).unwrap();
    // Labels are read as integers of 64 bits; a few kilobytes of them must not take a gigabyte.
    let labels = Tiff::grey(11_000, 10_000).with(259, &[8]).chunks(false, &[&[7; 4000]]);
    let e = LabelMap::open(folder.file("labels.tif", &labels)).map(drop).unwrap_err();
    assert!(matches!(e, Error::Limit { .. }) && e.to_string().contains("reading labels of 11000x10000"), "{e}");
    // An array with a header of impossible length.
    let array = b"\x93NUMPY\x02\x00\xf6\xff\xff\x7f{'descr': '<f4'}";
    assert_rejected(&folder.file("long.npy", array), &["a header of 2147483638 bytes"], |p| Image::open(p).map(drop));
    // Nested brackets, each of which doubles the parser's time.
    let nested = format!("{{'descr': '<f8', 'fortran_order': {}", "{".repeat(60));
    let array = [b"\x93NUMPY\x01\x00", &(nested.len() as u16).to_le_bytes()[..], nested.as_bytes()].concat();
    assert_rejected(&folder.file("nested.npy", &array), &["records are not supported"], |p| Image::open(p).map(drop));
    // A file on which the decoder panics, found by fuzzing.
    let jpeg = folder.file("assertion.jpg", include_bytes!("assertion.jpg"));
    assert_rejected(&jpeg, &["assertion.jpg: a fault of the image decoder"], |p| Image::open(p).map(drop));
    // More samples than a few bytes can hold.
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 60_000, 60_000);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Sixteen);
    drop(encoder.write_header().unwrap());
    // The decoder requires an IDAT chunk before it reports the header.
    let pixels = [&b"IDAT"[..], &[0x78, 0x9c, 1, 0, 0, 0xff, 0xff]].concat();
    let mut sum = flate2::Crc::new();
    sum.update(&pixels);
    let chunk = [&7u32.to_be_bytes()[..], &pixels, &sum.sum().to_be_bytes()].concat();
    png.splice(33..33, chunk);
    assert_rejected(&folder.file("wide.png", &png), &["cannot come from"], |p| Image::open(p).map(drop));
}
