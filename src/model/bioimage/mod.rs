//! bioimage.io packages: a zip with a description (`rdf.yaml` or `bioimageio.yaml`, formats 0.4 and 0.5), weights and
//! test tensors. Weights are an ONNX file or a state dict of a known dialect. Axes, sizes, halos and processing become
//! part of the network or of its image normalisation; unsupported features are errors that name them.

mod archive;
mod network;
mod processing;
mod sizes;
mod tensors;

pub use super::package::{Axis, Described, Package, Post, Size, Source};
pub use network::Packaged;
pub use processing::Step;
pub use sizes::Sizes;

use super::Architecture;
use super::loaded::Model;
use super::onnx_export::parse_back;
use crate::error::{Error, Result};
use crate::io::Input;
use crate::weights::{self, MAX_BYTES, Normalisation};
use archive::{Archive, escaped, inside};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Possible file names of the description.
const DESCRIPTIONS: [&str; 2] = ["rdf.yaml", "bioimageio.yaml"];
/// Maximum size of the description, in bytes.
const MAX_DESCRIPTION: u64 = 1 << 20;
/// Maximum size of a test tensor, in bytes.
const MAX_TENSOR: u64 = 1 << 30;

/// Whether a file is a zip with a description.
pub fn is_package(input: &Input) -> bool {
    let mut magic = [0; 4];
    let read = input.open().is_ok_and(|(mut f, _)| f.read_exact(&mut magic).is_ok());
    read && magic == *b"PK\x03\x04" && Archive::open(input).is_ok_and(|a| a.first(&DESCRIPTIONS).is_some())
}

