//! A network with its weights: a loaded checkpoint.

use super::dialect::{self, Understood};
use super::onnx::OnnxNetwork;
#[cfg(feature = "bioimage")]
use super::onnx::{self, OnnxOptions};
#[cfg(feature = "bioimage")]
use super::package::Package;
use super::{Architecture, parse, whole_graph};
use crate::error::{Error, Hint, Result};
use crate::tensor::HostTensor;
#[cfg(feature = "bioimage")]
use crate::weights;
use crate::weights::{Checkpoint, ModelMetadata, Weights};
use serde_json::{Map, Value};
#[cfg(feature = "bioimage")]
use std::path::Path;
use std::sync::Arc;

/// The option that selects which state dict of a checkpoint is read.
const STATE: &str = "state";

/// A network with its weights. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Model {
    /// Built-in name or path.
    pub name: String,
    /// The network.
    pub architecture: Arc<dyn Architecture>,
    /// The checkpoint's metadata.
    pub metadata: ModelMetadata,
    weights: Arc<Weights>,
    import: Option<Arc<dialect::Report>>,
    #[cfg(feature = "bioimage")]
    package: Option<Arc<Package>>,
}

impl Model {
    /// Reads the weights of a package: an ONNX file, with its external data in `files`, or a checkpoint.
    #[cfg(feature = "bioimage")]
    pub(super) fn from_onnx(
        name: &str,
        bytes: &[u8],
        files: &std::collections::BTreeMap<String, Arc<[u8]>>,
        set: &Map<String, Value>,
    ) -> Result<Self> {
        // The package declares the format; the file name does not matter.
        if onnx::is_onnx(bytes, Path::new("model.onnx")) {
            let options = OnnxOptions::from_settings(set)?;
            return Self::of_onnx(name, onnx::parse_with(bytes, Path::new(name), files, &options)?, set);
        }
        let (_, set) = split_state(set)?;
        Self::new_with(name, weights::load_bytes(bytes, name)?, &set)
    }

    pub(super) fn of_onnx(
        name: &str,
        (network, metadata, weights): (OnnxNetwork, ModelMetadata, Weights),
        set: &Map<String, Value>,
    ) -> Result<Self> {
        // This program's own files carry metadata.
        let own = metadata.arch != "onnx";
        let declared = own && !set.contains_key("normalisation");
        let report = network.report((!declared).then_some(&metadata.normalisation), set.contains_key("normalisation"));
        let complete = declared && network.is_plain();
        let model = Self::with_architecture(name, Arc::new(network), metadata, weights)?;
        Ok(Self { import: (!complete).then(|| Arc::new(report)), ..model })
    }

    /// Loads a checkpoint: builds its architecture and checks that every parameter is present with the right shape.
    /// Warns (through `log`) about parameters that are not finite.
    pub fn new(name: impl Into<String>, checkpoint: Checkpoint) -> Result<Self> {
        Self::new_with(name, checkpoint, &Map::new())
    }

    /// [`Self::new`] with options as in [`Self::open_with`].
    pub fn new_with(name: impl Into<String>, checkpoint: Checkpoint, set: &Map<String, Value>) -> Result<Self> {
        let name = name.into();
        let Some(mut metadata) = checkpoint.metadata else {
            let understood = dialect::understand(checkpoint, set).map_err(|e| Error::file(&name, e.message()))?;
            let Understood { metadata, weights, report } = understood;
            let network = parse(&metadata.arch, &metadata.config).map_err(|e| Error::file(&name, e.message()))?;
            let model = Self::with_architecture(name, network.into(), metadata, weights)?;
            return Ok(Self { import: Some(Arc::new(report)), ..model });
        };
        metadata.validate().map_err(|e| Error::file(&name, e.message()))?;
        let mut architecture = parse(&metadata.arch, &metadata.config).map_err(|e| Error::file(&name, e.message()))?;
        if !set.is_empty() {
            metadata.config = chosen(&*architecture, &name, set)?;
            architecture = parse(&metadata.arch, &metadata.config)?;
        }
        Self::with_architecture(name, architecture.into(), metadata, checkpoint.weights)
    }

    /// A network of any architecture, including the caller's own, with its weights; checked as in [`Self::new`].
    /// `arch` and `config` of `metadata` are ignored.
    pub fn with_architecture(
        name: impl Into<String>,
        architecture: Arc<dyn Architecture>,
        metadata: ModelMetadata,
        weights: Weights,
    ) -> Result<Self> {
        let model = Self {
            name: name.into(),
            architecture,
            metadata,
            weights: Arc::new(weights),
            import: None,
            #[cfg(feature = "bioimage")]
            package: None,
        };
        let model = model.checked()?;
        let bad = model.weights.non_finite();
        if let Some((key, count)) = bad.first() {
            let others =
                if bad.len() > 1 { format!(" (and {} more parameters)", bad.len() - 1) } else { String::new() };
            log::warn!("{}: parameter `{key}` holds {count} values that are not finite numbers{others}", model.name);
        }
        Ok(model)
    }

