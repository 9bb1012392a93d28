//! The window.

mod channels;
mod class_colours;
mod class_panel;
mod class_removal;
mod document;
mod events;
mod gallery;
mod label_commands;
mod label_panel;
mod menu;
mod network_commands;
mod project_commands;
mod segment_panel;
mod status;
mod theme;
mod tools;
mod train_panel;
mod view;

use crate::canvas::{Canvas, LabelStyle};
use crate::engine::live::{FrameTimes, Live, LiveOutput};
use crate::engine::{Engine, ModelCard, Scores, SegmentJob};
use crate::platform::Choices;
use crate::project::{Class, Project};
use channels::ChannelView;
use class_removal::RemovedClass;
use document::Document;
use eframe::egui::{self, Ui};
use eframe::egui_wgpu::RenderState;
use gallery::Gallery;
use segment_panel::Sorting;
pub use status::Status;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use theme::Preferences;
use tools::Tools;
use train_panel::{TrainOptions, Training};
use unet_wgpu::Gpu;
use unet_wgpu::low_level::infer::InstanceSettings;

/// Name of the network in training.
const PREVIEW: &str = "in training";

/// Seconds between saves of what has changed.
const AUTOSAVE: f64 = 20.0;

/// The side panel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Panel {
    #[default]
    Segment,
    Label,
    Train,
}

/// What lies over the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shown {
    Labels,
    #[default]
    Prediction,
    Both,
    Nothing,
}

/// What the live view is of: model, image, and what it shows.
#[derive(Clone, Debug, PartialEq)]
struct LiveOf {
    model: String,
    image: PathBuf,
    shown: LiveOutput,
}

/// A network that is being prepared for the visible region.
type Preparing = Receiver<Result<Live, String>>;

/// The application.
pub struct Studio {
    engine: Engine,
    render: RenderState,
    canvas: Canvas,
    project: Option<Project>,
    gallery: Gallery,
    document: Option<Document>,
    /// The image that is asked for, until it is decoded.
    opening: Option<PathBuf>,
    models: Vec<ModelCard>,
    current: usize,
    base: Option<usize>,
    settings: InstanceSettings,
    tools: Tools,
    panel: Panel,
    shown: Shown,
    style: LabelStyle,
    /// Whether instances have the colours of their classes, where there are several.
    by_class: bool,
    /// The project's classes while they are being edited.
    class_draft: Option<Vec<Class>>,
    /// The class that was removed last, or is to be removed again.
    removed_class: Option<RemovedClass>,
    channel_view: ChannelView,
    /// The class that the live view shows; none for all of a model with several.
    live_class: Option<usize>,
    live_colours: Arc<[egui::Color32]>,
    grid: bool,
    live_on: bool,
    live: Option<(LiveOf, Live)>,
    preparing: Option<(LiveOf, Preparing)>,
    budget: f64,
    frame_times: FrameTimes,
    repaints: bool,
    /// Requests for images that are under way, and how far the one at hand is.
    jobs: usize,
    progress: f64,
    queue: VecDeque<SegmentJob>,
    /// Whether settings have changed since the request under way.
    outdated: bool,
    training: Training,
    train_options: TrainOptions,
    scores: Vec<Scores>,
    shown_scores: Option<String>,
    shown_instance: Option<u32>,
    sorting: Sorting,
    export: Vec<String>,
    dialogs: Choices,
    messages: Vec<(f64, String, bool)>,
    saved_at: f64,
    /// Why saves on other threads failed.
    failed_saves: (Sender<String>, Receiver<String>),
    /// A model that training has just made.
    trained: Option<PathBuf>,
    /// What is under the pointer.
    hovered: String,
    /// Where the canvas is.
    area: Option<egui::Rect>,
    /// Messages of failures so far.
    failures: usize,
    help: bool,
    /// Whether it is asked if the project is to be removed.
    removing: bool,
    preferences: Preferences,
    ctx: egui::Context,
}

