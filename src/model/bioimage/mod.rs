//! Packages of bioimage.io: a zip with a description (`rdf.yaml` or `bioimageio.yaml`, formats 0.4 and 0.5), weights and test
//! tensors. Weights are ONNX, or a state dict of a dialect that is known; processing is mapped onto this program's rules, and
//! what has no counterpart is refused by its name.

mod archive;
mod processing;

pub use processing::{Post, Step};

use super::loaded::Model;
use super::onnx::export::read_back;
use crate::error::{Error, Result};
use crate::weights::{self, MAX_BYTES};
use archive::{Archive, inside, shown};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

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
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    /// The file.
    pub path: PathBuf,
    /// Version of the description.
    pub format_version: String,
    /// Name, description, license, authors, citations, as far as it has them.
    pub about: Vec<(&'static str, String)>,
    /// What its weights are in, and where; the first that could be read.
    pub weights: (String, Source),
    /// Pixels at the border of an output that are not to be trusted: rows and columns.
    pub halo: [usize; 2],
    /// What is done with the network's output.
    pub post: Vec<Post>,
    /// Input and output of the package's own test.
    pub test: Option<[Source; 2]>,
    /// Which of the network's outputs is the package's.
    pub output: String,
}

/// Whether a file is a zip with a description.
pub fn is_package(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut f| f.read_exact(&mut magic));
    read.is_ok() && magic == *b"PK\x03\x04" && Archive::open(path).is_ok_and(|a| a.first(&DESCRIPTIONS).is_some())
}

/// Opens a package as a model. `set` is for a state dict, as in [`super::dialect::understand`].
pub fn open(path: &Path, set: &Map<String, Value>) -> Result<(Model, Package)> {
    let within = |e: Error| match e {
        e @ (Error::File { .. } | Error::Io { .. }) => e,
        e => Error::file(path, e.to_string()),
    };
    let mut archive = Archive::open(path)?;
    let name = archive.first(&DESCRIPTIONS).ok_or_else(|| Error::file(path, "no rdf.yaml in it"))?;
    let text = archive.read(name, MAX_DESCRIPTION, None)?;
    let text = std::str::from_utf8(&text).map_err(|_| Error::file(path, format!("`{name}` is not UTF-8 text")))?;
    // `id: y` is an axis: a word, not the truth value that YAML 1.1 made of it.
    let options = serde_saphyr::options! { strict_booleans: true };
    let rdf: Value = serde_saphyr::from_str_with_options(text, options).map_err(|e| {
        let first = e.to_string().lines().next().unwrap_or_default().to_string();
        Error::file(path, format!("`{name}` is not YAML: {first}"))
    })?;
    read(&mut archive, path, &rdf, set).map_err(within)
}

