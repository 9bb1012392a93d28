//! Menus, and the keys that do the same.

use super::segment_panel::short;
use super::tools::{TOOLS, Tool};
use super::{Panel, Shown, Studio, view};
use crate::labels::{BACKGROUND, Edit, PasteMode, UNLABELLED};
use crate::platform::{self, BROWSER};
use eframe::egui::{self, Event, Key, KeyboardShortcut, MenuBar, Modifiers, Ui};

const COMMAND: Modifiers = Modifiers::COMMAND;
const BOTH: Modifiers = Modifiers { alt: false, ctrl: false, shift: true, mac_cmd: false, command: true };

/// A command of the menus: what it does, its key, its name.
type Command = (Action, KeyboardShortcut, &'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Open,
    Add,
    Save,
    Undo,
    Redo,
    New,
    Merge,
    FillHoles,
    Smooth,
    Delete,
    Forget,
    Accept,
    Segment,
    Reviewed,
    Next,
    Previous,
    Live,
    Train,
    Stop,
    Score,
    Export,
    Download,
    Outlines,
    ByClass,
    Theme,
    Channel(isize),
    Smaller,
    Larger,
    Show(Shown),
    Choose(Tool),
    Cancel,
}

const fn key(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::NONE, key)
}

const FILE: [Command; 3] = [
    (Action::Open, KeyboardShortcut::new(COMMAND, Key::O), "Open a folder .."),
    (Action::Add, KeyboardShortcut::new(BOTH, Key::O), "Add images .."),
    (Action::Save, KeyboardShortcut::new(COMMAND, Key::S), "Save"),
];
const EDIT: [Command; 9] = [
    (Action::Undo, KeyboardShortcut::new(COMMAND, Key::Z), "Undo"),
    (Action::Redo, KeyboardShortcut::new(BOTH, Key::Z), "Redo"),
    (Action::New, key(Key::N), "New instance"),
    (Action::Merge, key(Key::M), "Merge the chosen instances"),
    (Action::FillHoles, key(Key::I), "Fill holes"),
    (Action::Smooth, KeyboardShortcut::new(Modifiers::SHIFT, Key::S), "Smooth the outline"),
    (Action::Delete, key(Key::Delete), "Delete: becomes background"),
    (Action::Forget, KeyboardShortcut::new(Modifiers::SHIFT, Key::Delete), "Forget: becomes unlabelled"),
    (Action::Accept, key(Key::A), "Accept the prediction where nothing is labelled"),
];
const IMAGE: [Command; 5] = [
    (Action::Segment, KeyboardShortcut::new(COMMAND, Key::Enter), "Segment"),
    (Action::Reviewed, key(Key::R), "Reviewed"),
    (Action::Next, key(Key::PageDown), "Next image"),
    (Action::Previous, key(Key::PageUp), "Previous image"),
    (Action::Live, key(Key::L), "Live on what you see"),
];
const NETWORK: [Command; 4] = [
    (Action::Train, key(Key::T), "Train"),
    (Action::Stop, KeyboardShortcut::new(Modifiers::SHIFT, Key::T), "Stop training and keep the model"),
    (Action::Score, key(Key::C), "Score the model"),
    (Action::Export, KeyboardShortcut::new(COMMAND, Key::E), "Export the results .."),
];
/// In a browser, whose files nobody else sees.
const DOWNLOAD: [Command; 1] =
    [(Action::Download, KeyboardShortcut::new(Modifiers::SHIFT, Key::D), "Download the model")];
/// Without a line in a menu.
const OTHERS: [Command; 13] = [
    (Action::Outlines, key(Key::O), "Outlines"),
    (Action::ByClass, key(Key::K), "Colours of classes or of instances"),
    (Action::Theme, KeyboardShortcut::new(Modifiers::SHIFT, Key::L), "Light or dark"),
    (Action::Channel(1), key(Key::Period), "The next channel alone, or all"),
    (Action::Channel(-1), key(Key::Comma), "The previous channel alone, or all"),
    (Action::Smaller, key(Key::OpenBracket), "Smaller brush"),
    (Action::Larger, key(Key::CloseBracket), "Larger brush"),
    (Action::Show(Shown::Labels), key(Key::Num1), "Show labels"),
    (Action::Show(Shown::Prediction), key(Key::Num2), "Show the prediction"),
    (Action::Show(Shown::Both), key(Key::Num3), "Show labels and prediction side by side"),
    (Action::Show(Shown::Nothing), key(Key::Num4), "Show the image alone"),
    (Action::Cancel, key(Key::Escape), "Give up the outline at hand, choose nothing"),
    (Action::Redo, KeyboardShortcut::new(COMMAND, Key::Y), "Redo"),
];

fn downloads() -> &'static [Command] {
    if BROWSER { &DOWNLOAD } else { &[] }
}

