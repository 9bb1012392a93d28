//! The model that a run begins with: which of its parameters the network to train takes.

use crate::error::{Error, Result};
use crate::model::{Architecture, Model, parse, whole_graph};
use serde_json::Value;
use std::collections::BTreeMap;

/// Names and dimensions of parameters, in the order of the network.
type Parameters = Vec<(String, Vec<usize>)>;

/// A model that fits the network to train.
#[derive(Debug)]
pub(super) struct Init<'a> {
    pub model: &'a Model,
    /// Parameters that begin at random: those that depend on another number of input or output channels.
    pub at_random: Vec<String>,
    /// Parameters of the model that depend on these numbers and that the network does not have.
    pub unused: Vec<String>,
}

impl<'a> Init<'a> {
    /// Compares a model with the network to train. Only what depends on the number of input or output channels may differ, such as
    /// a head for other classes; the error names the first other parameter that does.
    pub(super) fn new(model: &'a Model, network: &dyn Architecture) -> Result<Self> {
        let (needed, held) = (parameters(network)?, parameters(&*model.architecture)?);
        let free = free(network, &needed)?;
        let mut at_random = Vec::new();
        for (key, dims) in &needed {
            match model.weights().require(key, dims) {
                Ok(_) => {}
                Err(_) if free.contains(key) => at_random.push(key.clone()),
                Err(e) => return Err(misfit(model, network, &e.to_string())),
            }
        }
        let without_place: Parameters = held.into_iter().filter(|h| needed.iter().all(|n| n.0 != h.0)).collect();
        let free =
            if without_place.is_empty() { Vec::new() } else { self::free(&*model.architecture, &without_place)? };
        if let Some((key, _)) = without_place.iter().find(|p| !free.contains(&p.0)) {
            return Err(misfit(model, network, &format!("the network has no parameter `{key}`")));
        }
        Ok(Self { model, at_random, unused: without_place.into_iter().map(|p| p.0).collect() })
    }

    /// What is not taken from the model, for users.
    pub(super) fn findings(&self) -> Vec<String> {
        let name = &self.model.name;
        let list = |keys: &[String]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        let mut findings = Vec::new();
        if !self.at_random.is_empty() {
            let keys = list(&self.at_random);
            findings.push(format!("{name} has other input or output channels: {keys} begin at random"));
        }
        if !self.unused.is_empty() {
            findings.push(format!("{name}: the network has no {}: not used", list(&self.unused)));
        }
        findings
    }
}

fn parameters(network: &dyn Architecture) -> Result<Parameters> {
    let s = network.example();
    let graph = whole_graph(network, s.n, s.h, s.w)?;
    Ok(graph.parameters().map(|(key, dims)| (key.to_string(), dims.to_vec())).collect())
}

/// Those of a network's parameters that depend on its number of input or output channels: their dimensions differ in the same network
/// with one channel more.
fn free(network: &dyn Architecture, of: &[(String, Vec<usize>)]) -> Result<Vec<String>> {
    let mut free = Vec::new();
    for (key, count) in [("in_channels", network.in_channels()), ("out_channels", network.out_channels())] {
        let mut config = network.config();
        match config.as_object_mut() {
            Some(options) if options.contains_key(key) => options.insert(key.into(), (count + 1).into()),
            // A file that is no configuration of ours, such as an ONNX file, has no such number.
            _ => continue,
        };
        let other: BTreeMap<_, _> = parameters(&*parse(network.id(), &config)?)?.into_iter().collect();
        free.extend(of.iter().filter(|(key, dims)| other.get(key) != Some(dims)).map(|p| p.0.clone()));
    }
    Ok(free)
}

