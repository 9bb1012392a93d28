//! What a model is, in the words of the models panel.

use super::Event;
use unet_wgpu::low_level::graph::footprint;
use unet_wgpu::low_level::model::dialect::Report;
use unet_wgpu::low_level::model::{INPUT, parameter_count, whole_graph};
use unet_wgpu::low_level::weights::builtin;
use unet_wgpu::{Model, Result};

/// A model and what is known about it.
#[derive(Clone)]
pub struct ModelCard {
    /// The model; cheap to clone.
    pub model: Model,
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
    /// What it predicts for instances, how it says they are found, and the diameter it was trained at.
    pub instances: Vec<String>,
    /// How a foreign file was understood, in lines.
    pub import: Vec<String>,
}

/// Names and descriptions of the built-in models.
pub fn built_in() -> impl Iterator<Item = (&'static str, &'static str)> {
    builtin::BUILTIN.iter().map(|b| (b.name, b.description))
}

pub(super) fn open(name: &str) -> Result<Event> {
    Ok(Event::Opened(Box::new(ModelCard::new(Model::open(name)?)?)))
}

impl ModelCard {
    /// Describes a model.
    pub fn new(model: Model) -> Result<Self> {
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
            instances,
            import: model.import().map(understood).unwrap_or_default(),
            model,
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
