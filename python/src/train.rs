//! Training runs in a folder.

use std::path::PathBuf;

use pyo3::prelude::*;
use serde_json::{Value, json};
use unet_wgpu::low_level::session::Recovery;
use unet_wgpu::low_level::train::{Event, Outcome};
use unet_wgpu::{Backend, Error, TrainConfig, TrainRun};

use crate::device;
use crate::error::text;
use crate::model::Model;
use crate::work::{self, Observer};

fn document(event: &Event) -> Value {
    match event {
        Event::Ready(r) => {
            let notes = r.training.notes.iter().chain(&r.validation.notes).map(|(note, _)| text(note));
            json!({
                "event": "ready",
                "device": r.device,
                "parameters": r.parameters,
                "channels": r.channels,
                "training_images": r.training.images,
                "validation_images": r.validation.images,
                "findings": r.findings,
                "notes": notes.collect::<Vec<_>>(),
                "device_bytes": r.memory,
                "resumed": r.resumed,
            })
        }
        Event::Step { step, of, loss, lr } => {
            json!({ "event": "step", "step": step, "of": of, "loss": loss, "lr": lr })
        }
        Event::Evaluated { step, scores, best } => {
            let scores: serde_json::Map<String, Value> =
                scores.iter().map(|(name, v)| ((*name).to_string(), json!(v))).collect();
            json!({ "event": "evaluated", "step": step, "scores": scores, "best": best })
        }
    }
}

/// Trains as `config`, a JSON object with the keys of config.toml, says; `events` gets every event as a JSON object. Returns
/// how the run ended and its number of steps.
#[pyfunction]
#[pyo3(signature = (config, folder, *, resume, init, device, events))]
pub(crate) fn train(
    py: Python<'_>,
    config: String,
    folder: PathBuf,
    resume: bool,
    init: Option<PyRef<'_, Model>>,
    device: String,
    events: Bound<'_, PyAny>,
) -> PyResult<(&'static str, u64)> {
    let init = init.map(|model| model.inner.clone());
    work::run(py, Observer::Events(events), move |progress| {
        let wrong = |e: serde_json::Error| Error::invalid("training configuration", e.to_string());
        // By way of a value: an error without a line of JSON that nobody wrote.
        let config: Value = serde_json::from_str(&config).map_err(wrong)?;
        let config: TrainConfig = serde_json::from_value(config).map_err(wrong)?;
        let Backend::Gpu(mut gpu) = device::open(&device, "f32")? else {
            return Err(Error::invalid("device `cpu`", "the CPU reference is far too slow to train on; choose a GPU"));
        };
        let going = || !progress.is_cancelled();
        let mut recovery = Recovery::new(device::reopening(device, "f32".into()));
        let run = loop {
            match TrainRun::new_while(&gpu, config.clone(), &folder, resume, init.as_ref(), &going) {
                Err(e @ Error::DeviceLost(_)) => {
                    if let Backend::Gpu(another) = recovery.reopen(e)? {
                        gpu = another;
                    }
                }
                run => break run?,
            }
        };
        let mut run = run.with_recovery(recovery);
        let outcome = run.run(|event| {
            progress.tell(&document(&event));
            Ok(going())
        });
        let outcome = match outcome? {
            Outcome::Finished => "finished",
            Outcome::Stopped => "stopped",
            Outcome::Interrupted => "interrupted",
        };
        Ok((outcome, run.step()))
    })
}