pub(super) fn show(studio: &mut Studio, ui: &mut Ui) {
    let mut action = None;
    egui::Panel::top("menu").show(ui, |ui| {
        MenuBar::new().ui(ui, |ui| {
            let mut list = |ui: &mut Ui, studio: &Studio, commands: &[Command]| {
                for &(what, keys, name) in commands {
                    let name = match what {
                        Action::Undo => studio.undo_name().map_or("Undo".into(), |step| format!("Undo {step}")),
                        Action::Redo => studio.redo_name().map_or("Redo".into(), |step| format!("Redo {step}")),
                        _ => name.to_string(),
                    };
                    let button = egui::Button::new(name).shortcut_text(ui.ctx().format_shortcut(&keys));
                    if ui.add_enabled(studio.can(what), button).clicked() {
                        action = Some(what);
                        ui.close();
                    }
                }
            };
            ui.menu_button("File", |ui| {
                list(ui, studio, &FILE);
                if ui.button("Demo images").clicked() {
                    studio.open_demo();
                    ui.close();
                }
                ui.separator();
                if BROWSER {
                    stored(studio, ui);
                } else if ui.button("Quit").clicked() {
                    ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
                }
            });
            ui.menu_button("Edit", |ui| list(ui, studio, &EDIT));
            ui.menu_button("Tools", |ui| {
                for (tool, name, keys, about) in TOOLS {
                    let button = egui::Button::selectable(studio.tools.tool == tool, name).shortcut_text(keys.name());
                    if ui.add(button).on_hover_text(about).clicked() {
                        studio.choose_tool(tool);
                        ui.close();
                    }
                }
            });
            ui.menu_button("View", |ui| view::options(studio, ui));
            ui.menu_button("Image", |ui| list(ui, studio, &IMAGE));
            ui.menu_button("Network", |ui| {
                list(ui, studio, &NETWORK);
                list(ui, studio, downloads());
            });
            ui.menu_button("Help", |ui| {
                if ui.button("Keys").clicked() {
                    studio.help = true;
                    ui.close();
                }
                ui.separator();
                ui.weak("Images never leave this machine.");
            });
            ui.separator();
            if let Some(model) = studio.model() {
                ui.weak(short(&model.name));
            }
        });
    });
    if let Some(action) = action {
        studio.act(action);
    }
    help(studio, ui);
    if studio.removing {
        removal(studio, ui);
    }
}

/// Projects in the storage of the browser.
fn stored(studio: &mut Studio, ui: &mut Ui) {
    let at_hand = studio.project.as_ref().map(|project| project.folder().to_path_buf());
    ui.menu_button("Projects in this browser", |ui| {
        let projects = platform::projects();
        if projects.is_empty() {
            ui.weak("none yet");
        }
        for project in projects {
            let open = at_hand.as_ref() == Some(&project);
            if ui.selectable_label(open, project.display().to_string()).clicked() {
                studio.open_folder(&project);
                ui.close();
            }
        }
    });
    if ui.add_enabled(at_hand.is_some(), egui::Button::new("Download the project")).clicked() {
        studio.download_project();
        ui.close();
    }
    // What is at work writes into it.
    let quiet = studio.jobs == 0 && !studio.training.running;
    if ui
        .add_enabled(quiet && at_hand.is_some(), egui::Button::new("Remove the project from this browser .."))
        .clicked()
    {
        studio.removing = true;
        ui.close();
    }
}

/// Asks before a project is removed.
fn removal(studio: &mut Studio, ui: &Ui) {
    let Some(folder) = studio.project.as_ref().map(|project| project.folder().display().to_string()) else { return };
    let answer = egui::Modal::new(egui::Id::unique("remove")).show(ui.ctx(), |ui| {
        ui.label(format!("Remove {folder} with its images, labels and models from this browser?"));
        ui.weak("This cannot be undone. Download it first to keep it.");
        ui.horizontal(|ui| {
            let no = ui.button("Keep it").clicked();
            let yes = ui.button("Remove").clicked();
            yes.then_some(true).or(no.then_some(false))
        })
        .inner
    });
    if answer.inner == Some(true) {
        studio.remove_project();
    }
    studio.removing &= answer.inner.is_none() && !answer.should_close();
}

fn help(studio: &mut Studio, ui: &Ui) {
    egui::Window::new("Keys").open(&mut studio.help).resizable(false).show(ui.ctx(), |ui| {
        egui::Grid::new("keys").striped(true).num_columns(2).show(ui, |ui| {
            let format = |keys: &KeyboardShortcut| ui.ctx().format_shortcut(keys);
            let commands = FILE.iter().chain(&EDIT).chain(&IMAGE).chain(&NETWORK).chain(downloads()).chain(&OTHERS);
            let mut lines: Vec<(String, &str)> = commands.map(|(_, keys, name)| (format(keys), *name)).collect();
            lines.extend(TOOLS.iter().map(|(_, name, keys, _)| (keys.name().to_string(), *name)));
            lines.push(("Space, middle button".into(), "Move the image"));
            lines.push(("wheel, + -, 0".into(), "Closer, further, the whole image"));
            for (keys, name) in lines {
                ui.monospace(keys);
                ui.label(name);
                ui.end_row();
            }
        });
    });
}

