use super::*;
use crate::graph::differentiate;
use crate::model::{Architecture, UNet, UNet3Plus, UNetPlusPlus};
use crate::ops::{ExportNchw, ImportNchw};
use crate::tensor::{HostTensor, Shape, TensorDesc};
use std::collections::BTreeMap;

fn parse(v: Value) -> Result<LossConfig, String> {
    serde_json::from_value(v).map_err(|e| e.to_string())
}

/// Every form of every loss, with a number of channels.
fn all() -> Vec<(Value, usize)> {
    vec![
        (json!({"name": "weighted_ce"}), 3),
        (json!({"name": "weighted_ce", "args": {"reduction": "sum"}}), 2),
        (json!({"name": "weighted_softmax_ce", "args": {"reduction": "weighted"}}), 2),
        (json!({"name": "ce_dice", "args": {"smooth": 1e-6, "per": "batch"}}), 3),
        (json!({"name": "bce"}), 2),
        (json!({"name": "soft_dice"}), 3),
        (json!({"name": "soft_dice", "activation": "softmax", "args": {"per": "class"}}), 3),
        (json!({"name": "unetpp_hybrid"}), 1),
        (json!({"name": "bce_dice", "args": {"ce_weight": 1.0, "smooth": 1e-5, "per": "sample"}}), 2),
        (json!({"name": "unetpp_dlmia"}), 1),
        (json!({"name": "unetpp_tmi", "args": {"eps": 1e-6}}), 2),
        (json!({"name": "focal_bce", "args": {"alpha": null, "gamma": 1.5}}), 1),
        (json!({"name": "focal_from_probs", "args": {"alpha": "none"}}), 2),
        (json!({"name": "focal_softmax"}), 3),
        (json!({"name": "ms_ssim", "args": {"form": "wang"}}), 1),
        (json!({"name": "ms_ssim", "args": {"form": "paper", "window": 7, "weights": [0.5, 0.5]}}), 2),
        (json!({"name": "ms_ssim", "args": {"form": "official"}}), 1),
        (json!({"name": "iou"}), 2),
        (json!({"name": "unet3p"}), 1),
        (json!({"name": "unet3p", "args": {"pixel": "bce", "form": "official"}}), 1),
    ]
}

fn noise(seed: usize, i: usize) -> f32 {
    ((i * 7919 + seed * 104_729 + i * i % 1013) % 2000) as f32 / 1000.0 - 1.0
}

/// A graph from input `z` to `loss` and `dz`, and its inputs.
fn graph_of(config: &LossConfig, s: Shape) -> (Graph, BTreeMap<String, HostTensor>) {
    let mut graph = Graph::new();
    let z = graph.input("z", TensorDesc::linear(s));
    let x = graph.node("z", ImportNchw, &[z]).unwrap();
    let map = TensorDesc::linear(s.with_c(1));
    let target = graph.input("target", map);
    let weight = config.takes_weights().then(|| graph.input("weight", map));
    let heads = Heads { logits: vec![x], ..Heads::default() };
    let targets = Targets { target, kind: TargetKind::Classes, weight };
    let loss = config.build(&mut graph, &heads, &targets).unwrap();
    graph.output("loss", loss);
    let dx = differentiate(&mut graph, loss, &[x]).unwrap()[0].unwrap();
    let dx = graph.node("dz", ExportNchw, &[dx]).unwrap();
    graph.output("dz", dx);
    // Blobs of classes and correlated logits, so that no term saturates.
    let classes = s.c.max(2);
    let class = |i: usize| ((i % s.w / 5 + i / s.w / 4) % classes) as f32;
    let target = HostTensor::from_fn(s.with_c(1), |_, _, y, x| class(y * s.w + x));
    let z = HostTensor::from_fn(s, |n, c, y, x| {
        let own = if s.c == 1 { 1.0 } else { c as f32 };
        let right = if class(y * s.w + x) == own { 1.5 } else { -1.5 };
        right + 1.3 * noise(c + 7 * n, y * s.w + x)
    });
    let weight = HostTensor::from_fn(s.with_c(1), |_, _, y, x| 1.2 + noise(5, y * s.w + x));
    let mut inputs = BTreeMap::from([("z".to_string(), z), ("target".to_string(), target)]);
    if config.takes_weights() {
        inputs.insert("weight".into(), weight);
    }
    (graph, inputs)
}

#[test]
fn gradients_match_finite_differences() {
    for (config, channels) in all() {
        let (graph, inputs) = graph_of(&parse(config.clone()).unwrap(), Shape::new(2, channels, 18, 20));
        let run = |inputs: &BTreeMap<String, HostTensor>| {
            graph.run_reference(inputs, |_, _| unreachable!(), |_, _| Ok(())).unwrap()
        };
        let grad = run(&inputs)["dz"].clone();
        for seed in 0..4 {
            // Along directions with the gradient's signs: single-pixel differences drown in the sum's rounding.
            let step: Vec<f32> = grad
                .data()
                .iter()
                .enumerate()
                .map(|(i, g)| if noise(seed, i) > 0.2 { g.signum() } else { 0.0 })
                .collect();
            let moved = |by: f32| {
                let mut inputs = inputs.clone();
                let z = inputs.get_mut("z").unwrap();
                z.data_mut().iter_mut().zip(&step).for_each(|(z, d)| *z += by * d);
                f64::from(run(&inputs)["loss"].data()[0])
            };
            let eps = 2e-3f32;
            let got = (moved(eps) - moved(-eps)) / (2.0 * f64::from(eps));
            let expected: f64 = grad.data().iter().zip(&step).map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
            assert!((got - expected).abs() < 1e-3 * expected.abs(), "{config}: differences {got}, gradient {expected}");
        }
    }
}

