//! Checkpoints of other programs: detects the source, infers the network and maps the parameter names.
//!
//! A dialect is recognised by parameter names unique to it. Widths, depth, normalisation layers, biases and the kind of
//! upsampling follow from names and shapes. Everything else (`align_corners`, the order of concatenation, image
//! normalisation) takes the value from the source's own code, is reported as assumed, and can be set.
//!
//! To add one, write a file with its [`Dialect`] and add an entry to [`DIALECTS`].

mod brain;
mod foreign;
mod infer;
mod keras;
mod keys;
mod milesial;
mod native;
mod nested;
mod report;
mod zju;

pub use keys::Shapes;
pub use report::{Matched, Origin, Report, Setting};

use super::{Architecture, parse, whole_graph};
use crate::error::{Error, Hint, Message, Result};
use crate::tensor::HostTensor;
use crate::weights::{Checkpoint, Ignored, ModelMetadata, Normalisation, Weights};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// All known dialects.
pub const DIALECTS: &[&dyn Dialect] = &[
    &milesial::Milesial,
    &nested::NestedUNet,
    &nested::PlainUNet,
    &zju::UNet3Plus,
    &brain::BrainSegmentation,
    &keras::KerasNested,
    &native::Native,
];

/// Options that can be set in addition to the architecture's.
const NORMALISATION: &str = "normalisation";
const CLASSES: &str = "classes";
/// Maximum number of names that an error lists.
const LISTED: usize = 5;

/// A checkpoint source: how a program names and stores the parameters of a network of the family.
pub trait Dialect: Sync {
    /// The repository or program, for users.
    fn name(&self) -> &'static str;

    /// Whether the names, without their common prefix, belong to this dialect.
    fn recognise(&self, keys: &Shapes) -> bool;

    /// The canonical name of a parameter; `None` if the dialect has no such name.
    fn rename(&self, key: &str, keys: &Shapes) -> Option<String>;

    /// Converts a tensor to PyTorch's layout.
    fn layout(&self, _key: &str, tensor: HostTensor) -> Result<HostTensor> {
        Ok(tensor)
    }

    /// Infers the network; `shapes` has canonical names.
    fn describe(&self, shapes: &Shapes) -> Result<Description>;
}

/// The network of a checkpoint, as its dialect infers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Architecture id.
    pub arch: &'static str,
    /// Its options, inferred and assumed.
    pub settings: Vec<Setting>,
    /// Whether the original `forward` ends with a sigmoid that the outputs here lack.
    pub sigmoid: bool,
    /// Image normalisation, which no checkpoint records.
    pub normalisation: Normalisation,
    /// The source of that assumption.
    pub normalisation_from: &'static str,
    /// Other differences from the original program.
    pub notes: Vec<Message>,
}

/// A checkpoint converted to this program's conventions.
#[derive(Debug)]
pub struct Understood {
    /// Architecture, options, normalisation.
    pub metadata: ModelMetadata,
    /// The parameters by canonical name.
    pub weights: Weights,
    /// How every name in the file was used.
    pub report: Report,
}