/// Opens a package as a model. `set` has options for its weights, as in [`Model::open_with`]. In addition, `free_size`
/// ignores the sizes in the description, and `normalisation` replaces its preprocessing.
pub fn open(input: impl Into<Input>, set: &Map<String, Value>) -> Result<(Model, Arc<Package>)> {
    let input = &input.into();
    let path = input.name();
    let within = |e: Error| match e {
        e @ (Error::File { .. } | Error::Io { .. }) => e,
        e => Error::file(path, e.message()),
    };
    let mut archive = Archive::open(input)?;
    let name = archive.first(&DESCRIPTIONS).ok_or_else(|| Error::file(path, "contains no rdf.yaml"))?;
    let text = archive.read(name, MAX_DESCRIPTION, None)?;
    let text = std::str::from_utf8(&text).map_err(|_| Error::file(path, format!("`{name}` is not UTF-8 text")))?;
    // `id: y` is the name of an axis, but a boolean in YAML 1.1. `data_range` may be from `-.inf` to `.inf`.
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
    let text = |key: &str| rdf.get(key).and_then(Value::as_str).map(escaped);
    let format_version = text("format_version").unwrap_or_default();
    if !(format_version.starts_with("0.4.") || format_version.starts_with("0.5.")) {
        return Err(Error::invalid("format_version", format!("`{format_version}`; 0.4 and 0.5 are supported")));
    }
    if rdf.get("type").and_then(Value::as_str) != Some("model") {
        return Err(Error::invalid("type", format!("`{}` is not a model", text("type").unwrap_or_default())));
    }
    if rdf.get("run_mode").is_some_and(|r| !r.is_null()) {
        return Err(Error::invalid("run_mode", "requires Python code"));
    }
    let input_spec = only(rdf, "inputs")?;
    let input = Described::read("inputs", input_spec)?;
    let outputs = list(rdf, "outputs")?;
    let index = outputs.iter().position(tensors::is_image).unwrap_or(0);
    let output_spec = outputs.get(index).ok_or_else(|| Error::invalid("outputs", "the list is empty"))?;
    let output = Described::read("outputs", output_spec)?.knowing(&input);
    let mut post = processing::after(&Step::list(output_spec.get("postprocessing"))?, &output)?;
    let mut notes = Vec::new();
    if outputs.len() > 1 {
        notes.push(format!("the first image of {} outputs is used: `{}`", outputs.len(), output.id));
    }
    let OpenedWeights { mut model, kind, source, foreign } = open_weights(archive, file.name(), rdf, set, index)?;
    let network = model.architecture.clone();
    if kind == "pytorch_state_dict" && model.import().is_some_and(|r| r.sigmoid) {
        post.insert(0, Post::Sigmoid);
        notes.push("the original module ends with a sigmoid".into());
    }
    if foreign && post.is_empty() {
        let assumed = model.import().map(|r| r.assumed()).unwrap_or_default();
        notes.extend(assumed.iter().filter(|a| a.starts_with("activation=")).map(|a| format!("assumed {a}")));
    }
    check_layout(&*network, &input, &output, foreign)?;
    model.metadata.normalisation = match set.get("normalisation") {
        Some(rule) => Normalisation::from_setting(rule)?,
        None => {
            let steps = Step::list(input_spec.get("preprocessing"))?;
            let (rule, deviations) = processing::before(&steps, &input, network.in_channels())?;
            notes.extend(deviations);
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
    let test = one(input_spec, "test_inputs", 0)?.zip(one(output_spec, "test_outputs", index)?).map(|(x, y)| [x, y]);
    let about = about(rdf, input_spec);
    let weights = (kind, source);
    let file = file.clone();
    let package = Package { file, format_version, about, weights, input, output, post, network_output, test, notes };
    let package = Arc::new(package);
    Ok((model.packaged(Arc::new(packaged), package.clone())?, package))
}

/// General information about a package, for display.
fn about(rdf: &Value, input: &Value) -> Vec<(&'static str, String)> {
    let text = |key: &'static str| Some((key, escaped(rdf.get(key)?.as_str()?)));
    let names = |key: &'static str, field: &str| {
        let list = rdf.get(key)?.as_array()?;
        let names: Vec<String> = list.iter().filter_map(|a| Some(escaped(a.get(field)?.as_str()?))).collect();
        (!names.is_empty()).then(|| (key, names.join("; ")))
    };
    let data = input.get("data").map(|d| d.get(0).unwrap_or(d));
    let pixels = input.get("data_type").or(data.and_then(|d| d.get("type"))).and_then(Value::as_str);
    let pixels = pixels.filter(|t| *t != "float32").map(|t| ("pixels", format!("of type {}", escaped(t))));
    let all =
        [text("name"), text("description"), text("license"), names("authors", "name"), names("cite", "text"), pixels];
    all.into_iter().flatten().collect()
}

/// Names of the mask's classes: those of the channels, after a background class if the channels lack one.
fn class_names(channels: &[String], classes: usize) -> Vec<String> {
    match channels.len() {
        n if n == classes => channels.to_vec(),
        n if n + 1 == classes && n > 0 => [&["background".to_string()], channels].concat(),
        _ => Vec::new(),
    }
}

/// Checks that the network has the order of axes and the number of channels that the description declares.
fn check_layout(network: &dyn Architecture, input: &Described, output: &Described, foreign: bool) -> Result<()> {
    let wrong = |what: &str, reason: String| Err(Error::invalid(format!("axes of {what}"), reason));
    let letters = input.letters();
    if !["bcyx", "bcxy", "byxc", "bxyc"].contains(&&letters[..]) {
        let reason = format!("are `{letters}`; only bcyx, byxc, bcxy and bxyc are supported");
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
        if let Some(channels) = tensor.channels.filter(|&n| n != own) {
            return wrong(what, format!("have {channels} channels, the network {own}"));
        }
    }
    Ok(())
}

fn list<'a>(rdf: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    rdf.get(key).and_then(Value::as_array).ok_or_else(|| Error::invalid(key, "is not a list of tensors"))
}

/// The only required input.
fn only<'a>(rdf: &'a Value, key: &str) -> Result<&'a Value> {
    let needed: Vec<&Value> =
        list(rdf, key)?.iter().filter(|t| t.get("optional").and_then(Value::as_bool) != Some(true)).collect();
    match needed[..] {
        [one] => Ok(one),
        _ => Err(Error::invalid(key, format!("{} required tensors; only one is supported", needed.len()))),
    }
}

/// Reads a file's name, alone or with its checksum.
fn source_of(v: &Value) -> Result<Source> {
    let name = v.as_str().or(v.get("source").and_then(Value::as_str));
    let name =
        name.ok_or_else(|| Error::invalid("source", format!("{} is not the name of a file", escaped(&v.to_string()))))?;
    let plain =
        inside(name).ok_or_else(|| Error::invalid(format!("`{}`", escaped(name)), "is not a file in the package"))?;
    let sha256 = v.get("sha256").and_then(Value::as_str).map(str::to_string);
    Ok(Source { name: plain.into(), sha256 })
}

/// Weights as a model, without the processing in the description.
struct OpenedWeights {
    model: Model,
    /// Format of the weights.
    kind: String,
    source: Source,
    /// Whether they are another program's ONNX file.
    foreign: bool,
}

