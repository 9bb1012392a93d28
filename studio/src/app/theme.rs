//! Light and dark: the colours of both, and which one the user wants.

use super::Studio;
use eframe::egui::{self, Color32, Theme, ThemePreference, Ui, Visuals};
use serde_json::{Map, Value};
use std::path::PathBuf;
use unet_wgpu::low_level::io::fs;

/// What the user has chosen for all projects, and the file that remembers it.
#[derive(Default)]
pub(super) struct Preferences {
    file: Option<PathBuf>,
    /// Keys of later versions stay.
    values: Map<String, Value>,
}

const THEME: &str = "theme";
const THEMES: [(ThemePreference, &str, &str); 3] = [
    (ThemePreference::System, "system", "As the system"),
    (ThemePreference::Dark, "dark", "Dark"),
    (ThemePreference::Light, "light", "Light"),
];

impl Preferences {
    /// Those that a file remembers. A file that cannot be read is as none.
    fn open(file: PathBuf) -> Self {
        let read = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { file: Some(file), values: read.unwrap_or_default() }
    }

    fn theme(&self) -> ThemePreference {
        let wanted = self.values.get(THEME).and_then(Value::as_str);
        THEMES.iter().find(|(_, name, _)| wanted == Some(name)).map_or(ThemePreference::System, |theme| theme.0)
    }

    fn set_theme(&mut self, theme: ThemePreference) -> std::io::Result<()> {
        let name = THEMES.iter().find(|other| other.0 == theme).map_or("system", |theme| theme.1);
        self.values.insert(THEME.into(), name.into());
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, serde_json::to_vec_pretty(&self.values)?)
    }
}

/// egui's colours, with texts that stand out enough.
fn visuals(theme: Theme) -> Visuals {
    let mut visuals = theme.default_visuals();
    let (text, weak, error) = match theme {
        Theme::Dark => (Color32::from_gray(190), Color32::from_gray(150), Color32::from_rgb(255, 110, 100)),
        Theme::Light => (Color32::from_gray(50), Color32::from_gray(95), Color32::from_rgb(180, 0, 0)),
    };
    visuals.widgets.noninteractive.fg_stroke.color = text;
    (visuals.weak_text_color, visuals.error_fg_color) = (Some(weak), error);
    if theme == Theme::Light {
        // What the pointer is over, and every other line of a table.
        visuals.faint_bg_color = Color32::from_gray(234);
        visuals.hyperlink_color = Color32::from_rgb(0, 95, 170);
        visuals.selection.bg_fill = Color32::from_rgb(178, 222, 255);
    }
    visuals
}

/// What is around an image: not white, which would dazzle beside a dark one.
pub(super) fn around_image(visuals: &Visuals) -> Color32 {
    Color32::from_gray(if visuals.dark_mode { 12 } else { 214 })
}

/// Gives both themes their colours.
pub(super) fn install(ctx: &egui::Context) {
    for theme in [Theme::Dark, Theme::Light] {
        ctx.set_visuals_of(theme, visuals(theme));
    }
    ctx.set_theme(ThemePreference::System);
}

impl Studio {
    /// Takes what the user has chosen before from a file, and remembers changes there.
    #[must_use]
    pub fn with_preferences(mut self, file: Option<PathBuf>) -> Self {
        if let Some(file) = file {
            self.preferences = Preferences::open(file);
            self.ctx.set_theme(self.preferences.theme());
        }
        self
    }

    fn choose_theme(&mut self, theme: ThemePreference) {
        self.ctx.set_theme(theme);
        if let Err(e) = self.preferences.set_theme(theme) {
            self.complain(format!("The choice of light or dark is not kept: {e}"));
        }
    }

    /// From light to dark, and back.
    pub(super) fn turn_theme(&mut self) {
        self.choose_theme(match self.ctx.theme() {
            Theme::Dark => ThemePreference::Light,
            Theme::Light => ThemePreference::Dark,
        });
    }
}

/// The part of the menu View.
pub(super) fn choose(studio: &mut Studio, ui: &mut Ui) {
    let now = studio.ctx.options(|options| options.theme_preference);
    let mut wanted = now;
    ui.horizontal(|ui| {
        ui.label("Colours").on_hover_text("Light or dark (Shift+L)");
        THEMES.iter().for_each(|&(theme, _, name)| drop(ui.selectable_value(&mut wanted, theme, name)));
    });
    if wanted != now {
        studio.choose_theme(wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contrast of two colours by WCAG 2.
    fn contrast(one: Color32, two: Color32) -> f32 {
        let luminance = |colour: Color32| {
            let [r, g, b, _] = egui::Rgba::from(colour).to_array();
            0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05
        };
        let (a, b) = (luminance(one), luminance(two));
        a.max(b) / a.min(b)
    }

    #[test]
    fn texts_are_readable_in_both_themes() {
        for theme in [Theme::Dark, Theme::Light] {
            let v = visuals(theme);
            assert_eq!(v.dark_mode, theme == Theme::Dark);
            let texts =
                [v.text_color(), v.weak_text_color(), v.error_fg_color, v.hyperlink_color, v.strong_text_color()];
            for (i, text) in texts.into_iter().enumerate() {
                for behind in [v.panel_fill, v.window_fill, v.faint_bg_color.to_opaque()] {
                    // An additive colour is put onto the panel.
                    let behind = if behind == v.faint_bg_color.to_opaque() && theme == Theme::Dark {
                        v.panel_fill
                    } else {
                        behind
                    };
                    let found = contrast(text, behind);
                    assert!(found >= 4.5, "{theme:?}, text {i} on {behind:?}: {found}");
                }
            }
            // A chosen line of the gallery, buttons, and what is around an image.
            let pairs = [
                (v.selection.stroke.color, v.selection.bg_fill),
                (v.widgets.inactive.text_color(), v.widgets.inactive.weak_bg_fill),
                (v.widgets.hovered.text_color(), v.widgets.hovered.weak_bg_fill),
                (v.text_color(), around_image(&v)),
            ];
            for (text, behind) in pairs {
                let found = contrast(text, behind);
                assert!(found >= 4.5, "{theme:?}, {text:?} on {behind:?}: {found}");
            }
            // The line around an image is seen.
            assert!(contrast(Color32::from_gray(128), around_image(&v)) > 2.0);
        }
    }

    #[test]
    fn the_theme_is_remembered_beside_what_is_not_known() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sub/preferences.json");
        assert_eq!(Preferences::open(file.clone()).theme(), ThemePreference::System);
        for (theme, ..) in THEMES {
            Preferences::open(file.clone()).set_theme(theme).unwrap();
            assert_eq!(Preferences::open(file.clone()).theme(), theme);
        }
        std::fs::write(&file, r#"{"later": [1], "theme": "sepia"}"#).unwrap();
        let mut read = Preferences::open(file.clone());
        assert_eq!(read.theme(), ThemePreference::System);
        read.set_theme(ThemePreference::Light).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("later") && text.contains("light"), "{text}");
        std::fs::write(&file, "not JSON").unwrap();
        assert_eq!(Preferences::open(file).theme(), ThemePreference::System);
        assert!(Preferences::default().set_theme(ThemePreference::Dark).is_ok(), "nowhere to remember it");
    }
}