    /// Checks that every parameter is present with the right shape, and that there are not more class names than
    /// classes.
    fn checked(self) -> Result<Self> {
        let rule = self.architecture.size_rule();
        if rule.step == 0 || rule.minimum == 0 {
            let reason = format!("its size rule has a minimum of {} and a step of {}", rule.minimum, rule.step);
            return Err(Error::file(&self.name, reason));
        }
        let s = self.architecture.example();
        let graph =
            whole_graph(&*self.architecture, s.n, s.h, s.w).map_err(|e| Error::file(&self.name, e.message()))?;
        for (key, dims) in graph.parameters() {
            self.weights.require(key, dims).map_err(|e| Error::file(&self.name, e.message()))?;
        }
        self.check_target()?;
        let (named, classes) = (self.metadata.classes.len(), self.class_count());
        if named > classes {
            return Err(Error::file(&self.name, format!("metadata names {named} classes, the network has {classes}")));
        }
        Ok(self)
    }

    /// The weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// How another program's checkpoint was interpreted; `None` for a native one.
    pub fn import(&self) -> Option<&dialect::Report> {
        self.import.as_deref()
    }

    /// The same network with its package's processing.
    #[cfg(feature = "bioimage")]
    pub(super) fn packaged(self, architecture: Arc<dyn Architecture>, package: Arc<Package>) -> Result<Self> {
        // The package settles what its ONNX file leaves open.
        let import = self.import.clone().filter(|r| r.dialect != "ONNX");
        Self { architecture, import, package: Some(package), ..self }.checked()
    }

    /// The bare network, without its package's processing.
    #[cfg(feature = "bioimage")]
    pub fn unpackaged(&self) -> Self {
        let architecture = self.architecture.inner().unwrap_or_else(|| self.architecture.clone());
        Self { architecture, package: None, ..self.clone() }
    }

    /// The bioimage.io package that the model was opened from.
    #[cfg(feature = "bioimage")]
    pub fn package(&self) -> Option<&Package> {
        self.package.as_deref()
    }

    /// Parameter lookup by name and dimensions, for sessions and reference runs.
    pub fn stored(&self) -> impl FnMut(&str, &[usize]) -> Result<HostTensor> + '_ {
        |key, dims| self.weights.require(key, dims).cloned()
    }

    /// Keys of the checkpoint that the network does not use.
    pub fn unused_keys(&self) -> Result<Vec<String>> {
        let s = self.architecture.example();
        let graph = whole_graph(&*self.architecture, s.n, s.h, s.w)?;
        let used: std::collections::HashSet<&str> = graph.parameters().map(|p| p.0).collect();
        Ok(self.weights.keys().filter(|k| !used.contains(&k[..])).map(|k| k.to_string()).collect())
    }

    /// Class names; `class {i}` where the checkpoint has none. Sigmoid outputs have one more class than channels, the
    /// background.
    pub fn classes(&self) -> Vec<String> {
        let count = self.class_count();
        let named = self.metadata.classes.iter().cloned();
        named.chain((self.metadata.classes.len()..count).map(|i| format!("class {i}"))).collect()
    }
}

/// The config of a network with metadata, updated with `set`, which may hold only [`Architecture::choices`].
fn chosen(architecture: &dyn Architecture, name: &str, set: &Map<String, Value>) -> Result<Value> {
    let choices = architecture.choices();
    if let Some(key) = set.keys().find(|key| !choices.contains(&&key[..])) {
        let left = match choices {
            [] => "it has no options to set".to_string(),
            _ => format!("only {} can be set", choices.join(" and ")),
        };
        return Err(Error::invalid(Hint::model_option(key), format!("{name} has its own configuration; {left}")));
    }
    let mut config = architecture.config();
    if let Some(config) = config.as_object_mut() {
        config.extend(set.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    Ok(config)
}

/// Splits `set` into the requested state dict and the other settings.
pub(super) fn split_state(set: &Map<String, Value>) -> Result<(Option<String>, Map<String, Value>)> {
    let mut set = set.clone();
    let state = match set.remove(STATE) {
        None => None,
        Some(Value::String(state)) => Some(state),
        Some(other) => return Err(Error::invalid(format!("state={other}"), "must be a name in the checkpoint")),
    };
    Ok((state, set))
}