fn misfit(model: &Model, network: &dyn Architecture, why: &str) -> Error {
    let (own, wanted) = (&*model.architecture, network);
    let differences = match (own.config(), wanted.config()) {
        _ if own.id() != wanted.id() => format!("it is {}, not {}", own.name(), wanted.name()),
        (Value::Object(own), Value::Object(wanted)) => {
            let differ = wanted.iter().filter(|(key, value)| own.get(*key).is_some_and(|v| v != *value));
            let texts = differ.map(|(key, value)| format!("{key} is {value}, there {}", own[key]));
            texts.collect::<Vec<_>>().join("; ")
        }
        _ => String::new(),
    };
    let differences = if differences.is_empty() { differences } else { format!(" ({differences})") };
    Error::file(&model.name, format!("does not fit the network to train{differences}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::network::initial;
    use crate::weights::{ModelMetadata, Normalisation, Weights};
    use serde_json::json;

    fn network(arch: &str, config: Value) -> Box<dyn Architecture> {
        parse(arch, &config).unwrap()
    }

    fn model(arch: &str, config: Value) -> Model {
        let network = network(arch, config);
        let s = network.example();
        let graph = whole_graph(&*network, s.n, s.h, s.w).unwrap();
        let initial = initial(&graph, 1);
        let weights: Weights = graph.parameters().map(|(k, d)| (k.to_string(), initial(k, d).unwrap())).collect();
        let metadata = ModelMetadata {
            format: 1,
            arch: network.id().into(),
            config: network.config(),
            normalisation: Normalisation::default(),
            classes: Vec::new(),
            target: None,
            instances: None,
            scale: None,
            recipe: None,
        };
        Model::with_architecture("m", network.into(), metadata, weights).unwrap()
    }

    #[test]
    fn another_architecture_is_an_error_that_names_a_parameter() {
        let four = model("unet", json!({"width": 4, "depth": 2, "padding": "same"}));
        let error = |arch: &str, config: Value| Init::new(&four, &*network(arch, config)).unwrap_err().to_string();
        assert_eq!(
            error("unet", json!({"width": 16, "depth": 2, "padding": "same"})),
            "m: does not fit the network to train (width is 16, there 4): parameter `enc.0.bn1.weight`: the network needs shape \
             [16], the file has [4]"
        );
        let deeper = error("unet", json!({"width": 4, "depth": 3, "padding": "same"}));
        assert!(
            deeper.contains("(depth is 3, there 2): parameter `enc.3.") && deeper.contains("is missing"),
            "{deeper}"
        );
        // All that it has is in the file, but at other places of the network.
        let flatter = error("unet", json!({"width": 4, "depth": 1, "padding": "same"}));
        assert!(flatter.contains("the network has no parameter `enc.2."), "{flatter}");
        let bare = error("unet", json!({"width": 4, "depth": 2, "padding": "same", "norm": false}));
        assert!(bare.contains("norm is false, there true"), "{bare}");
        let other = error("unetpp", json!({"width": 4, "depth": 2}));
        assert!(other.contains("(it is U-Net, not U-Net++): parameter `node.x0_0."), "{other}");
    }

    #[test]
    fn other_channels_begin_at_random_and_are_said() {
        let config = |inputs: usize, outputs: usize| json!({"width": 4, "depth": 2, "in_channels": inputs, "out_channels": outputs});
        for (arch, first, head) in [
            ("unet", "enc.0.conv1.weight", "head."),
            ("unetpp", "node.x0_0.conv1.weight", "head.1."),
            ("unet3p", "enc.0.conv1.weight", "head.0."),
        ] {
            let model = model(arch, config(1, 2));
            let init = |inputs, outputs| Init::new(&model, &*network(arch, config(inputs, outputs))).unwrap();
            let same = init(1, 2);
            assert!(
                same.at_random.is_empty() && same.unused.is_empty() && same.findings().is_empty(),
                "{arch} {same:?}"
            );
            assert_eq!(init(3, 2).at_random, [first], "{arch}");
            let classes = init(1, 3);
            assert!(
                classes.at_random.starts_with(&[format!("{head}weight"), format!("{head}bias")]),
                "{arch} {classes:?}"
            );
            assert!(classes.at_random.iter().all(|key| key.starts_with("head.")), "{arch} {classes:?}");
            let said = classes.findings().join("\n");
            assert!(
                said.contains(&format!("`{head}weight`, `{head}bias`")) && said.contains("begin at random"),
                "{said}"
            );
        }
    }

    #[test]
    fn heads_of_deep_supervision_may_come_and_go() {
        let config = |deep: bool| json!({"width": 4, "depth": 2, "deep_supervision": deep});
        let with = model("unetpp", config(true));
        let init = Init::new(&with, &*network("unetpp", config(false))).unwrap();
        assert_eq!(
            (init.at_random.len(), &init.unused[..]),
            (0, &["head.1.weight".to_string(), "head.1.bias".into()][..])
        );
        assert_eq!(init.findings(), ["m: the network has no `head.1.weight`, `head.1.bias`: not used"]);
        let without = model("unetpp", config(false));
        let init = Init::new(&without, &*network("unetpp", config(true))).unwrap();
        assert_eq!(init.at_random, ["head.1.weight", "head.1.bias"]);
    }
}
