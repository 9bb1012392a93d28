//! A network with its weights: what a checkpoint is once it has been understood.

#[cfg(feature = "bioimage")]
use super::bioimage;
use super::dialect::{self, Understood};
use super::onnx::{self, OnnxNetwork, OnnxOptions};
use super::{Architecture, parse, whole_graph};
use crate::error::{Error, Hint, Result};
use crate::io::Input;
use crate::tensor::HostTensor;
use crate::weights::{self, Checkpoint, ModelMetadata, Weights};
use serde_json::{Map, Value};
use std::io::Read;
#[cfg(feature = "bioimage")]
use std::path::Path;
use std::sync::Arc;

/// The option that says which state dict of a checkpoint is read.
const STATE: &str = "state";

/// A network with its weights. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Model {
    /// Built-in name or path.
    pub name: String,
    /// The network.
    pub architecture: Arc<dyn Architecture>,
    /// What the checkpoint says about itself.
    pub metadata: ModelMetadata,
    weights: Arc<Weights>,
    import: Option<Arc<dialect::Report>>,
    #[cfg(feature = "bioimage")]
    package: Option<Arc<bioimage::Package>>,
}

impl Model {
    /// Opens a built-in model by name, or a checkpoint or an ONNX file by path.
    pub fn open(name_or_path: &str) -> Result<Self> {
        Self::open_with(name_or_path, &Map::new())
    }

    /// The same with options in place of those that would be assumed of another program's checkpoint, see
    /// [`dialect::understand`], and of an ONNX file, [`OnnxOptions`]; of our own, with [`Architecture::choices`].
    pub fn open_with(name_or_path: &str, set: &Map<String, Value>) -> Result<Self> {
        #[cfg(feature = "std-fs")]
        if let Some(model) = Self::self_described(&name_or_path.into(), set)? {
            return Ok(model);
        }
        let (state, set) = variable_of(set)?;
        Self::new_with(name_or_path, weights::open_state(name_or_path, state.as_deref())?, &set)
    }

