//! Packages of bioimage.io: a zip with a description (`rdf.yaml` or `bioimageio.yaml`, formats 0.4 and 0.5), weights and test
//! tensors. Weights are ONNX, or a state dict of a dialect that is known; axes, sizes, halos and processing become part of
//! the network or of how its images are normalised, and what has no counterpart is refused by its name.

mod archive;
mod network;
mod processing;
mod sizes;
mod tensors;

pub use network::Packaged;
pub use processing::{Post, Step};
pub use sizes::Sizes;
pub use tensors::{Axis, Described, Size};

use super::Architecture;
use super::loaded::Model;
use super::onnx::export::parse_back;
use crate::error::{Error, Result};
use crate::io::Input;
use crate::weights::{self, MAX_BYTES, Normalisation};
use archive::{Archive, inside, shown};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// What the description may be called.
const DESCRIPTIONS: [&str; 2] = ["rdf.yaml", "bioimageio.yaml"];
/// The longest description that is read.
const MAX_DESCRIPTION: u64 = 1 << 20;
/// The largest test tensor.
const MAX_TENSOR: u64 = 1 << 30;

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its sum, where the description has one.
    pub sha256: Option<String>,
}

/// What a package says of itself.
#[derive(Clone, Debug)]
pub struct Package {
    /// The package itself.
    pub file: Input,
    /// Version of the description.
    pub format_version: String,
    /// Name, description, license, authors, citations, as far as it has them.
    pub about: Vec<(&'static str, String)>,
    /// What its weights are in, and where; the first that could be read.
    pub weights: (String, Source),
    /// Its input.
    pub input: Described,
    /// Its output: the first image.
    pub output: Described,
    /// What is done with the network's output.
    pub post: Vec<Post>,
    /// Which of the network's outputs that is.
    pub network_output: String,
    /// Input and output of the package's own test.
    pub test: Option<[Source; 2]>,
    /// What is done otherwise than described, and what was chosen.
    pub notes: Vec<String>,
}

/// Whether a file is a zip with a description.
pub fn is_package(input: &Input) -> bool {
    let mut magic = [0; 4];
    let read = input.open().is_ok_and(|(mut f, _)| f.read_exact(&mut magic).is_ok());
    read && magic == *b"PK\x03\x04" && Archive::open(input).is_ok_and(|a| a.first(&DESCRIPTIONS).is_some())
}

/// Opens a package as a model. `set` is for its weights, as in [`Model::open_with`]; `free_size` takes the description's sizes
/// for those of its author's images only, `normalisation` replaces its preprocessing.
pub fn open(input: impl Into<Input>, set: &Map<String, Value>) -> Result<(Model, Arc<Package>)> {
    let input = &input.into();
    let path = input.name();
    let within = |e: Error| match e {
        e @ (Error::File { .. } | Error::Io { .. }) => e,
        e => Error::file(path, e.message()),
    };
    let mut archive = Archive::open(input)?;
    let name = archive.first(&DESCRIPTIONS).ok_or_else(|| Error::file(path, "no rdf.yaml in it"))?;
    let text = archive.read(name, MAX_DESCRIPTION, None)?;
    let text = std::str::from_utf8(&text).map_err(|_| Error::file(path, format!("`{name}` is not UTF-8 text")))?;
    // `id: y` is an axis: a word, not the truth value that YAML 1.1 made of it. `data_range` is from `-.inf` to `.inf`.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
    };
    let rdf: Value = serde_saphyr::from_str_with_options(text, options).map_err(|e| {
        let first = e.to_string().lines().next().unwrap_or_default().to_string();
        Error::file(path, format!("`{name}` is not YAML: {first}"))
    })?;
    read(&mut archive, input, &rdf, set).map_err(within)
}