/// Converts a checkpoint without metadata. `set` overrides what would be assumed: options of the architecture,
/// `normalisation` and `classes`.
pub fn understand(checkpoint: Checkpoint, set: &Map<String, Value>) -> Result<Understood> {
    let Checkpoint { weights, mut ignored, notes, .. } = checkpoint;
    let mut notes: Vec<Message> = notes.into_iter().map(Message::from).collect();
    let (prefix, inner, outside) = keys::without_prefix(weights);
    notes.extend(keys::companions(&prefix, &outside).map(Message::from));
    for key in outside {
        let reason = format!("not a parameter of the network, whose names begin with `{prefix}`");
        ignored.push(Ignored { key, reason });
    }
    let (counters, inner): (Vec<_>, Vec<_>) = inner.into_iter().partition(|(k, _)| k.ends_with("num_batches_tracked"));
    for (key, _) in counters {
        ignored.push(Ignored { key: format!("{prefix}{key}"), reason: "counter of training batches".into() });
    }
    let shapes = Shapes::of(inner.iter().map(|(k, t)| (k.as_str(), t.dims())));
    let dialect = recognise(&shapes)?;
    let (mut matched, mut weights, mut unknown) = (Vec::new(), Weights::new(), Vec::new());
    for (key, tensor) in inner {
        let Some(name) = dialect.rename(&key, &shapes) else {
            unknown.push(key);
            continue;
        };
        let tensor = dialect.layout(&key, tensor)?;
        if weights.insert(name.clone(), tensor).is_some() {
            let keys: Vec<_> = matched.iter().filter(|m: &&Matched| m.name == name).map(|m| m.key.clone()).collect();
            let reason = format!("`{}` and `{prefix}{key}` both map to `{name}`", keys.join("`, `"));
            return Err(Error::invalid(dialect.name(), reason));
        }
        matched.push(Matched { key: format!("{prefix}{key}"), name });
    }
    let canonical = Shapes::of(weights.iter().map(|(k, t)| (k, t.dims())));
    let description = dialect.describe(&canonical)?;
    let requested = settings(&description, set);
    let mut metadata = ModelMetadata {
        format: 1,
        arch: description.arch.into(),
        config: Value::Object(requested.iter().map(|s| (s.key.clone(), s.value.clone())).collect()),
        normalisation: description.normalisation.clone(),
        classes: vec![],
        target: None,
        instances: None,
        scale: None,
        recipe: None,
    };
    let mut settings = requested;
    settings.extend(image_settings(&mut metadata, &description, set)?);
    let network = parse(&metadata.arch, &metadata.config)?;
    account(dialect, &*network, &weights, &mut matched, &mut ignored, &unknown)?;
    metadata.config = network.config();
    for m in &ignored {
        log::debug!("{}: {}", m.key, m.reason);
    }
    let used: BTreeSet<&str> = matched.iter().map(|m| m.name.as_str()).collect();
    let weights = weights.iter().filter(|(k, _)| used.contains(k)).map(|(k, t)| (k.to_string(), t.clone())).collect();
    notes.extend(description.notes);
    let report =
        Report { dialect: dialect.name(), prefix, settings, notes, sigmoid: description.sigmoid, matched, ignored };
    Ok(Understood { metadata, weights, report })
}

/// The only dialect that matches the names.
fn recognise(shapes: &Shapes) -> Result<&'static dyn Dialect> {
    let matches: Vec<_> = DIALECTS.iter().filter(|d| d.recognise(shapes)).collect();
    match matches[..] {
        [one] => Ok(*one),
        [] => {
            if let Some(reason) = foreign::recognise(shapes) {
                return Err(Error::invalid("checkpoint", reason));
            }
            let known: Vec<_> = DIALECTS.iter().map(|d| d.name()).collect();
            let first: Vec<_> = shapes.keys().take(LISTED).map(|k| format!("`{k}`")).collect();
            let reason = format!(
                "no `unet` metadata, and the names match no known dialect ({}); the first are {}",
                known.join(", "),
                first.join(", ")
            );
            Err(Error::invalid("checkpoint", reason))
        }
        _ => {
            let names: Vec<_> = matches.iter().map(|d| d.name()).collect();
            let reason = format!("the names match more than one dialect: {}", names.join(" and "));
            Err(Error::invalid("checkpoint", reason))
        }
    }
}

/// The architecture's options, overridden by the user's.
fn settings(description: &Description, set: &Map<String, Value>) -> Vec<Setting> {
    let mut all: BTreeMap<String, Setting> = BTreeMap::new();
    let mut order = Vec::new();
    let user = set.iter().filter(|(k, _)| *k != NORMALISATION && *k != CLASSES);
    let user = user.map(|(k, v)| Setting { key: k.clone(), value: v.clone(), origin: Origin::Set });
    for s in description.settings.iter().cloned().chain(user) {
        if !all.contains_key(&s.key) {
            order.push(s.key.clone());
        }
        all.insert(s.key.clone(), s);
    }
    order.iter().filter_map(|k| all.remove(k)).collect()
}