/// Opens the first weights that can be read. `index` is the output in use.
fn open_weights(
    archive: &mut Archive,
    path: &Path,
    rdf: &Value,
    set: &Map<String, Value>,
    index: usize,
) -> Result<OpenedWeights> {
    let weights = rdf.get("weights").and_then(Value::as_object);
    let weights = weights.ok_or_else(|| Error::invalid("weights", "are missing in the description"))?;
    let mut errors = Vec::new();
    for kind in ["onnx", "pytorch_state_dict"] {
        let Some(entry) = weights.get(kind).filter(|w| !w.is_null()) else { continue };
        let opened = source_of(entry).and_then(|source| {
            let bytes = archive.read(&source.name, MAX_BYTES, source.sha256.as_deref())?;
            let label = path.display().to_string();
            let (model, foreign) = match kind {
                "onnx" => open_onnx(archive, &bytes, &source.name, entry, (&label, set, index))?,
                _ => {
                    // `free_size` is not an option of the checkpoint.
                    let mut set = set.clone();
                    set.remove("free_size");
                    (Model::new_with(label, weights::load_bytes(&bytes, &source.name)?, &set)?, false)
                }
            };
            Ok(OpenedWeights { model, kind: kind.into(), source, foreign })
        });
        match opened {
            Ok(opened) => return Ok(opened),
            Err(e) => errors.push(format!("{kind}: {e}")),
        }
    }
    if errors.is_empty() {
        let kinds: Vec<_> = weights.keys().map(|k| escaped(k)).collect();
        let reason = format!("are {}; only onnx and pytorch_state_dict are supported", kinds.join(", "));
        return Err(Error::invalid("weights", reason));
    }
    Err(Error::invalid("weights", errors.join("; ")))
}

/// Opens an ONNX file, with its external data if any; also returns whether another program wrote it.
fn open_onnx(
    archive: &mut Archive,
    bytes: &[u8],
    name: &str,
    entry: &Value,
    (label, set, index): (&str, &Map<String, Value>, usize),
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
            // These are not options of the checkpoint.
            let mut set = set.clone();
            ["free_size", "normalisation"].iter().for_each(|key| drop(set.remove(*key)));
            (Model::new_with(label, checkpoint, &set).map_err(named)?, false)
        }
        Err(_) => {
            let open = |set: &Map<String, Value>| Model::from_onnx(name, bytes, &files, set).map_err(named);
            let model = open(set)?;
            let config = model.architecture.config();
            let requested = config.get("outputs").and_then(|names| names.get(index));
            // Package and file list the outputs in the same order.
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
    model.name = label.into();
    Ok((model, foreign))
}

/// Name of the network's output that corresponds to the package's output `index`.
fn output_name(network: &dyn Architecture, kind: &str, foreign: bool, index: usize) -> Result<String> {
    if foreign && let Some(name) = network.config().get("output").and_then(Value::as_str) {
        return Ok(name.into());
    }
    let s = network.example();
    let graph = super::whole_graph(network, s.n, s.h, s.w)?;
    let names = || graph.outputs().iter().map(|o| o.0.as_str());
    // A state dict's module returns one tensor per head: probabilities for U-Net 3+, logits for the others.
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
    /// The package's test: the bytes of the NPY files of its input and expected output.
    pub fn test_tensors(&self) -> Result<Option<[Vec<u8>; 2]>> {
        let Some([input, output]) = &self.test else { return Ok(None) };
        let mut archive = Archive::open(&self.file)?;
        let mut read = |source: &Source| archive.read(&source.name, MAX_TENSOR, source.sha256.as_deref());
        Ok(Some([read(input)?, read(output)?]))
    }

    /// Writes the test tensors into a folder, as `input.npy` and `output.npy`.
    #[cfg(feature = "std-fs")]
    pub fn extract_test(&self, folder: &Path) -> Result<Option<[std::path::PathBuf; 2]>> {
        let Some([input, output]) = self.test_tensors()? else { return Ok(None) };
        let write = |name: &str, bytes: Vec<u8>| {
            let file = folder.join(name);
            crate::io::fs::write(&file, bytes).map_err(|e| Error::io(&file, e)).map(|()| file)
        };
        Ok(Some([write("input.npy", input)?, write("output.npy", output)?]))
    }
}

#[cfg(test)]
mod tests;
