use super::*;
use crate::model::{ArchitectureId, UNet, UNet3Plus, UNetPlusPlus};
use serde_json::json;

/// Weights for every parameter of a network; all elements of a parameter differ.
fn random(network: &dyn Architecture) -> Weights {
    let size = network.size_rule().minimum;
    let graph = whole_graph(network, 1, size, size).unwrap();
    let tensor = |(at, (name, dims)): (usize, (&str, &[usize]))| {
        let n: usize = dims.iter().product();
        (name.to_string(), HostTensor::new(dims, (0..n).map(|i| (at * 1000 + i) as f32).collect()).unwrap())
    };
    graph.parameters().enumerate().map(tensor).collect()
}

fn checkpoint(weights: impl IntoIterator<Item = (String, HostTensor)>) -> Checkpoint {
    Checkpoint { weights: weights.into_iter().collect(), ..Checkpoint::default() }
}

fn renamed(weights: &Weights, name: impl Fn(&str) -> String) -> Checkpoint {
    checkpoint(weights.iter().map(|(k, t)| (name(k), t.clone())))
}

fn error(checkpoint: Checkpoint) -> String {
    understand(checkpoint, &Map::new()).unwrap_err().to_string()
}

/// milesial's name of a canonical parameter at depth 4.
fn milesial(name: &str) -> String {
    let (layer, role) = name.rsplit_once('.').unwrap();
    let part: Vec<&str> = layer.split('.').collect();
    let slot = |l: &str| ["conv1", "bn1", "", "conv2", "bn2"].iter().position(|s| *s == l).unwrap();
    match part[..] {
        ["enc", "0", l] => format!("inc.double_conv.{}.{role}", slot(l)),
        ["enc", i, l] => format!("down{i}.maxpool_conv.1.double_conv.{}.{role}", slot(l)),
        ["dec", i, l] => format!("up{}.conv.double_conv.{}.{role}", 4 - i.parse::<usize>().unwrap(), slot(l)),
        ["up", i] => format!("up{}.up.{role}", 4 - i.parse::<usize>().unwrap()),
        _ => format!("outc.conv.{role}"),
    }
}

fn brain(name: &str) -> String {
    let (layer, role) = name.rsplit_once('.').unwrap();
    let part: Vec<&str> = layer.split('.').collect();
    let up = |i: &str| i.parse::<usize>().unwrap() + 1;
    let l = |l: &str| l.replace("bn", "norm");
    match part[..] {
        ["enc", "4", k] => format!("bottleneck.bottleneck{}.{role}", l(k)),
        ["enc", i, k] => format!("encoder{0}.enc{0}{1}.{role}", up(i), l(k)),
        ["dec", i, k] => format!("decoder{0}.dec{0}{1}.{role}", up(i), l(k)),
        ["up", i] => format!("upconv{}.{role}", up(i)),
        _ => format!("conv.{role}"),
    }
}

fn same() -> UNet {
    UNet { in_channels: 3, width: 4, padding: crate::model::Padding::Same, ..UNet::default() }
}

#[test]
fn role_prefix_selects_the_network() {
    let weights = random(&same());
    let with_other = |role: &str, other: &str| {
        let both = weights.iter().flat_map(|(k, t)| {
            [(format!("{role}{}", milesial(k)), t.clone()), (format!("{other}{}", milesial(k)), t.clone())]
        });
        understand(checkpoint(both), &Map::new())
    };
    for role in ["student.", "generator.", "segmentation_model.", "backbone."] {
        let alone = understand(renamed(&weights, |k| format!("{role}{}", milesial(k))), &Map::new()).unwrap();
        assert_eq!((alone.weights.len(), alone.report.prefix), (weights.len(), role.to_string()));
        assert!(alone.report.notes.iter().all(|n| !n.to_string().starts_with("it holds")));
        let found = with_other(role, "teacher.").unwrap();
        let name = role.trim_end_matches('.');
        assert_eq!(found.weights.len(), weights.len());
        let note = format!("it holds `{name}` and `teacher`; `{name}` is used");
        assert!(found.report.notes.contains(&Message::from(&note)), "{:?}", found.report.notes);
    }
    // A head beside a backbone is part of the network and must not be dropped.
    assert!(with_other("backbone.", "head.").is_err());
}