    /// A checkpoint, an ONNX file or a package that is in memory. `name` is what errors call it.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        Self::read(Input::bytes(name, bytes), &Map::new())
    }

    /// A checkpoint, an ONNX file or a package, with options as in [`Self::open_with`].
    pub fn read(input: impl Into<Input>, set: &Map<String, Value>) -> Result<Self> {
        let input = input.into();
        if let Some(model) = Self::self_described(&input, set)? {
            return Ok(model);
        }
        let (state, set) = variable_of(set)?;
        let name = input.name().display().to_string();
        Self::new_with(name, weights::load_state(input, state.as_deref())?, &set)
    }

    /// A package or an ONNX file; `None` if it is neither.
    fn self_described(input: &Input, set: &Map<String, Value>) -> Result<Option<Self>> {
        #[cfg(feature = "bioimage")]
        if bioimage::is_package(input) {
            return Ok(Some(bioimage::open(input.clone(), set)?.0));
        }
        if !is_onnx_file(input) {
            return Ok(None);
        }
        let network = onnx::open(input.clone(), &OnnxOptions::from_settings(set)?)?;
        Self::of_onnx(&input.name().display().to_string(), network, set).map(Some)
    }

    /// An ONNX file of a package, with the other files that belong to it.
    #[cfg(feature = "bioimage")]
    pub(super) fn from_onnx(
        name: &str,
        bytes: &[u8],
        files: &std::collections::BTreeMap<String, Arc<[u8]>>,
        set: &Map<String, Value>,
    ) -> Result<Self> {
        // What the package says of it counts, not its name.
        if onnx::is_onnx(bytes, Path::new("model.onnx")) {
            let options = OnnxOptions::from_settings(set)?;
            return Self::of_onnx(name, onnx::parse_with(bytes, Path::new(name), files, &options)?, set);
        }
        let (_, set) = variable_of(set)?;
        Self::new_with(name, weights::load_bytes(bytes, name)?, &set)
    }

    fn of_onnx(
        name: &str,
        (network, metadata, weights): (OnnxNetwork, ModelMetadata, Weights),
        set: &Map<String, Value>,
    ) -> Result<Self> {
        // A file of this program says what it is.
        let own = metadata.arch != "onnx";
        let said = own && !set.contains_key("normalisation");
        let report = network.report((!said).then_some(&metadata.normalisation), set.contains_key("normalisation"));
        let silent = said && network.is_plain();
        let model = Self::with_architecture(name, Arc::new(network), metadata, weights)?;
        Ok(Self { import: (!silent).then(|| Arc::new(report)), ..model })
    }

    /// Understands a checkpoint: builds its architecture and checks that every parameter is there with the right shape.
    /// Warns (through `log`) of parameters that are not finite.
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

    /// A network of any architecture, also one of the caller's own, with its weights; checked as in [`Self::new`].
    /// Of `metadata`, `arch` and `config` are not looked at.
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
        let wrong = model.weights.non_finite();
        if let Some((key, count)) = wrong.first() {
            let others =
                if wrong.len() > 1 { format!(" (and {} more parameters)", wrong.len() - 1) } else { String::new() };
            log::warn!("{}: parameter `{key}` holds {count} values that are not finite numbers{others}", model.name);
        }
        Ok(model)
    }

    /// Whether every parameter is there with the right shape, and no more classes are named than there are.
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
        let (named, classes) = (self.metadata.classes.len(), self.architecture.classes());
        if named > classes {
            return Err(Error::file(&self.name, format!("metadata names {named} classes, the network has {classes}")));
        }
        Ok(self)
    }

    /// The weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// How another program's checkpoint was understood; `None` of a native one.
    pub fn import(&self) -> Option<&dialect::Report> {
        self.import.as_deref()
    }

    /// The same network with what its package adds.
    #[cfg(feature = "bioimage")]
    pub(super) fn packaged(self, architecture: Arc<dyn Architecture>, package: Arc<bioimage::Package>) -> Result<Self> {
        // What an ONNX file leaves open its package says.
        let import = self.import.clone().filter(|r| r.dialect != "ONNX");
        Self { architecture, import, package: Some(package), ..self }.checked()
    }

    /// The network alone, without what its package adds.
    #[cfg(feature = "bioimage")]
    pub fn unpackaged(&self) -> Self {
        let architecture = self.architecture.inner().unwrap_or_else(|| self.architecture.clone());
        Self { architecture, package: None, ..self.clone() }
    }

    /// The package of bioimage.io that it was opened from.
    #[cfg(feature = "bioimage")]
    pub fn package(&self) -> Option<&bioimage::Package> {
        self.package.as_deref()
    }

    /// Gives each parameter by name and dimensions: what sessions and reference runs ask for.
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

    /// Class names; made up where the checkpoint has none. One more than channels for sigmoid outputs, which have no channel
    /// for the background.
    pub fn classes(&self) -> Vec<String> {
        let count = self.architecture.classes();
        let named = self.metadata.classes.iter().cloned();
        named.chain((self.metadata.classes.len()..count).map(|i| format!("class {i}"))).collect()
    }
}

/// The config of a network that says itself what it is, with what may be chosen of it.
fn chosen(architecture: &dyn Architecture, name: &str, set: &Map<String, Value>) -> Result<Value> {
    let choices = architecture.choices();
    if let Some(key) = set.keys().find(|key| !choices.contains(&&key[..])) {
        let left = match choices {
            [] => "nothing of it is left open".to_string(),
            _ => format!("only {} may be chosen", choices.join(" and ")),
        };
        return Err(Error::invalid(Hint::model_option(key), format!("{name} says itself what it is; {left}")));
    }
    let mut config = architecture.config();
    if let Some(config) = config.as_object_mut() {
        config.extend(set.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    Ok(config)
}

/// The state dict that is asked for, and the other settings.
fn variable_of(set: &Map<String, Value>) -> Result<(Option<String>, Map<String, Value>)> {
    let mut set = set.clone();
    let state = match set.remove(STATE) {
        None => None,
        Some(Value::String(state)) => Some(state),
        Some(other) => return Err(Error::invalid(format!("state={other}"), "must be a name in the checkpoint")),
    };
    Ok((state, set))
}

/// Whether it is there and begins as an ONNX file does.
fn is_onnx_file(input: &Input) -> bool {
    let mut head = Vec::new();
    // What cannot be read is left to the reader of checkpoints, which says why.
    let read = input.open().is_ok_and(|(f, _)| f.take(16).read_to_end(&mut head).is_ok());
    read && onnx::is_onnx(&head, input.name())
}