impl Studio {
    /// The application on egui's device, with a folder to begin with: a project or images.
    pub fn new(render: &RenderState, ctx: &egui::Context, folder: Option<PathBuf>) -> Result<Self, String> {
        let gpu = Gpu::from_wgpu(render.device.clone(), render.queue.clone()).map_err(|e| e.to_string())?;
        let waker = ctx.clone();
        let engine = Engine::start(&gpu, move || waker.request_repaint())?;
        theme::install(ctx);
        let mut studio = Self {
            engine,
            render: render.clone(),
            canvas: Canvas::new(render.target_format),
            project: None,
            gallery: Gallery::default(),
            document: None,
            opening: None,
            models: Vec::new(),
            current: 0,
            base: None,
            settings: InstanceSettings::default(),
            tools: Tools::default(),
            panel: Panel::default(),
            shown: Shown::default(),
            style: LabelStyle::default(),
            by_class: true,
            class_draft: None,
            removed_class: None,
            channel_view: ChannelView::default(),
            live_class: None,
            live_colours: Arc::default(),
            grid: true,
            live_on: false,
            live: None,
            preparing: None,
            budget: 8.0,
            frame_times: FrameTimes::default(),
            repaints: false,
            jobs: 0,
            progress: 0.0,
            queue: VecDeque::new(),
            outdated: false,
            training: Training::default(),
            train_options: TrainOptions::of(render.adapter.get_info().device_type),
            scores: Vec::new(),
            shown_scores: None,
            shown_instance: None,
            sorting: Sorting::default(),
            export: ["mask", "overlay", "labels", "csv"].map(String::from).into(),
            dialogs: Choices::default(),
            messages: Vec::new(),
            saved_at: 0.0,
            failed_saves: channel(),
            trained: None,
            hovered: String::new(),
            area: None,
            failures: 0,
            help: false,
            removing: false,
            preferences: Preferences::default(),
            ctx: ctx.clone(),
        };
        studio.engine.send(crate::engine::Request::Open("nuclei".into()));
        studio.dialogs.listen(ctx);
        if let Some(folder) = folder {
            studio.open_folder(&folder);
        }
        Ok(studio)
    }

    /// A message at the lower edge of the window, for a while.
    fn say(&mut self, text: impl Into<String>) {
        self.messages.push((f64::INFINITY, text.into(), false));
    }

    /// The same for something that failed.
    fn complain(&mut self, text: impl Into<String>) {
        self.failures += 1;
        self.messages.push((f64::INFINITY, text.into(), true));
    }

    fn model(&self) -> Option<&ModelCard> {
        self.models.get(self.current)
    }

    fn base(&self) -> Option<&ModelCard> {
        self.base.and_then(|i| self.models.get(i))
    }

    /// Class names, background first.
    fn classes(&self) -> Vec<String> {
        let of_model = || self.model().map(|m| m.classes.clone());
        let own = |project: &Project| {
            let classes = self.class_draft.as_ref().unwrap_or(&project.settings().classes);
            let names = classes.iter().map(|class| class.name.clone());
            (classes.len() > 1).then(|| std::iter::once("background".to_string()).chain(names).collect())
        };
        self.project
            .as_ref()
            .and_then(own)
            .or_else(of_model)
            .unwrap_or_else(|| vec!["background".into(), "cell".into()])
    }
}

impl eframe::App for Studio {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.frame_times.frame(self.repaints);
        self.repaints = false;
        self.take_events();
        self.take_dropped(ui.ctx());
        menu::show(self, ui);
        menu::keys(self, ui);
        egui::Panel::bottom("status").show(ui, |ui| view::status(self, ui));
        egui::Panel::left("gallery").default_size(190.0).show(ui, |ui| gallery::show(self, ui));
        egui::Panel::right("side").default_size(330.0).size_range(260.0..=600.0).show(ui, |ui| {
            ui.add_space(4.0);
            ui.horizontal(|ui| {
                for (panel, name) in [(Panel::Segment, "Segment"), (Panel::Label, "Label"), (Panel::Train, "Train")] {
                    ui.selectable_value(&mut self.panel, panel, name);
                }
            });
            ui.separator();
            egui::ScrollArea::vertical().show(ui, |ui| match self.panel {
                Panel::Segment => segment_panel::show(self, ui),
                Panel::Label => label_panel::show(self, ui),
                Panel::Train => train_panel::show(self, ui),
            });
        });
        egui::CentralPanel::default().frame(egui::Frame::NONE).show(ui, |ui| view::show(self, ui));
        self.autosave(ui.input(|i| i.time));
        self.repaints |= ui.ctx().has_requested_repaint();
    }

    #[cfg(target_family = "wasm")]
    fn as_any_mut(&mut self) -> Option<&mut dyn std::any::Any> {
        Some(self)
    }

    fn on_exit(&mut self) {
        self.keep_classes();
        self.save_all();
    }
}