#[test]
fn milesial_transposed_and_bilinear_with_prefix() {
    let bilinear = UNet { up: crate::model::Up::Bilinear, slim: true, ..same() };
    for network in [same(), bilinear] {
        let weights = random(&network);
        for prefix in ["", "module.", "_orig_mod.module.", "model.net."] {
            let mut file = renamed(&weights, |k| format!("{prefix}{}", milesial(k)));
            let counter = HostTensor::new([], vec![7.0]).unwrap();
            file.weights.insert(format!("{prefix}inc.double_conv.1.num_batches_tracked"), counter.clone());
            if !prefix.is_empty() {
                file.weights.insert("loss.weight", counter);
            }
            let got = understand(file, &Map::new()).unwrap();
            assert_eq!(got.weights, weights);
            assert_eq!((got.report.dialect, got.report.prefix.as_str()), ("milesial/Pytorch-UNet", prefix));
            let found = parse("unet", &got.metadata.config).unwrap().config();
            let mut expected = network.config();
            expected["conv_bias"] = json!(false);
            assert_eq!(found, expected);
            assert_eq!(got.report.matched.len(), weights.len());
            assert_eq!(got.report.ignored.len(), if prefix.is_empty() { 1 } else { 2 });
        }
    }
}

#[test]
fn assumptions_are_reported_and_can_be_set() {
    let bilinear = UNet { up: crate::model::Up::Bilinear, slim: true, ..same() };
    let file = renamed(&random(&bilinear), milesial);
    let got = understand(file.clone(), &Map::new()).unwrap();
    let assumed = got.report.assumed().join("; ");
    for part in ["padding=same (", "skip_first=true (", "align_corners=true (its nn.Upsample", "normalisation=unit ("] {
        assert!(assumed.contains(part), "{part}: {assumed}");
    }
    let set = json!({ "align_corners": false, "normalisation": "z_score", "classes": "sky, cell" });
    let got = understand(file.clone(), set.as_object().unwrap()).unwrap();
    assert_eq!(
        (got.metadata.config["align_corners"].clone(), got.metadata.classes.join("|")),
        (json!(false), "sky|cell".into())
    );
    assert_eq!(got.metadata.normalisation, Normalisation::ZScore);
    assert!(!got.report.assumed().iter().any(|a| a.starts_with("align") || a.starts_with("norm")));
    let e = |set: Value| understand(file.clone(), set.as_object().unwrap()).unwrap_err().to_string();
    assert!(e(json!({ "colour": 1 })).contains("unknown field `colour`"), "{}", e(json!({ "colour": 1 })));
    assert!(e(json!({ "normalisation": "guess" })).contains("unknown variant `guess`"));
    assert!(e(json!({ "width": 5 })).contains("the network needs shape [5, 3, 3, 3], the file has [4, 3, 3, 3]"));
}

#[test]
fn brain_segmentation_concatenates_up_first() {
    let network = UNet { skip_first: false, out_channels: 1, ..same() };
    let got = understand(renamed(&random(&network), brain), &Map::new()).unwrap();
    assert_eq!(got.weights, random(&network));
    assert_eq!(got.metadata.config["skip_first"], json!(false));
    assert_eq!(got.metadata.normalisation, Normalisation::ZScore);
}

#[test]
fn keras_kernels_are_transposed() {
    let network = UNetPlusPlus { width: 2, depth: 2, norm: false, skip_first: false, ..UNetPlusPlus::default() };
    let weights = random(&network);
    let layer = |k: &str| {
        let (layer, role) = k.rsplit_once('.').unwrap();
        let one = |t: &str| t.split('_').map(|d| (d.parse::<usize>().unwrap() + 1).to_string()).collect::<String>();
        let part: Vec<&str> = layer.split('.').collect();
        let name = match part[..] {
            ["node", x, conv] => format!("conv{}_{}", one(&x[1..]), &conv[4..]),
            ["up", x] => format!("up{}", one(&x[1..])),
            _ => format!("output_{}", part[1]),
        };
        (name, role.to_string())
    };
    let torch = renamed(&weights, |k| {
        let (n, r) = layer(k);
        format!("{n}.{r}")
    });
    let got = understand(torch, &Map::new()).unwrap();
    assert_eq!((&got.weights, got.report.dialect), (&weights, "MrGiovanni/UNetPlusPlus (Keras)"));
    let keras = weights.iter().map(|(k, t)| {
        let (name, role) = layer(k);
        let &[a, b, h, w] = t.dims() else { return (format!("{name}/{name}/bias:0"), t.clone()) };
        let at = |y, x, i, o| t.data()[((o * b + i) * h + y) * w + x];
        let mut data = Vec::new();
        for y in 0..h {
            for x in 0..w {
                for i in 0..b {
                    for o in 0..a {
                        data.push(at(y, x, i, o));
                    }
                }
            }
        }
        assert_eq!(role, "weight");
        (format!("{name}/{name}/kernel:0"), HostTensor::new([h, w, b, a], data).unwrap())
    });
    assert_eq!(understand(checkpoint(keras.collect::<Vec<_>>()), &Map::new()).unwrap().weights, weights);
}