#[test]
fn files_are_read_and_written() {
    let instances = json!({"name": "instances", "args": {"target": "distance", "classes": 3}});
    for (config, _) in all().into_iter().chain([(instances, 5)]) {
        let parsed = parse(config.clone()).unwrap();
        let text = serde_json::to_value(&parsed).unwrap();
        assert_eq!(parse(text.clone()).unwrap(), parsed, "{config} became {text}");
    }
    let ds = parse(json!({"name": "unetpp_hybrid", "reduction": "sum", "weights": [1, 2]})).unwrap();
    assert_eq!((ds.reduction, ds.weights), (HeadReduction::Sum, Some(vec![1.0, 2.0])));
}

#[test]
fn unknown_names_are_errors() {
    let error = |v: Value| parse(v).unwrap_err();
    assert!(error(json!({"name": "lovasz"})).contains("loss `lovasz`: unknown variant `lovasz`"));
    assert!(error(json!({"name": "iou", "args": {"smoth": 1}})).contains("loss `iou`: unknown field `smoth`"));
    assert!(error(json!({"name": "iou", "smooth": 1})).contains("unknown field `smooth`"));
    assert!(error(json!({"name": "focal_bce", "args": {"alpha": "some"}})).contains("alpha is \"some\""));
}

#[test]
fn heads_are_found_and_combined() {
    let heads = |network: &dyn Architecture, n: usize| {
        let mut graph = Graph::new();
        let x = graph.input("input", TensorDesc::linear(Shape::new(1, 1, n, n)));
        let x = graph.node("import", ImportNchw, &[x]).unwrap();
        let built = network.build(&mut graph, x).unwrap();
        (graph, Heads::of(&built))
    };
    let count = |h: &Heads| (h.logits.len(), h.probs.len(), h.scores.is_some());
    assert_eq!(count(&heads(&UNet { width: 2, depth: 1, ..Default::default() }, 20).1), (1, 0, false));
    assert_eq!(count(&heads(&UNetPlusPlus { width: 2, depth: 2, ..Default::default() }, 16).1), (2, 0, false));
    let guided = UNet3Plus { width: 2, depth: 2, deep_supervision: true, cgm: true, ..Default::default() };
    let (mut graph, of) = heads(&guided, 32);
    assert_eq!(count(&of), (3, 3, true));
    let target = graph.input("target", TensorDesc::linear(Shape::new(1, 1, 32, 32)));
    let targets = Targets { target, kind: TargetKind::Masks, weight: None };
    let config = |v| parse(v).unwrap();
    let loss = config(json!({"name": "iou", "weights": [1, 2, 1], "cgm_weight": 0.5}));
    let loss = loss.build(&mut graph, &of, &targets).unwrap();
    let sum = graph.producer(loss).unwrap().op.as_op::<WeightedSum>().unwrap();
    assert_eq!(sum.weights, [0.25, 0.5, 0.25, 0.5]);
    let alone = config(json!({"name": "cgm_bce"})).build(&mut graph, &of, &targets).unwrap();
    assert_eq!(graph.producer(alone).unwrap().label, "loss.cgm");
    let planes = Targets { kind: TargetKind::Instances, ..targets };
    let instances = config(json!({"name": "instances"})).build(&mut graph, &of, &planes).unwrap_err().to_string();
    assert!(instances.contains("(`cgm`) cannot predict instances"), "{instances}");
    let few = config(json!({"name": "iou", "weights": [1, 2]}));
    assert!(few.build(&mut graph, &of, &targets).unwrap_err().to_string().contains("3 heads"));
    let classes = config(json!({"name": "weighted_ce"})).build(&mut graph, &of, &targets);
    assert!(classes.unwrap_err().to_string().contains("needs class indices"));
    let weighted = Targets { weight: Some(target), ..targets };
    assert!(config(json!({"name": "iou"})).build(&mut graph, &of, &weighted).is_err());
}

#[test]
fn instances_need_their_target() {
    let build = |loss: Value, kind| {
        let mut graph = Graph::new();
        let config = parse(loss).unwrap();
        let z = graph.input("z", TensorDesc::blocked(Shape::new(1, 5, 4, 4)));
        let shape = Shape::new(1, config.target_planes(), 4, 4);
        let target = graph.input("target", TensorDesc::linear(shape));
        let heads = Heads { logits: vec![z, z], ..Heads::default() };
        let value = config.build(&mut graph, &heads, &Targets { target, kind, weight: None })?;
        Ok::<_, Error>(graph.producer(value).unwrap().op.as_op::<WeightedSum>().unwrap().weights.clone())
    };
    let error = |loss, kind| build(loss, kind).unwrap_err().to_string();
    let multi = json!({"name": "instances", "args": {"target": "multi"}});
    assert_eq!(build(multi.clone(), TargetKind::Instances).unwrap(), [0.5, 0.5]);
    assert!(error(multi, TargetKind::Classes).contains("does not suit a target of Classes"));
    assert!(error(json!({"name": "ce_dice"}), TargetKind::Instances).contains("does not suit a target of Instances"));
    let of = |args: Value| json!({"name": "instances", "args": args});
    let e = error(of(json!({"target": "gap"})), TargetKind::Instances);
    assert!(e.contains("by target `gap`: not `multi` or `distance`"), "{e}");
    // One plane too few: the network's channels are checked by the operation.
    let e = error(of(json!({"target": "distance", "classes": 2})), TargetKind::Instances);
    assert!(e.contains("x has 5 channels, not 4"), "{e}");
}
