//! Networks at work: whole images, the visible region, training, scores. What takes long runs on three threads, for files, images
//! and training, and is reported by [`Event`]s.

mod files;
pub mod live;
mod model;
mod replay;
mod score;
mod segment;
mod train;

pub use files::{ImageFile, Thumbnail, is_image};
pub use model::{ModelCard, built_in};
pub use replay::Replay;
pub use score::{ImageScore, Scores};
pub use segment::{Row, SegmentJob, Segmented};
pub use train::{TrainJob, Trained};

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use unet_wgpu::low_level::infer::InstanceSettings;
use unet_wgpu::{Backend, Gpu, Model};

/// A part of a network's run: so short that the window, which waits for it in the device's queue, stays alive.
const PACE: Duration = Duration::from_millis(8);

/// What the engine is asked for.
pub enum Request {
    /// Decode an image, for the canvas.
    Load(PathBuf),
    /// A small copy of an image, for the gallery.
    Thumbnail(PathBuf),
    /// Open a model: a built-in name or a file.
    Open(String),
    /// Segment a whole image.
    Segment(SegmentJob),
    /// Find the instances of a segmented image again, by other settings.
    Decode(Arc<Segmented>, InstanceSettings),
    /// Write results of a whole image as `unet segment --save` does: names of kinds, and the folder.
    Export(SegmentJob, Vec<&'static str>, PathBuf),
    /// Compare a model's instances with the labels of a data set.
    Score(Model, InstanceSettings, PathBuf),
    /// Train.
    Train(Box<TrainJob>),
}

/// What the engine reports.
pub enum Event {
    /// An image is decoded.
    Loaded(Box<ImageFile>),
    /// A small copy of an image.
    Thumbnail(Thumbnail),
    /// A model is open.
    Opened(Box<ModelCard>),
    /// An image is segmented, or its instances were found again.
    Segmented(Arc<Segmented>),
    /// Results are written.
    Exported(Vec<PathBuf>),
    /// Scores of a model on labelled images.
    Scored(Box<Scores>),
    /// Training is about to take its first step; what it trains on, in lines.
    Training(Vec<String>),
    /// The loss of a step.
    Step {
        /// Steps done.
        step: u64,
        /// Steps in all.
        of: u64,
        /// The loss.
        loss: f32,
    },
    /// Scores of the network in training by name.
    Evaluated {
        /// Steps done.
        step: u64,
        /// Measures by name.
        scores: Vec<(&'static str, f64)>,
        /// The network as it is, for a preview.
        file: PathBuf,
    },
    /// Training has ended.
    Trained(Box<Trained>),
    /// How far the work on images is, from 0 to 1.
    Progress(f64),
    /// A request failed.
    Failed(Failure),
}

/// A request that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was being done.
    pub what: String,
    /// Why it failed.
    pub error: String,
    /// Whether the user has cancelled it.
    pub cancelled: bool,
    /// The thread it ran on.
    pub of: Work,
}

/// The kinds of work that the engine does side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Decoding images, opening models.
    Files,
    /// Segmentation, results, scores.
    Images,
    /// Training.
    Training,
}

/// Sends events, and wakes the window for each.
#[derive(Clone)]
struct Reporter {
    events: Sender<Event>,
    wake: Arc<dyn Fn() + Send + Sync>,
    stop: Arc<AtomicBool>,
    of: Work,
}

impl Reporter {
    fn send(&self, event: Event) {
        // Without a receiver the window is closed.
        let _ = self.events.send(event);
        (self.wake)();
    }

    fn outcome(&self, what: impl Into<String>, outcome: unet_wgpu::Result<Event>) {
        self.send(outcome.unwrap_or_else(|e| {
            let cancelled = matches!(e, unet_wgpu::Error::Cancelled);
            Event::Failed(Failure { what: what.into(), error: e.to_string(), cancelled, of: self.of })
        }));
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// For callbacks: how far the work is; an error once the user has cancelled.
    fn progress(&self, fraction: f64) -> unet_wgpu::Result<()> {
        self.send(Event::Progress(fraction));
        if self.stopped() { Err(unet_wgpu::Error::Cancelled) } else { Ok(()) }
    }
}

/// A thread that works through requests in order.
struct Worker {
    requests: Sender<Request>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn start(
        of: Work,
        reporter: &Reporter,
        mut work: impl FnMut(&Reporter, Request) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (requests, receiver) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let reporter = Reporter { stop: stop.clone(), of, ..reporter.clone() };
        std::thread::Builder::new().name(format!("unet {of:?}").to_lowercase()).spawn(move || {
            while let Ok(request) = receiver.recv() {
                reporter.stop.store(false, Ordering::Relaxed);
                work(&reporter, request);
            }
        })?;
        Ok(Self { requests, stop })
    }
}

/// The threads that work, on one device.
pub struct Engine {
    files: Worker,
    images: Worker,
    training: Worker,
    events: Receiver<Event>,
    device: String,
}

impl Engine {
    /// Starts the threads on the window's device. `wake` is called whenever there is an event.
    pub fn start(gpu: &Gpu, wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let gpu = gpu.with_pace(Some(PACE));
        let (sender, events) = channel();
        let reporter = Reporter { events: sender, wake: Arc::new(wake), stop: Arc::default(), of: Work::Files };
        let device = gpu.describe();
        let mut segmenters = segment::Segmenters::new(Backend::Gpu(gpu.clone()));
        let files = |reporter: &Reporter, request| match request {
            Request::Load(path) => reporter.outcome(path.display().to_string(), files::load(&path)),
            Request::Thumbnail(path) => reporter.outcome(path.display().to_string(), files::thumbnail(&path)),
            Request::Open(name) => reporter.outcome(name.clone(), model::open(&name)),
            _ => {}
        };
        let images = move |reporter: &Reporter, request| match request {
            Request::Segment(job) => {
                reporter.outcome(job.path.display().to_string(), segmenters.segment(&job, reporter));
            }
            Request::Decode(from, settings) => {
                reporter.outcome(from.path.display().to_string(), segment::again(&from, &settings));
            }
            Request::Export(job, kinds, folder) => {
                let outcome = segmenters.export(&job, &kinds, &folder, reporter);
                reporter.outcome(job.path.display().to_string(), outcome);
            }
            Request::Score(model, settings, data) => {
                reporter.outcome("scores", score::score(&mut segmenters, model, &settings, &data, reporter));
            }
            _ => {}
        };
        let training = move |reporter: &Reporter, request| {
            if let Request::Train(job) = request {
                reporter.outcome("training", train::train(&gpu, *job, reporter));
            }
        };
        Ok(Self {
            files: Worker::start(Work::Files, &reporter, files)?,
            images: Worker::start(Work::Images, &reporter, images)?,
            training: Worker::start(Work::Training, &reporter, training)?,
            events,
            device,
        })
    }

    /// Queues a request.
    pub fn send(&self, request: Request) {
        let worker = match &request {
            Request::Load(_) | Request::Thumbnail(_) | Request::Open(_) => &self.files,
            Request::Train(_) => &self.training,
            _ => &self.images,
        };
        // A thread that has ended has panicked, which the program has said.
        let _ = worker.requests.send(request);
    }

    /// The events since the last call.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.events.try_iter()
    }

    /// Stops the work on images that is under way.
    pub fn cancel(&self) {
        self.images.stop.store(true, Ordering::Relaxed);
    }

    /// Stops training after the step at hand; what is trained so far is kept.
    pub fn stop_training(&self) {
        self.training.stop.store(true, Ordering::Relaxed);
    }

    /// The device in one line.
    pub fn device(&self) -> &str {
        &self.device
    }
}
