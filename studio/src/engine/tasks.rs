//! The tasks that work: files, images, training, each with its requests in order.

use super::segment::Segmenters;
use super::{Event, Failure, Request, Work, files, model, score, train};
use crate::platform;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use unet_wgpu::{Backend, Error, Gpu, Result};
use web_time::Instant;

/// A part of a network's run: so short that the window, which waits for it in the device's queue, stays alive.
const PACE: Duration = Duration::from_millis(8);

/// Time between two reports of progress.
const BETWEEN: Duration = Duration::from_millis(400);

/// Reports events of a task.
#[derive(Clone)]
pub(super) struct Reporter {
    send: Arc<dyn Fn(Event) + Send + Sync>,
    stop: Arc<AtomicBool>,
    of: Work,
    /// When progress was reported last.
    told: Cell<Option<Instant>>,
}

impl Reporter {
    pub(super) fn send(&self, event: Event) {
        (self.send)(event);
    }

    fn outcome(&self, what: impl Into<String>, outcome: Result<Event>) {
        self.send(outcome.unwrap_or_else(|e| {
            let cancelled = matches!(e, Error::Cancelled);
            Event::Failed(Failure { what: what.into(), error: e.to_string(), cancelled, of: self.of })
        }));
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether the user has not stopped the work yet, to be asked on any thread.
    pub(super) fn going(&self) -> impl Fn() -> bool + Sync + use<> {
        let stop = self.stop.clone();
        move || !stop.load(Ordering::Relaxed)
    }

    /// For callbacks: how far the work is; an error once the user has cancelled.
    pub(super) fn progress(&self, fraction: f64) -> Result<()> {
        // Every report draws the window, which takes its time from the network.
        if self.told.get().is_none_or(|told| told.elapsed() > BETWEEN) {
            self.told.set(Some(Instant::now()));
            self.send(Event::Progress(fraction));
        }
        if self.stopped() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

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
        let reporter = Reporter { stop: stop.clone(), of, ..reporter.clone() };
        platform::start(&format!("unet {of:?}").to_lowercase(), async move || {
            while let Ok(request) = receiver.recv().await {
                reporter.stop.store(false, Ordering::Relaxed);
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
        let reporter =
            Reporter { send: Arc::new(report), stop: Arc::default(), of: Work::Files, told: Cell::default() };
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