#[test]
fn own_names_need_no_metadata() {
    let unet = UNet { last_up_channels: Some(3), norm: false, ..same() };
    let nearest = UNet { up: crate::model::Up::NearestConv, ..same() };
    let upp = UNetPlusPlus { width: 3, depth: 2, deep_supervision: false, ..UNetPlusPlus::default() };
    let u3p = UNet3Plus { width: 2, depth: 3, cat: Some(3), deep_supervision: true, cgm: true, ..UNet3Plus::default() };
    // What a new architecture misses here is in `native.rs`.
    let every: Vec<_> = ArchitectureId::all().map(|id| id.build(&json!({ "width": 4, "depth": 2 })).unwrap()).collect();
    let every = every.iter().map(|network| &**network);
    for network in [&unet as &dyn Architecture, &nearest, &upp, &u3p].into_iter().chain(every) {
        let weights = random(network);
        let got = understand(checkpoint(weights.clone()), &Map::new()).unwrap();
        assert_eq!((got.metadata.arch.as_str(), &got.weights), (network.id(), &weights));
        assert_eq!(random(&*parse(network.id(), &got.metadata.config).unwrap()), weights);
    }
}

#[test]
fn missing_and_extra_parameters_are_reported() {
    let weights = random(&same());
    let mut file = renamed(&weights, milesial);
    file.weights.remove("up2.conv.double_conv.3.weight");
    let e = error(file.clone());
    assert!(e.starts_with("milesial/Pytorch-UNet: ") && e.contains("dec.2.conv2.weight"), "{e}");
    let tensor = |dims: &[usize]| HostTensor::new(dims, vec![0.0; dims.iter().product()]).unwrap();
    let mut file = renamed(&weights, milesial);
    file.weights.remove("down2.maxpool_conv.1.double_conv.4.running_var");
    let e = error(file);
    assert!(e.contains("1 parameters are missing: `enc.2.bn2.running_var` (nearest name in the file: `inc."), "{e}");
    let mut file = renamed(&weights, milesial);
    file.weights.insert("att1.psi.weight", tensor(&[2]));
    assert!(error(file).contains("1 parameters are not part of the network: `att1.psi.weight`"));
    let mut file = renamed(&weights, milesial);
    file.weights.insert("up4.conv.double_conv.0.weight", tensor(&[4, 9, 3, 3]));
    let e = error(file);
    assert!(
        e.contains("parameter `up4.conv.double_conv.0.weight` (`dec.0.conv1.weight`): the network needs shape"),
        "{e}"
    );
}

#[test]
fn unknown_and_ambiguous_dialects_are_errors() {
    let tensor = HostTensor::new([1, 1, 3, 3], vec![0.0; 9]).unwrap();
    let named = |names: &[&str]| error(checkpoint(names.iter().map(|n| (n.to_string(), tensor.clone()))));
    let e = named(&["a.weight", "b.weight"]);
    assert!(e.contains("the names match no known dialect (milesial/Pytorch-UNet, ") && e.contains("`a.weight`"), "{e}");
    assert!(named(&[]).contains("match no known dialect"));
    let e = named(&["encoder.conv1.weight", "decoder.blocks.0.conv1.0.weight"]);
    assert!(e.contains("a checkpoint of segmentation_models.pytorch") && e.contains("ONNX"), "{e}");
    let e = named(&["encoder.blocks.0.block.1.weight", "decoder.samplers.0.conv.weight"]);
    assert!(e.contains("a checkpoint of torch_em (UNet2d)"), "{e}");
    let both = random(&same());
    let mut file = renamed(&both, milesial);
    for (k, t) in both.iter() {
        file.weights.insert(k, t.clone());
    }
    let e = error(file);
    assert_eq!(
        e,
        "checkpoint: the names match more than one dialect: milesial/Pytorch-UNet and unet (names without metadata)"
    );
}
