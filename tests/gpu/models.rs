//! The three networks: rewritten graphs match plain ones, the GPU matches the CPU reference, counts and sizes match the
//! papers, and every plan encodes under WebGPU's default limits without a GPU.

use std::collections::BTreeMap;
use unet_wgpu::low_level::gpu::Gpu;
use unet_wgpu::low_level::graph::{Graph, rewrite};
use unet_wgpu::low_level::kernel::{AdapterClass, Caps, Target};
use unet_wgpu::low_level::model::{self, INPUT, Model, whole_graph};
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::Session;
use unet_wgpu::low_level::tensor::{HostTensor, Shape};
use unet_wgpu::testing::{again_with_wide_vectors, gpu_or_skip, model_cases, random_input, random_parameter};

fn cases() -> Vec<(String, Graph, BTreeMap<String, HostTensor>)> {
    let case = |(arch, config, [n, c, h, w]): (&str, serde_json::Value, [usize; 4])| {
        let name = format!("{arch} {config}");
        let model = model::parse(arch, &config).unwrap_or_else(|e| panic!("{name}: {e}"));
        let graph = whole_graph(&*model, n, h, w).unwrap_or_else(|e| panic!("{name}: {e}"));
        let input = random_input(&name, Shape::new(n, c, h, w)).unwrap();
        (name, graph, BTreeMap::from([(INPUT.to_string(), input)]))
    };
    model_cases().into_iter().map(case).collect()
}

fn reference(graph: &Graph, inputs: &BTreeMap<String, HostTensor>) -> BTreeMap<String, HostTensor> {
    graph.run_reference(inputs, random_parameter, |_, _| Ok(())).unwrap()
}

fn assert_close(name: &str, got: &BTreeMap<String, HostTensor>, expected: &BTreeMap<String, HostTensor>, factor: f32) {
    assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}");
    for (key, expected) in expected {
        let c = got[key].compare(expected).unwrap();
        assert!(c.within(factor), "{name}: {key}: error {} of scale {}", c.max_error, c.scale);
    }
}

#[test]
fn rewrites_preserve_results() {
    // Rewrites that depend on costs differ between these.
    let targets = [AdapterClass::Cpu, AdapterClass::Other].map(Target::typical);
    for (name, graph, inputs) in cases() {
        let expected = reference(&graph, &inputs);
        let mut checked = Vec::new();
        for target in &targets {
            let optimised = rewrite::optimise(&graph, target).unwrap().to_string();
            if checked.contains(&optimised) {
                continue;
            }
            checked.push(optimised);
            let mut rewritten = graph.clone();
            for r in rewrite::ALL {
                rewritten = (r.apply)(&rewritten, target).unwrap_or_else(|e| panic!("{name}: {}: {e}", r.name));
                assert_close(&format!("{name} after {}", r.name), &reference(&rewritten, &inputs), &expected, 5e-6);
            }
            for op in ["concat", "batch_norm2d", "crop2d"] {
                assert!(rewritten.nodes().iter().all(|n| n.op.name() != op), "{name}: {op} is left:\n{rewritten}");
            }
            assert!(rewritten.macs() <= graph.macs(), "{name}");
        }
    }
}

#[test]
fn the_gpu_computes_what_the_reference_computes() {
    let Some(gpu) = gpu_or_skip() else { return };
    for (name, graph, inputs) in cases() {
        let expected = reference(&graph, &inputs);
        for (kind, graph) in
            [("plain", graph.without_dead_nodes()), ("rewritten", rewrite::optimise(&graph, gpu.target()).unwrap())]
        {
            let plan = Plan::new(&graph, gpu.target()).unwrap_or_else(|e| panic!("{name}: {e}"));
            let mut session = Session::new(&gpu, plan, random_parameter).unwrap_or_else(|e| panic!("{name}: {e}"));
            let first = session.run_all(&inputs).unwrap();
            assert_close(&format!("{name} {kind}"), &first, &expected, 1e-5);
            // A second run starts with every slot dirty, and must give the same bytes.
            assert_eq!(first, session.run_all(&inputs).unwrap(), "{name} {kind}: second run");
        }
    }
}