fn read(archive: &mut Archive, file: &Input, rdf: &Value, set: &Map<String, Value>) -> Result<(Model, Arc<Package>)> {
    let text = |key: &str| rdf.get(key).and_then(Value::as_str).map(shown);
    let format_version = text("format_version").unwrap_or_default();
    if !(format_version.starts_with("0.4.") || format_version.starts_with("0.5.")) {
        return Err(Error::invalid("format_version", format!("`{format_version}`; 0.4 and 0.5 are read")));
    }
    if rdf.get("type").and_then(Value::as_str) != Some("model") {
        return Err(Error::invalid("type", format!("`{}` is not a model", text("type").unwrap_or_default())));
    }
    if rdf.get("run_mode").is_some_and(|r| !r.is_null()) {
        return Err(Error::invalid("run_mode", "needs Python code of its own"));
    }
    let given = only(rdf, "inputs")?;
    let input = Described::read("inputs", given)?;
    let outputs = list(rdf, "outputs")?;
    let index = outputs.iter().position(tensors::is_image).unwrap_or(0);
    let made = outputs.get(index).ok_or_else(|| Error::invalid("outputs", "there is none"))?;
    let output = Described::read("outputs", made)?.knowing(&input);
    let mut post = processing::after(&Step::list(made.get("postprocessing"))?, &output)?;
    let mut notes = Vec::new();
    if outputs.len() > 1 {
        notes.push(format!("the first image of {} outputs is used: `{}`", outputs.len(), output.id));
    }
    let OpenedWeights { mut model, kind, source, foreign } = open_weights(archive, file.name(), rdf, set, index)?;
    let network = model.architecture.clone();
    if kind == "pytorch_state_dict" && model.import().is_some_and(|r| r.sigmoid) {
        post.insert(0, Post::Sigmoid);
        notes.push("the module that the weights are of ends with a sigmoid".into());
    }
    if foreign && post.is_empty() {
        let assumed = model.import().map(|r| r.assumed()).unwrap_or_default();
        notes.extend(assumed.iter().filter(|a| a.starts_with("activation=")).map(|a| format!("assumed {a}")));
    }
    check_layout(&*network, &input, &output, foreign)?;
    model.metadata.normalisation = match set.get("normalisation") {
        Some(rule) => Normalisation::from_setting(rule)?,
        None => {
            let steps = Step::list(given.get("preprocessing"))?;
            let (rule, said) = processing::before(&steps, &input, network.in_channels())?;
            notes.extend(said);
            rule
        }
    };
    model.metadata.validate()?;
    let sizes = if set.get("free_size") == Some(&Value::Bool(true)) {
        Sizes { rule: network.size_rule(), fixed: network.fixed_size() }
    } else {
        let sizes = sizes::input_sizes(&*network, &input)?;
        sizes::check_output(&sizes, &input, &output)?;
        sizes
    };
    let network_output = output_name(&*network, &kind, foreign, index)?;
    let packaged = Packaged {
        classes: network.classes(),
        output: network_output.clone(),
        id: output.id.clone(),
        post: post.clone(),
        transposed: [input.transposed(), output.transposed()],
        sizes,
        halo: output.halo,
        network,
    };
    let packaged = packaged.counted()?;
    if model.metadata.classes.is_empty() {
        model.metadata.classes = class_names(&output.channel_names, packaged.classes);
    }
    let one = |tensor: &Value, old: &str, index: usize| -> Result<Option<Source>> {
        match tensor.get("test_tensor").or(rdf.get(old).and_then(|l| l.get(index))) {
            None | Some(Value::Null) => Ok(None),
            Some(v) => source_of(v).map(Some),
        }
    };
    let test = one(given, "test_inputs", 0)?.zip(one(made, "test_outputs", index)?).map(|(x, y)| [x, y]);
    let about = about(rdf, given);
    let weights = (kind, source);
    let file = file.clone();
    let package = Package { file, format_version, about, weights, input, output, post, network_output, test, notes };
    let package = Arc::new(package);
    Ok((model.packaged(Arc::new(packaged), package.clone())?, package))
}

/// What a package says of itself, for people.
fn about(rdf: &Value, input: &Value) -> Vec<(&'static str, String)> {
    let text = |key: &'static str| Some((key, shown(rdf.get(key)?.as_str()?)));
    let names = |key: &'static str, field: &str| {
        let list = rdf.get(key)?.as_array()?;
        let names: Vec<String> = list.iter().filter_map(|a| Some(shown(a.get(field)?.as_str()?))).collect();
        (!names.is_empty()).then(|| (key, names.join("; ")))
    };
    let data = input.get("data").map(|d| d.get(0).unwrap_or(d));
    let pixels = input.get("data_type").or(data.and_then(|d| d.get("type"))).and_then(Value::as_str);
    let pixels = pixels.filter(|t| *t != "float32").map(|t| ("pixels", format!("of type {}", shown(t))));
    let all =
        [text("name"), text("description"), text("license"), names("authors", "name"), names("cite", "text"), pixels];
    all.into_iter().flatten().collect()
}