fn read(archive: &mut Archive, path: &Path, rdf: &Value, set: &Map<String, Value>) -> Result<(Model, Package)> {
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
    let input = only(rdf, "inputs")?;
    let output = list(rdf, "outputs")?.first().ok_or_else(|| Error::invalid("outputs", "there is none"))?;
    check_axes("inputs", input)?;
    let halo = check_axes("outputs", output)?;
    let before = Step::list(input.get("preprocessing"))?;
    let post = processing::after(&Step::list(output.get("postprocessing"))?)?;
    let (mut model, kind, source) = open_weights(archive, path, rdf, set)?;
    let channels = model.architecture.in_channels();
    if !set.contains_key("normalisation") {
        model.metadata.normalisation = processing::normalisation(&before, channels)?;
        model.metadata.validate()?;
    }
    let one = |tensor: &Value, old: &str| -> Result<Option<Source>> {
        match tensor.get("test_tensor").or(rdf.get(old).and_then(|l| l.get(0))) {
            None | Some(Value::Null) => Ok(None),
            Some(v) => source_of(v).map(Some),
        }
    };
    let test = one(input, "test_inputs")?.zip(one(output, "test_outputs")?).map(|(x, y)| [x, y]);
    let name = output_name(&model, kind == "onnx")?;
    let about = ["name", "description", "license"].into_iter().filter_map(|k| Some((k, text(k)?)));
    let names = |key: &str, field: &str| {
        let list = rdf.get(key)?.as_array()?;
        let names: Vec<String> = list.iter().filter_map(|a| Some(shown(a.get(field)?.as_str()?))).collect();
        (!names.is_empty()).then(|| names.join("; "))
    };
    let people = [("authors", names("authors", "name")), ("cite", names("cite", "text"))];
    let about = about.chain(people.into_iter().filter_map(|(k, v)| Some((k, v?)))).collect();
    let path = path.to_path_buf();
    let weights = (kind, source);
    Ok((model, Package { path, format_version, about, weights, halo, post, test, output: name }))
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

/// Batch, channels, rows, columns, in this order; gives the halo in rows and columns.
fn check_axes(what: &str, tensor: &Value) -> Result<[usize; 2]> {
    let wrong = |axes: &str| {
        let reason = format!("are `{}`; batch, channel, y, x in this order can be read", shown(axes));
        Error::invalid(format!("axes of {what}"), reason)
    };
    let size = |v: Option<&Value>| v.and_then(Value::as_u64).map_or(0, |v| v.min(1 << 20) as usize);
    match tensor.get("axes") {
        Some(Value::String(axes)) if axes == "bcyx" => {
            let halo = tensor.get("halo");
            Ok([2, 3].map(|i| size(halo.and_then(|h| h.get(i)))))
        }
        Some(Value::String(axes)) => Err(wrong(axes)),
        Some(Value::Array(axes)) => {
            let id = |a: &Value| {
                let text = |key: &str| a.get(key).and_then(Value::as_str);
                match text("type") {
                    Some("batch") => "b".to_string(),
                    Some("channel") => "c".to_string(),
                    _ => text("id").unwrap_or("?").to_string(),
                }
            };
            let ids: String = axes.iter().map(id).collect();
            if ids != "bcyx" {
                return Err(wrong(&ids));
            }
            Ok([2, 3].map(|i| size(axes.get(i).and_then(|a| a.get("halo")))))
        }
        _ => Err(wrong("")),
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

/// The first weights that can be read, and what they are in.
fn open_weights(
    archive: &mut Archive,
    path: &Path,
    rdf: &Value,
    set: &Map<String, Value>,
) -> Result<(Model, String, Source)> {
    let weights = rdf.get("weights").and_then(Value::as_object);
    let weights = weights.ok_or_else(|| Error::invalid("weights", "are not in the description"))?;
    let mut why = Vec::new();
    for kind in ["onnx", "pytorch_state_dict"] {
        let Some(entry) = weights.get(kind).filter(|w| !w.is_null()) else { continue };
        let opened = source_of(entry).and_then(|source| {
            let bytes = archive.read(&source.name, MAX_BYTES, source.sha256.as_deref())?;
            Ok((open_file(&bytes, &source.name, kind, path, set)?, source))
        });
        match opened {
            Ok((model, source)) => return Ok((model, kind.into(), source)),
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

fn open_file(bytes: &[u8], name: &str, kind: &str, path: &Path, set: &Map<String, Value>) -> Result<Model> {
    let called = path.display().to_string();
    if kind == "pytorch_state_dict" {
        return Model::new_with(called, weights::load_bytes(bytes, name)?, set);
    }
    let folder = tempfile::tempdir().map_err(|e| Error::io(path, e))?;
    let file = folder.path().join("weights.onnx");
    std::fs::write(&file, bytes).map_err(|e| Error::io(path, e))?;
    let model = match read_back(&file) {
        Ok(checkpoint) => Model::new(&called, checkpoint),
        Err(_) => Model::open_file(&file.to_string_lossy(), set),
    };
    // The user knows the package, not where its weights were put for a moment.
    let renamed = |e: Error| Error::invalid(name, e.to_string().replace(&*file.to_string_lossy(), name));
    let mut model = model.map_err(renamed)?;
    model.name = called;
    Ok(model)
}

/// Which output the authors' module returns first.
fn output_name(model: &Model, onnx: bool) -> Result<String> {
    let network = &*model.architecture;
    let size = network.size_rule().minimum;
    let graph = super::whole_graph(network, 1, size, size)?;
    let names: Vec<&str> = graph.outputs().iter().map(|o| o.0.as_str()).collect();
    // A state dict of U-Net 3+ is of a module that ends with a sigmoid.
    let named = ["probs.0"].into_iter().find(|n| !onnx && names.contains(n));
    let name = named.or(names.first().copied()).ok_or_else(|| Error::invalid("network", "has no output"))?;
    Ok(name.into())
}

impl Package {
    /// Writes the package's test into a folder: the files of its input and of what should come out.
    pub fn extract_test(&self, folder: &Path) -> Result<Option<[PathBuf; 2]>> {
        let Some(test) = &self.test else { return Ok(None) };
        let mut archive = Archive::open(&self.path)?;
        let mut out = Vec::new();
        for (source, name) in test.iter().zip(["input.npy", "output.npy"]) {
            let bytes = archive.read(&source.name, MAX_TENSOR, source.sha256.as_deref())?;
            let file = folder.join(name);
            std::fs::write(&file, bytes).map_err(|e| Error::io(&file, e))?;
            out.push(file);
        }
        Ok(out.try_into().ok())
    }
}

#[cfg(test)]
mod tests;
