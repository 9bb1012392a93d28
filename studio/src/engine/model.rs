//! Models by name, and what a model is in the words of the models panel.

use super::{Event, wire_settings};
use crate::platform;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unet_wgpu::low_level::graph::footprint;
use unet_wgpu::low_level::infer::InstanceSettings;
use unet_wgpu::low_level::model::dialect::Report;
use unet_wgpu::low_level::model::{INPUT, parameter_count, whole_graph};
use unet_wgpu::low_level::weights::InstanceTarget;
use unet_wgpu::{Model, Result};

/// A model as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFile {
    /// What it is called: its built-in name or its file, or another name for a file that still changes.
    pub name: String,
    /// Its built-in name or its file.
    pub file: String,
}

impl From<&str> for ModelFile {
    fn from(name: &str) -> Self {
        Self { name: name.into(), file: name.into() }
    }
}

/// Models that were opened. Clones are the same list.
#[derive(Clone, Default)]
pub(super) struct Models(Arc<Mutex<HashMap<String, Model>>>);

impl Models {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Model>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, file: &ModelFile) -> Result<Model> {
        let mut model = platform::open_model(&file.file).await?;
        model.name = file.name.clone();
        self.known().insert(file.name.clone(), model.clone());
        Ok(model)
    }

    /// A model, which is read if it was not before, or if its file still changes.
    pub(super) async fn get(&self, file: &ModelFile) -> Result<Model> {
        let known = self.known().get(&file.name).filter(|_| file.name == file.file).cloned();
        match known {
            Some(model) => Ok(model),
            None => self.open(file).await,
        }
    }

    /// Reads a model anew and describes it.
    pub(super) async fn describe(&self, name: &str) -> Result<Event> {
        Ok(Event::Opened(Box::new(ModelCard::new(&self.open(&name.into()).await?)?)))
    }
}

/// What is known about a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Built-in name, or the file.
    pub name: String,
    /// The network's name.
    pub architecture: String,
    /// Class names, background first.
    pub classes: Vec<String>,
    /// Input channels.
    pub channels: usize,
    /// Trainable parameters.
    pub parameters: usize,
    /// Pixels that an output pixel depends on, along an axis; none for networks that look at the whole image.
    pub receptive_field: Option<usize>,
    /// What it predicts for instances, if it is more than classes.
    pub target: Option<InstanceTarget>,
    /// How it says that instances are found.
    #[serde(with = "wire_settings")]
    pub settings: InstanceSettings,
    /// What it predicts for instances, how it says they are found, and the diameter it was trained at.
    pub instances: Vec<String>,
    /// How a foreign file was understood, in lines.
    pub import: Vec<String>,
}

impl ModelCard {
    /// Describes a model.
    pub fn new(model: &Model) -> Result<Self> {
        let network = &*model.architecture;
        let example = network.example();
        let graph = whole_graph(network, example.n, example.h, example.w)?;
        let output = graph.outputs().first().map(|o| o.1);
        let input = graph.inputs().find(|(name, _)| *name == INPUT).map(|(_, value)| value);
        let field = input.zip(output).map(|(input, output)| footprint(&graph, input, output, 0));
        let mut instances = Vec::new();
        instances.extend(model.metadata.target.map(|t| format!("predicts {t}")));
        let own = model.metadata.instances.as_ref();
        instances.extend(own.and_then(|s| s.method).map(|m| format!("instances by {m}")));
        instances
            .extend(model.metadata.scale.and_then(|s| s.diameter).map(|d| format!("trained at a diameter of {d} px")));
        Ok(Self {
            name: model.name.clone(),
            architecture: network.name().to_string(),
            classes: model.classes(),
            channels: network.in_channels(),
            parameters: parameter_count(&graph),
            receptive_field: field.and_then(std::result::Result::ok).map(|f| f.receptive_field),
            target: model.metadata.target,
            settings: own.cloned().unwrap_or_default(),
            instances,
            import: model.import().map(understood).unwrap_or_default(),
        })
    }
}

/// How a foreign file was understood, in lines.
fn understood(report: &Report) -> Vec<String> {
    let used = format!("{} parameters are used, {} are not", report.matched.len(), report.ignored.len());
    let assumed = report.assumed().into_iter().map(|setting| format!("assumed: {setting}"));
    let notes = report.notes.iter().map(ToString::to_string);
    [report.heading(), used].into_iter().chain(assumed).chain(notes).collect()
}
