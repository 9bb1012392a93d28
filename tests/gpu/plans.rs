//! Plans are data: they compare, print, and survive a file.

use prost::Message;
use std::collections::BTreeMap;
use unet_wgpu::low_level::graph::{Graph, rewrite};
use unet_wgpu::low_level::kernel::{AdapterClass, ConvFamily, Target};
use unet_wgpu::low_level::model::onnx::proto::{ModelProto, NodeProto, TensorProto};
use unet_wgpu::low_level::model::onnx_export::export;
use unet_wgpu::low_level::model::{INPUT, Model, parse, whole_graph};
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::Session;
use unet_wgpu::low_level::tensor::{HostTensor, Precision, Shape};
use unet_wgpu::low_level::weights::{Checkpoint, ModelMetadata};
use unet_wgpu::testing::{gpu_or_skip, model_cases, random_input, random_parameter};

fn plan(graph: &Graph, target: &Target) -> Plan {
    Plan::new(&rewrite::optimise(graph, target).unwrap(), target).unwrap()
}

/// The graphs of every architecture.
fn graphs() -> Vec<(String, Graph)> {
    let graph = |(arch, config, [n, _, h, w]): (&str, serde_json::Value, [usize; 4])| {
        (format!("{arch} {config}"), whole_graph(&*parse(arch, &config).unwrap(), n, h, w).unwrap())
    };
    model_cases().into_iter().map(graph).collect()
}

#[test]
fn plans_of_the_same_graph_and_target_are_equal() {
    let mut all: Vec<(String, Plan)> = Vec::new();
    for (name, graph) in graphs() {
        let target = Target::typical(AdapterClass::Cpu);
        let first = plan(&graph, &target);
        assert_eq!(first, plan(&graph, &target), "{name}");
        assert_ne!(first, plan(&graph, &target.clone().with_precision(Precision::F16)), "{name}: precision");
        assert_ne!(first, plan(&graph, &Target::typical(AdapterClass::Nvidia)), "{name}: another class of devices");
        assert_ne!(first, plan(&graph, &target.with_conv(ConvFamily::Plain)), "{name}: other kernels");
        all.push((name, first));
    }
    for (i, (name, plan)) in all.iter().enumerate() {
        let same = all[..i].iter().find(|other| other.1 == *plan);
        assert!(same.is_none(), "{name} and {}", same.map_or("", |s| &s.0));
    }
}

#[test]
fn a_plan_prints_as_a_table() {
    let (_, graph) = graphs().remove(0);
    let plan = plan(&graph, &Target::typical(AdapterClass::Cpu));
    let text = plan.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2 + plan.dispatches.len());
    assert!(lines[0].starts_with(&format!("{} dispatches; ", plan.dispatches.len())), "{}", lines[0]);
    let columns = ["node", "kernel", "workgroups", "bindings"].map(|title| lines[1].find(title).unwrap());
    for (line, dispatch) in lines[2..].iter().zip(&plan.dispatches) {
        assert!(line.starts_with(&dispatch.label), "{line}");
        assert!(line[columns[1]..].starts_with(dispatch.kernel.shader), "{line}");
        assert!(line[columns[2]..].starts_with(&dispatch.workgroups[0].to_string()), "{line}");
        assert!(line[columns[3]..].contains(" -> "), "{line}");
    }
    assert!(lines[2].contains("image ->") || lines[2].contains("input ->"), "the input by its name: {}", lines[2]);
}