#[test]
fn every_plan_encodes_under_default_limits() {
    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
    let gpu = Gpu::from_wgpu(device, queue).unwrap();
    assert_eq!(gpu.caps().max_binding_bytes, Caps::default().max_binding_bytes);
    let paper = model::parse("unet", &serde_json::json!({})).unwrap();
    let seed = ("U-Net 572".to_string(), whole_graph(&*paper, 1, 572, 572).unwrap(), BTreeMap::new());
    for (name, graph, _) in cases().into_iter().chain([seed]) {
        let graph = rewrite::optimise(&graph, gpu.target()).unwrap();
        let plan = Plan::new(&graph, gpu.target()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let zeros = |_: &str, dims: &[usize]| HostTensor::new(dims, vec![0.5; dims.iter().product()]);
        let session = Session::new(&gpu, plan, zeros).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        gpu.scoped(&name, || {
            session.encode(&mut encoder);
            gpu.queue().submit([encoder.finish()]);
            Ok(())
        })
        .unwrap();
    }
}

fn count(arch: &str, config: serde_json::Value) -> usize {
    let model = model::parse(arch, &config).unwrap();
    let size = model.size_rule().minimum;
    model::parameter_count(&whole_graph(&*model, 1, size, size).unwrap())
}

#[test]
fn parameter_counts_are_the_papers() {
    use serde_json::json;
    assert_eq!(count("unet", json!({})), 31_036_546);
    assert_eq!(count("unet", json!({"norm": false})), 31_030_658);
    assert_eq!(count("unet", json!({"conv_bias": true})), 31_042_434);
    let caffe = json!({"norm": false, "up_relu": true, "skip_first": false, "last_up_channels": 128});
    assert_eq!(count("unet", caffe), 31_100_354);
    let slim = json!({"in_channels": 3, "padding": "same", "up": "bilinear", "slim": true});
    assert_eq!(count("unet", slim), 17_263_042);
    for (level, expected) in [(1, 100_961), (2, 511_105), (3, 2_204_961), (4, 9_041_601)] {
        let config = json!({"norm": false, "deep_supervision": false, "level": level});
        assert_eq!(count("unetpp", config), expected, "L{level}");
    }
    let rgb = json!({"in_channels": 3});
    assert_eq!(count("unet3p", rgb), 26_971_777);
    assert_eq!(count("unet3p", json!({"in_channels": 3, "deep_supervision": true})), 26_989_637);
    assert_eq!(count("unet3p", json!({"in_channels": 3, "deep_supervision": true, "cgm": true})), 26_991_687);
}

#[test]
fn macs_are_the_papers() {
    use serde_json::json;
    let macs = |arch: &str, config: serde_json::Value, size: usize| {
        whole_graph(&*model::parse(arch, &config).unwrap(), 1, size, size).unwrap().macs()
    };
    let giga = |v: u64| (v as f64 / 1e7).round() / 100.0;
    assert_eq!(giga(macs("unet", json!({"norm": false}), 572)), 150.43);
    assert_eq!(giga(macs("unetpp", json!({"norm": false}), 512)), 119.03);
    assert_eq!(giga(macs("unet3p", json!({"in_channels": 3}), 320)), 308.83);
}

#[test]
fn sizes_of_the_unpadded_network_are_the_papers() {
    let unet = model::parse("unet", &serde_json::json!({})).unwrap();
    let rule = unet.size_rule();
    assert_eq!((rule.minimum, rule.step, rule.margin), (188, 16, 92));
    let graph = whole_graph(&*unet, 1, 572, 572).unwrap();
    let size = |label: &str| {
        let node = graph.nodes().iter().find(|n| n.label == label).unwrap_or_else(|| panic!("no {label}"));
        let s = graph.shape(node.outputs[0]);
        assert_eq!(s.h, s.w);
        (s.c, s.h)
    };
    let expected = [
        ("enc.0.relu1", 64, 570),
        ("enc.0", 64, 568),
        ("enc.1.relu1", 128, 282),
        ("enc.1", 128, 280),
        ("enc.2.relu1", 256, 138),
        ("enc.2", 256, 136),
        ("enc.3.relu1", 512, 66),
        ("enc.3", 512, 64),
        ("enc.4.relu1", 1024, 30),
        ("enc.4", 1024, 28),
        ("up.3", 512, 56),
        ("dec.3.concat", 1024, 56),
        ("dec.3.relu1", 512, 54),
        ("dec.3", 512, 52),
        ("up.2", 256, 104),
        ("dec.2.concat", 512, 104),
        ("dec.2", 256, 100),
        ("up.1", 128, 200),
        ("dec.1.concat", 256, 200),
        ("dec.1", 128, 196),
        ("up.0", 64, 392),
        ("dec.0.concat", 128, 392),
        ("dec.0.relu1", 64, 390),
        ("dec.0", 64, 388),
        ("head", 2, 388),
    ];
    for (label, c, n) in expected {
        assert_eq!(size(label), (c, n), "{label}");
    }
    let crops: Vec<_> =
        graph.nodes().iter().filter_map(|n| n.op.as_op::<unet_wgpu::low_level::ops::Crop2d>()).map(|c| c.top).collect();
    assert_eq!(crops, [4, 16, 40, 88]);
}

#[test]
fn unet_plus_plus_can_be_pruned_on_opening() {
    use serde_json::{Value, json};
    let open = |set: Value| Model::open_with("nuclei-unet++", set.as_object().unwrap());
    let run = |set: Value| {
        let model = open(set).unwrap();
        let graph = whole_graph(&*model.architecture, 1, 32, 32).unwrap();
        let input = random_input("pruned", Shape::new(1, 1, 32, 32)).unwrap();
        graph.run_reference(&BTreeMap::from([(INPUT.to_string(), input)]), model.stored(), |_, _| Ok(())).unwrap()
    };
    let whole = run(json!({"deep_supervision": true}));
    let (pruned, fast) = (run(json!({"level": 2, "deep_supervision": true})), run(json!({"deep_supervision": false})));
    let alone = run(json!({"level": 1, "deep_supervision": false}));
    // From the heads of the whole network: a pruned one averages its heads, the fast mode takes its last.
    let mean = whole["fast.1"].data().iter().zip(whole["fast.2"].data()).map(|(a, b)| (a + b) / 2.0);
    let mean = HostTensor::new(whole["fast.1"].dims(), mean.collect()).unwrap();
    for (name, got, expected) in [
        ("L2", &pruned["accurate_prob"], &mean),
        ("fast", &fast["accurate_prob"], &whole["fast.4"]),
        ("L1 fast", &alone["accurate_prob"], &whole["fast.1"]),
    ] {
        let c = got.compare(expected).unwrap();
        assert!(c.within(1e-6), "{name}: {} of {}", c.max_error, c.scale);
    }
    assert!(pruned["accurate_prob"] != whole["accurate_prob"] && !pruned.contains_key("fast.3"));
    let error = |name: &str, set: Value| Model::open_with(name, set.as_object().unwrap()).unwrap_err().to_string();
    let e = error("nuclei-unet++", json!({"width": 8}));
    assert!(e.contains("model setting width") && e.contains("only level and deep_supervision can be set"), "{e}");
    assert!(error("nuclei-unet++", json!({"level": 5})).contains("5 is not in 1..4"));
    assert!(error("nuclei", json!({"level": 2})).contains("it has no options to set"));
}

#[test]
fn the_gpu_computes_what_the_reference_computes_with_wide_vectors() {
    again_with_wide_vectors(&["models::the_gpu_computes_what_the_reference_computes"]);
}
