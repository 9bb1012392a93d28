//! The tasks in threads, on the window's device.

use super::tasks::Tasks;
use super::{Event, Request, Work};
use std::sync::mpsc::{Receiver, channel};
use unet_wgpu::Gpu;

/// What works for the window.
pub struct Engine {
    tasks: Tasks,
    events: Receiver<Event>,
    device: String,
}

impl Engine {
    /// Starts the tasks on the window's device. `wake` is called whenever there is an event.
    pub fn start(gpu: &Gpu, wake: impl Fn() + Send + Sync + 'static) -> Result<Self, String> {
        let (sender, events) = channel();
        let report = move |event| {
            // Without a receiver the window is closed.
            let _ = sender.send(event);
            wake();
        };
        let tasks = Tasks::start(gpu, report).map_err(|e| e.to_string())?;
        Ok(Self { tasks, events, device: gpu.describe() })
    }

    /// Queues a request.
    pub fn send(&self, request: Request) {
        self.tasks.send(request);
    }

    /// The events since the last call.
    pub fn events(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// Stops the work on images that is under way.
    pub fn cancel(&self) {
        self.tasks.stop(Work::Images);
    }

    /// Stops training after the step at hand; what is trained so far is kept.
    pub fn stop_training(&self) {
        self.tasks.stop(Work::Training);
    }

    /// The device in one line.
    pub fn device(&self) -> String {
        self.device.clone()
    }
}