/// Names of the mask's classes: the channels', behind a background where these do not contain it.
fn class_names(channels: &[String], classes: usize) -> Vec<String> {
    match channels.len() {
        n if n == classes => channels.to_vec(),
        n if n + 1 == classes && n > 0 => [&["background".to_string()], channels].concat(),
        _ => Vec::new(),
    }
}

/// Fails where the network's own order of axes and number of channels are others than the description's.
fn check_layout(network: &dyn Architecture, input: &Described, output: &Described, foreign: bool) -> Result<()> {
    let wrong = |what: &str, reason: String| Err(Error::invalid(format!("axes of {what}"), reason));
    let letters = input.letters();
    if !["bcyx", "bcxy", "byxc", "bxyc"].contains(&&letters[..]) {
        let reason = format!("are `{letters}`; networks that take bcyx, byxc, bcxy or bxyc can be read");
        return wrong("inputs", reason);
    }
    if output.letters().contains("ycx") || output.letters().contains("xcy") {
        return wrong("outputs", format!("are `{}`: channels between rows and columns", output.letters()));
    }
    let last = foreign && network.config().get("channels_last") == Some(&Value::Bool(true));
    if last != input.channels_last() {
        let own = if last { "last" } else { "second" };
        return wrong("inputs", format!("are `{letters}`, the network takes its channels as the {own} axis"));
    }
    for (what, tensor, own) in [("inputs", input, network.in_channels()), ("outputs", output, network.out_channels())] {
        if let Some(said) = tensor.channels.filter(|&n| n != own) {
            return wrong(what, format!("have {said} channels, the network {own}"));
        }
    }
    Ok(())
}

fn list<'a>(rdf: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    rdf.get(key).and_then(Value::as_array).ok_or_else(|| Error::invalid(key, "is not a list of tensors"))
}

/// The one input that is not optional.
fn only<'a>(rdf: &'a Value, key: &str) -> Result<&'a Value> {
    let needed: Vec<&Value> =
        list(rdf, key)?.iter().filter(|t| t.get("optional").and_then(Value::as_bool) != Some(true)).collect();
    match needed[..] {
        [one] => Ok(one),
        _ => Err(Error::invalid(key, format!("{} tensors; this program has one", needed.len()))),
    }
}

/// A file's name, alone or with its sum.
fn source_of(v: &Value) -> Result<Source> {
    let name = v.as_str().or(v.get("source").and_then(Value::as_str));
    let name =
        name.ok_or_else(|| Error::invalid("source", format!("{} is not the name of a file", shown(&v.to_string()))))?;
    let plain =
        inside(name).ok_or_else(|| Error::invalid(format!("`{}`", shown(name)), "is not a file in the package"))?;
    let sha256 = v.get("sha256").and_then(Value::as_str).map(str::to_string);
    Ok(Source { name: plain.into(), sha256 })
}

/// Weights as a model, without what the description adds.
struct OpenedWeights {
    model: Model,
    /// What they are in.
    kind: String,
    source: Source,
    /// Whether they are an ONNX file of another program.
    foreign: bool,
}

/// The first weights that can be read. `index` is the output that is used.
fn open_weights(
    archive: &mut Archive,
    path: &Path,
    rdf: &Value,
    set: &Map<String, Value>,
    index: usize,
) -> Result<OpenedWeights> {
    let weights = rdf.get("weights").and_then(Value::as_object);
    let weights = weights.ok_or_else(|| Error::invalid("weights", "are not in the description"))?;
    let mut why = Vec::new();
    for kind in ["onnx", "pytorch_state_dict"] {
        let Some(entry) = weights.get(kind).filter(|w| !w.is_null()) else { continue };
        let opened = source_of(entry).and_then(|source| {
            let bytes = archive.read(&source.name, MAX_BYTES, source.sha256.as_deref())?;
            let called = path.display().to_string();
            let (model, foreign) = match kind {
                "onnx" => open_onnx(archive, &bytes, &source.name, entry, (&called, set, index))?,
                _ => {
                    // A rule of images, not of the checkpoint.
                    let mut set = set.clone();
                    set.remove("free_size");
                    (Model::new_with(called, weights::load_bytes(&bytes, &source.name)?, &set)?, false)
                }
            };
            Ok(OpenedWeights { model, kind: kind.into(), source, foreign })
        });
        match opened {
            Ok(opened) => return Ok(opened),
            Err(e) => why.push(format!("{kind}: {e}")),
        }
    }
    if why.is_empty() {
        let there: Vec<_> = weights.keys().map(|k| shown(k)).collect();
        let reason = format!("are {}; onnx and pytorch_state_dict can be read", there.join(", "));
        return Err(Error::invalid("weights", reason));
    }
    Err(Error::invalid("weights", why.join("; ")))
}