/// Settings of images rather than of the network.
fn image_settings(m: &mut ModelMetadata, d: &Description, set: &Map<String, Value>) -> Result<Vec<Setting>> {
    fn wrong(key: &'static str) -> impl Fn(serde_json::Error) -> Error {
        move |e| Error::invalid(Hint::model_option(key), e.to_string())
    }
    let mut out = Vec::new();
    let origin = match set.get(NORMALISATION) {
        None => Origin::Assumed(d.normalisation_from.into()),
        Some(value) => {
            m.normalisation = Normalisation::from_setting(value)?;
            Origin::Set
        }
    };
    let value = serde_json::to_value(&m.normalisation).map_err(wrong(NORMALISATION))?;
    out.push(Setting { key: NORMALISATION.into(), value, origin });
    if let Some(value) = set.get(CLASSES) {
        m.classes = match value {
            Value::String(names) => names.split(',').map(|n| n.trim().to_string()).collect(),
            value => serde_json::from_value(value.clone()).map_err(wrong(CLASSES))?,
        };
        out.push(Setting { key: CLASSES.into(), value: value.clone(), origin: Origin::Set });
    }
    m.validate()?;
    Ok(out)
}

/// Checks that the file has every parameter of the network, and that every name in the file is accounted for.
fn account(
    dialect: &dyn Dialect,
    network: &dyn Architecture,
    weights: &Weights,
    matched: &mut Vec<Matched>,
    ignored: &mut Vec<Ignored>,
    unknown: &[String],
) -> Result<()> {
    let size = network.size_rule().minimum;
    let graph = whole_graph(network, 1, size, size)?;
    let file_key = |name: &str| matched.iter().find(|m| m.name == name).map_or(name.to_string(), |m| m.key.clone());
    let mut missing = Vec::new();
    for (name, dims) in graph.parameters() {
        match weights.require(name, dims) {
            Ok(_) => {}
            Err(Error::ParameterMissing { nearest, .. }) => {
                let near = nearest.map(|n| format!(" (nearest name in the file: `{}`)", file_key(&n)));
                missing.push(format!("`{name}`{}", near.unwrap_or_default()));
            }
            Err(Error::ParameterShape { expected, found, .. }) => {
                let key = file_key(name);
                return Err(Error::invalid(
                    dialect.name(),
                    format!(
                        "parameter `{key}` (`{name}`): the network needs shape {expected:?}, the file has {found:?}"
                    ),
                ));
            }
            Err(e) => return Err(e),
        }
    }
    if !missing.is_empty() {
        let reason = format!("{} parameters are missing: {}", missing.len(), listed(&missing));
        return Err(Error::invalid(dialect.name(), reason));
    }
    // An extra layer means a different network: ignoring it would silently give wrong results.
    if !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().map(|k| format!("`{k}`")).collect();
        let reason = format!("{} parameters are not part of the network: {}", names.len(), listed(&names));
        return Err(Error::invalid(dialect.name(), reason));
    }
    let used: BTreeSet<&str> = graph.parameters().map(|p| p.0).collect();
    let (in_use, spare): (Vec<_>, Vec<_>) =
        std::mem::take(matched).into_iter().partition(|m| used.contains(&m.name[..]));
    for m in spare {
        // Heads and nodes left out by `level` or `deep_supervision`.
        let reason = format!("`{}` is not part of the network with these options", m.name);
        ignored.push(Ignored { key: m.key, reason });
    }
    *matched = in_use;
    Ok(())
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(LISTED);
    let first = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

#[cfg(test)]
mod tests;