/// Keys, unless a text field has them.
pub(super) fn keys(studio: &mut Studio, ui: &Ui) {
    if ui.ctx().text_edit_focused() {
        return;
    }
    // Those with most modifiers first: a shortcut with fewer would take the key as well.
    let mut commands: Vec<Command> = FILE.into_iter().chain(EDIT).chain(IMAGE).chain(NETWORK).chain(OTHERS).collect();
    commands.extend(downloads());
    commands.extend(TOOLS.iter().map(|&(tool, name, keys, _)| (Action::Choose(tool), key(keys), name)));
    let held = |m: &Modifiers| usize::from(m.command) + usize::from(m.shift);
    commands.sort_by_key(|(_, keys, _)| std::cmp::Reverse(held(&keys.modifiers)));
    let mut actions = Vec::new();
    // A slow frame may have several.
    ui.input_mut(|input| {
        input.events.retain(|event| {
            let Event::Key { key, modifiers, pressed: true, .. } = event else { return true };
            let fits =
                |keys: &KeyboardShortcut| keys.logical_key == *key && modifiers.matches_logically(keys.modifiers);
            let found = commands.iter().find(|(_, keys, _)| fits(keys));
            actions.extend(found.map(|command| command.0));
            found.is_none()
        });
    });
    for action in actions {
        if studio.can(action) {
            studio.act(action);
        }
    }
}

impl Studio {
    fn can(&self, action: Action) -> bool {
        let doc = self.document.as_ref();
        let chosen = doc.map_or(0, |d| d.selected.len());
        match action {
            Action::Open | Action::Add | Action::Outlines | Action::Smaller | Action::Larger => true,
            Action::Show(_) | Action::Choose(_) | Action::Cancel | Action::ByClass | Action::Theme => true,
            Action::Save => self.project.is_some(),
            Action::Undo => self.undo_name().is_some(),
            Action::Redo => self.redo_name().is_some(),
            Action::Channel(_) => doc.is_some_and(|d| d.image.pixels().channels() > 1),
            Action::New | Action::Reviewed | Action::Next | Action::Previous => doc.is_some(),
            Action::Merge => chosen > 1,
            Action::FillHoles | Action::Smooth | Action::Delete | Action::Forget => chosen > 0,
            Action::Accept => doc.is_some_and(|d| d.prediction.is_some()),
            Action::Train => self.can_train(),
            Action::Stop => self.training.running,
            Action::Score => self.can_score(),
            Action::Download => self.model_file().is_some(),
            Action::Export => doc.is_some_and(|d| d.prediction.is_some()) && !self.export.is_empty(),
            Action::Segment | Action::Live => doc.is_some() && self.model().is_some(),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open => self.dialogs.open_project(&self.ctx),
            Action::Add => self.dialogs.open_images(&self.ctx),
            Action::Save => self.save_all(),
            Action::Undo => self.undo(),
            Action::Redo => self.redo(),
            Action::New => self.choose_none(),
            Action::Merge => {
                let ids = self.document.as_ref().map(|d| d.selected.clone()).unwrap_or_default();
                self.edit(Edit::Merge { ids });
            }
            Action::FillHoles => {
                if let Some(id) = self.document.as_ref().and_then(|d| d.active()) {
                    self.edit(Edit::FillHoles { id });
                }
            }
            Action::Smooth => self.smooth_chosen(),
            Action::Delete => self.delete_chosen(BACKGROUND),
            Action::Forget => self.delete_chosen(UNLABELLED),
            Action::Accept => self.accept(PasteMode::OnlyUnlabelled),
            Action::Segment => self.segment(),
            Action::Reviewed => self.reviewed(),
            Action::Next => self.step(1),
            Action::Previous => self.step(-1),
            Action::Live => self.live_on = !self.live_on,
            Action::Train => {
                self.panel = Panel::Train;
                self.train();
            }
            Action::Stop => self.engine.stop_training(),
            Action::Score => {
                self.panel = Panel::Train;
                self.score();
            }
            Action::Export => self.dialogs.export_folder(&self.ctx),
            Action::Download => self.download_model(),
            Action::Outlines => self.style.outlines = !self.style.outlines,
            Action::ByClass => self.by_class = !self.by_class,
            Action::Theme => self.turn_theme(),
            Action::Channel(by) => self.step_channel(by),
            Action::Smaller => self.tools.scale_radius(1.0 / 1.25),
            Action::Larger => self.tools.scale_radius(1.25),
            Action::Show(shown) => self.shown = shown,
            Action::Choose(tool) => self.choose_tool(tool),
            Action::Cancel => {
                if let Some(doc) = &mut self.document {
                    self.tools.cancel(doc);
                    doc.refresh();
                }
                self.choose_none();
            }
        }
    }

    /// Takes a tool in hand. Those that change labels show them.
    fn choose_tool(&mut self, tool: Tool) {
        self.tools.choose(tool);
        if tool != Tool::Select {
            self.panel = Panel::Label;
            if !matches!(self.shown, Shown::Labels | Shown::Both) {
                self.shown = Shown::Labels;
            }
        }
    }
}