/// A network of an ONNX file in which a weight is the product of two constants, one of them too large to be folded when
/// the file is translated.
fn onnx_with_arithmetic() -> Model {
    let config = serde_json::json!({"width": 16, "depth": 2, "padding": "same"});
    let architecture = parse("unet", &config).unwrap();
    let graph = whole_graph(&*architecture, 1, 32, 32).unwrap();
    let mut checkpoint = Checkpoint::default();
    for (name, dims) in graph.parameters() {
        checkpoint.weights.insert(name.to_string(), random_parameter(name, dims).unwrap());
    }
    let text = serde_json::json!({"arch": "unet", "config": config}).to_string();
    checkpoint.metadata = Some(ModelMetadata::parse(&text).unwrap());
    let bytes = export(&Model::new("m", checkpoint).unwrap()).unwrap();
    let mut file = ModelProto::decode(&bytes[..]).unwrap();
    file.metadata_props.clear();
    file.producer_name = "other".into();
    let network = file.graph.as_mut().unwrap();
    let large = |t: &TensorProto| t.dims.len() == 4 && t.dims.iter().product::<i64>() > 4096;
    let weight = network.initializer.iter().find(|t| large(t)).unwrap().name.clone();
    for input in network.node.iter_mut().flat_map(|n| &mut n.input).filter(|i| **i == weight) {
        *input = "scaled".into();
    }
    network.initializer.push(TensorProto {
        data_type: 1,
        float_data: vec![0.7],
        name: "factor".into(),
        ..Default::default()
    });
    let product = NodeProto {
        input: vec![weight, "factor".into()],
        output: vec!["scaled".into()],
        op_type: "Mul".into(),
        ..Default::default()
    };
    network.node.insert(0, product);
    Model::from_bytes("arithmetic.onnx", &file.encode_to_vec()).unwrap()
}

/// The plan written as JSON and read again.
fn read_back(name: &str, plan: &Plan) -> Plan {
    let text = serde_json::to_string(plan).unwrap();
    let back = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(&back, plan, "{name}");
    back
}

fn bits(tensors: &BTreeMap<String, HostTensor>) -> BTreeMap<&str, Vec<u32>> {
    tensors.iter().map(|(name, t)| (name.as_str(), t.data().iter().map(|v| v.to_bits()).collect())).collect()
}

#[test]
fn a_plan_read_back_runs_to_the_same_bytes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for (name, graph) in graphs().into_iter().step_by(2) {
        let plan = plan(&graph, gpu.target());
        let back = read_back(&name, &plan);
        let (_, input) = graph.inputs().next().unwrap();
        let inputs = BTreeMap::from([(INPUT.to_string(), random_input(&name, graph.shape(input)).unwrap())]);
        let run = |plan: Plan| Session::new(&gpu, plan, random_parameter).unwrap().run_all(&inputs).unwrap();
        assert_eq!(bits(&run(back)), bits(&run(plan)), "{name}");
    }
}

#[test]
fn a_plan_of_an_onnx_network_read_back_runs_to_the_same_bytes() {
    let Some(gpu) = gpu_or_skip() else { return };
    let model = onnx_with_arithmetic();
    let graph = whole_graph(&*model.architecture, 1, 32, 32).unwrap();
    let plan = plan(&graph, gpu.target());
    assert!(serde_json::to_string(&plan).unwrap().contains("\"Onnx\""), "no expression on a parameter");
    let back = read_back("onnx", &plan);
    let inputs = BTreeMap::from([(INPUT.to_string(), random_input("onnx", Shape::new(1, 1, 32, 32)).unwrap())]);
    let run = |plan: Plan| Session::new(&gpu, plan, model.stored()).unwrap().run_all(&inputs).unwrap();
    assert_eq!(bits(&run(back)), bits(&run(plan)));
}

#[test]
fn a_damaged_plan_is_refused() {
    let Some(gpu) = gpu_or_skip() else { return };
    let (_, graph) = graphs().remove(0);
    let plan = plan(&graph, gpu.target());
    let refused = |change: &dyn Fn(&mut Plan), reason: &str| {
        let mut damaged = plan.clone();
        change(&mut damaged);
        let e = Session::new(&gpu, damaged, random_parameter).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(e.contains(reason), "{e:?} for {reason}");
    };
    refused(&|p| p.slots.truncate(0), "which the plan does not have");
    refused(&|p| p.weights.truncate(1), "which the plan does not have");
    refused(&|p| p.io.truncate(1), "which the plan does not have");
    refused(&|p| p.nodes.truncate(1), "which is not there");
    refused(&|p| p.parameters.reverse(), "not a parameter before it");
    refused(&|p| p.parameters.truncate(0), "of a value that is not a parameter");
    let text = serde_json::to_string(&plan).unwrap();
    let unknown = text.replacen("\"shader\":\"", "\"shader\":\"no_", 1);
    assert!(serde_json::from_str::<Plan>(&unknown).unwrap_err().to_string().contains("no_"));
}
