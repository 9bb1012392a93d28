//! The tasks that work: files, images, training, each with its requests in order.

use super::reporter::Reporter;
use super::segment::Segmenters;
use super::{Event, Request, Work, files, model, score, train};
use crate::platform;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use unet_wgpu::{Backend, Gpu};

/// A part of a network's run: so short that the window, which waits for it in the device's queue, stays alive.
const PACE: Duration = Duration::from_millis(8);

/// A task that works through requests in order.
struct Task {
    requests: async_channel::Sender<Request>,
    stop: Arc<AtomicBool>,
}

impl Task {
    fn start(
        of: Work,
        reporter: &Reporter,
        mut work: impl AsyncFnMut(&Reporter, Request) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (requests, receiver) = async_channel::unbounded();
        let stop = Arc::new(AtomicBool::new(false));
        let reporter = reporter.for_task(of, stop.clone());
        platform::start(&format!("unet {of:?}").to_lowercase(), async move || {
            while let Ok(request) = receiver.recv().await {
                reporter.begin();
                work(&reporter, request).await;
            }
        })?;
        Ok(Self { requests, stop })
    }
}

/// The tasks, on one device.
pub(super) struct Tasks {
    files: Task,
    images: Task,
    training: Task,
}

impl Tasks {
    /// Starts the tasks. `report` is called with every event.
    pub(super) fn start(gpu: &Gpu, report: impl Fn(Event) + Send + Sync + 'static) -> std::io::Result<Self> {
        let gpu = gpu.with_pace(Some(PACE));
        let reporter = Reporter::new(report);
        let models = model::Models::default();
        let mut segmenters = Segmenters::new(Backend::Gpu(gpu.clone()), models.clone());
        let known = models.clone();
        let files = async move |reporter: &Reporter, request| match request {
            Request::Load(path) => reporter.outcome(path.display().to_string(), files::load(&path)),
            Request::Thumbnail(path) => reporter.outcome(path.display().to_string(), files::thumbnail(&path)),
            Request::Open(name) => reporter.outcome(name.clone(), known.describe(&name).await),
            _ => {}
        };
        let images = async move |reporter: &Reporter, request| match request {
            Request::Segment(job) => {
                reporter.outcome(job.path.display().to_string(), segmenters.segment(&job, reporter).await);
            }
            Request::Decode(of, job) => {
                reporter.outcome(job.path.display().to_string(), segmenters.again(of, &job, reporter).await);
            }
            Request::Export(job, kinds, folder) => {
                let outcome = segmenters.export(&job, &kinds, &folder, reporter).await;
                reporter.outcome(job.path.display().to_string(), outcome);
            }
            Request::Score(model, settings, data, channels) => {
                let outcome = score::score(&mut segmenters, &model, &settings, &data, channels, reporter).await;
                reporter.outcome("scores", outcome);
            }
            _ => {}
        };
        let training = async move |reporter: &Reporter, request| {
            if let Request::Train(job) = request {
                reporter.outcome("training", train::train(&gpu, &models, *job, reporter).await);
            }
        };
        Ok(Self {
            files: Task::start(Work::Files, &reporter, files)?,
            images: Task::start(Work::Images, &reporter, images)?,
            training: Task::start(Work::Training, &reporter, training)?,
        })
    }

    fn of(&self, work: Work) -> &Task {
        match work {
            Work::Files => &self.files,
            Work::Images => &self.images,
            Work::Training => &self.training,
        }
    }

    /// Queues a request.
    pub(super) fn send(&self, request: Request) {
        // A task that has ended has panicked, which the program has said.
        let _ = self.of(request.work()).requests.try_send(request);
    }

    /// Stops what a task is at.
    pub(super) fn stop(&self, work: Work) {
        self.of(work).stop.store(true, Ordering::Relaxed);
    }
}