/// Opens an ONNX file, with the file of its weights if they are in one of their own; says whether another program wrote it.
fn open_onnx(
    archive: &mut Archive,
    bytes: &[u8],
    name: &str,
    entry: &Value,
    (called, set, index): (&str, &Map<String, Value>, usize),
) -> Result<(Model, bool)> {
    let mut files = BTreeMap::new();
    if let Some(data) = entry.get("external_data").filter(|v| !v.is_null()) {
        let source = source_of(data)?;
        let bytes = archive.read(&source.name, MAX_BYTES, source.sha256.as_deref())?;
        let name = source.name.rsplit('/').next().unwrap_or_default();
        files.insert(name.to_string(), bytes.into());
    }
    let named = |e: Error| Error::invalid(name, e.message());
    let (mut model, foreign) = match parse_back(bytes, Path::new(name)) {
        Ok(checkpoint) => {
            // Rules of images, not of the checkpoint.
            let mut set = set.clone();
            ["free_size", "normalisation"].iter().for_each(|key| drop(set.remove(*key)));
            (Model::new_with(called, checkpoint, &set).map_err(named)?, false)
        }
        Err(_) => {
            let open = |set: &Map<String, Value>| Model::from_onnx(name, bytes, &files, set).map_err(named);
            let model = open(set)?;
            let config = model.architecture.config();
            let requested = config.get("outputs").and_then(|names| names.get(index));
            // The package counts outputs as the file does.
            match requested.filter(|w| config.get("output") != Some(w) && !set.contains_key("output")) {
                None => (model, true),
                Some(name) => {
                    let mut set = set.clone();
                    set.insert("output".into(), name.clone());
                    (open(&set)?, true)
                }
            }
        }
    };
    model.name = called.into();
    Ok((model, foreign))
}

/// Which of the network's outputs is the package's one of this index.
fn output_name(network: &dyn Architecture, kind: &str, foreign: bool, index: usize) -> Result<String> {
    if foreign && let Some(name) = network.config().get("output").and_then(Value::as_str) {
        return Ok(name.into());
    }
    let s = network.example();
    let graph = super::whole_graph(network, s.n, s.h, s.w)?;
    let names = || graph.outputs().iter().map(|o| o.0.as_str());
    // The module that a state dict is of gives one tensor a head: a U-Net 3+'s probabilities, the others' logits.
    let heads = |prefix: &str| names().filter(|n| kind != "onnx" && n.starts_with(prefix)).collect::<Vec<_>>();
    let all = [heads("probs."), heads("logits."), names().collect()];
    let heads = all.iter().find(|n| !n.is_empty());
    let name = heads.and_then(|n| n.get(index)).ok_or_else(|| {
        Error::invalid(
            "outputs",
            format!("there is no output {}; the network has {}", index + 1, graph.outputs().len()),
        )
    })?;
    Ok((*name).into())
}

impl Package {
    /// The package's test: the bytes of the NPY files of its input and of what should come out.
    pub fn test_tensors(&self) -> Result<Option<[Vec<u8>; 2]>> {
        let Some([input, output]) = &self.test else { return Ok(None) };
        let mut archive = Archive::open(&self.file)?;
        let mut read = |source: &Source| archive.read(&source.name, MAX_TENSOR, source.sha256.as_deref());
        Ok(Some([read(input)?, read(output)?]))
    }

    /// Writes them into a folder.
    #[cfg(feature = "std-fs")]
    pub fn extract_test(&self, folder: &Path) -> Result<Option<[std::path::PathBuf; 2]>> {
        let Some([input, output]) = self.test_tensors()? else { return Ok(None) };
        let write = |name: &str, bytes: Vec<u8>| {
            let file = folder.join(name);
            std::fs::write(&file, bytes).map_err(|e| Error::io(&file, e)).map(|()| file)
        };
        Ok(Some([write("input.npy", input)?, write("output.npy", output)?]))
    }
}

#[cfg(test)]
mod tests;
