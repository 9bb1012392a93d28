//! studio.json: classes, images, base model.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use unet_wgpu::low_level::io::{Output, fs};
use unet_wgpu::{Error, Result};

/// Name of the file.
pub(super) const FILE: &str = "studio.json";
/// The version that this program writes.
const VERSION: u64 = 1;

/// How far the work on an image is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing is labelled.
    #[default]
    Unlabelled,
    /// Somebody has labelled it, perhaps in part.
    Labelled,
    /// Its labels are a prediction that nobody has checked.
    Predicted,
    /// Somebody has checked all of its labels.
    Reviewed,
}

/// A class of instances. Its number is its place in the list, from 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Name.
    pub name: String,
    /// Red, green, blue.
    pub colour: [u8; 3],
    /// Keys of later versions.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Class {
    /// A class.
    pub fn new(name: impl Into<String>, colour: [u8; 3]) -> Self {
        Self { name: name.into(), colour, extra: Map::new() }
    }
}

/// The hues of Okabe and Ito without black: colour-blind eyes tell them apart.
const HUES: [[u8; 3]; 7] = [
    [86, 180, 233],  // sky blue
    [230, 159, 0],   // orange
    [204, 121, 167], // reddish purple
    [240, 228, 66],  // yellow
    [0, 114, 178],   // blue
    [213, 94, 0],    // vermilion
    [0, 158, 115],   // bluish green
];

/// The colour of a class for which nobody has chosen one, from class 1 on. After seven, darker and lighter ones follow.
pub fn class_colour(class: usize) -> [u8; 3] {
    let place = class.saturating_sub(1);
    HUES[place % HUES.len()].map(|v| match place / HUES.len() % 3 {
        0 => v,
        1 => (u16::from(v) * 3 / 5) as u8,
        _ => u16::midpoint(v.into(), 255) as u8,
    })
}

/// An image of the project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageEntry {
    /// Path below images/, with `/` on every system.
    pub file: String,
    /// How far the work is.
    #[serde(default)]
    pub state: State,
    /// Whether it is for validation, not for training.
    #[serde(default)]
    pub held_out: bool,
    /// Micrometres per pixel, if the user set them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_size: Option<f64>,
    /// Keys of later versions.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The settings of a project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    version: u64,
    /// Classes of instances, at least one.
    pub classes: Vec<Class>,
    /// The model that training starts from: a built-in name or a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// The channels of images that networks get, in order and counted from 0 as `unet segment --channels` counts them, by the
    /// number that a network takes. Without an entry the program's rules hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<usize, Vec<usize>>,
    /// Images by name: the path below images/ without extension.
    #[serde(default)]
    pub images: BTreeMap<String, ImageEntry>,
    /// Keys of later versions.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: VERSION,
            classes: vec![Class::new("cell", class_colour(1))],
            base_model: None,
            channels: BTreeMap::new(),
            images: BTreeMap::new(),
            extra: Map::new(),
        }
    }
}

impl Settings {
    /// Adds classes until there are so many, with names from `names` (background first) where it has them.
    pub fn add_classes(&mut self, count: usize, names: &[String]) {
        for class in self.classes.len() + 1..=count {
            let name = names.get(class).cloned().unwrap_or_else(|| format!("class {class}"));
            self.classes.push(Class::new(name, class_colour(class)));
        }
    }

    /// Reads the settings of a project; the default if there are none.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(|e| Error::io(&path, e))?,
        };
        let broken = |e: serde_json::Error| Error::file(&path, format!("is damaged, or not a project file: {e}"));
        let value: Value = serde_json::from_slice(&text).map_err(broken)?;
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version > VERSION => {
                let reason = format!(
                    "is of version {version}, and this unet studio reads version {VERSION}; open it with a newer one"
                );
                return Err(Error::file(&path, reason));
            }
            Some(_) => {}
            None => return Err(Error::file(&path, "has no version: it is not a project file")),
        }
        let mut settings: Self = serde_json::from_value(value).map_err(broken)?;
        if settings.classes.is_empty() {
            settings.classes = Self::default().classes;
        }
        Ok(settings)
    }

    /// Writes them atomically.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| Error::file(&path, e.to_string()))?;
        text.push(b'\n');
        if fs::read(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        Output::from(&path).replace(|w| w.write_all(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_survive() {
        let dir = tempfile::tempdir().unwrap();
        let text = r##"{"version": 1, "classes": [{"name": "a", "colour": [1, 2, 3], "hotkey": "q"}], "theme": {"dark": true},
            "images": {"x": {"file": "x.png", "rating": 5}}}"##;
        std::fs::write(dir.path().join(FILE), text).unwrap();
        let mut settings = Settings::read(dir.path()).unwrap();
        settings.images.get_mut("x").unwrap().state = State::Reviewed;
        settings.write(dir.path()).unwrap();
        let written: Value = serde_json::from_slice(&std::fs::read(dir.path().join(FILE)).unwrap()).unwrap();
        assert_eq!((&written["theme"]["dark"], &written["classes"][0]["hotkey"]), (&Value::from(true), &"q".into()));
        assert_eq!(
            (&written["images"]["x"]["rating"], &written["images"]["x"]["state"]),
            (&5.into(), &"reviewed".into())
        );
    }

    /// A colour as eyes without long (0) or medium (1) wavelength cones see it, by Machado et al. 2009, in CIELAB.
    fn seen(colour: [u8; 3], by: Option<usize>) -> [f64; 3] {
        const LOSS: [[[f64; 3]; 3]; 2] = [
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        ];
        const XYZ: [[f64; 3]; 3] = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]];
        let times = |m: &[[f64; 3]; 3], v: [f64; 3]| m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
        let linear = colour.map(|v| match f64::from(v) / 255.0 {
            v if v <= 0.04045 => v / 12.92,
            v => ((v + 0.055) / 1.055).powf(2.4),
        });
        let linear = by.map_or(linear, |by| times(&LOSS[by], linear).map(|v| v.clamp(0.0, 1.0)));
        let [x, y, z] = times(&XYZ, linear);
        let f = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let [x, y, z] = [f(x / 0.9505), f(y), f(z / 1.089)];
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn class_colours_differ_also_for_colour_blind_eyes() {
        for by in [None, Some(0), Some(1)] {
            for (a, b) in (1..=7).flat_map(|a| (1..a).map(move |b| (a, b))) {
                let [one, two] = [a, b].map(|class| seen(class_colour(class), by));
                let distance = (0..3).map(|i| (one[i] - two[i]).powi(2)).sum::<f64>().sqrt();
                assert!(distance > 10.0, "classes {a} and {b}, {by:?}: {distance}");
            }
        }
        let all: std::collections::BTreeSet<_> = (1..=21).map(class_colour).collect();
        assert_eq!(all.len(), 21);
    }

    #[test]
    fn channels_and_class_colours_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.add_classes(3, &["background", "cell", "dividing"].map(String::from));
        settings.classes[1].colour = [9, 8, 7];
        settings.channels.insert(1, vec![2]);
        settings.write(dir.path()).unwrap();
        let read = Settings::read(dir.path()).unwrap();
        assert_eq!(read, settings);
        assert_eq!(read.classes.iter().map(|c| &*c.name).collect::<Vec<_>>(), ["cell", "dividing", "class 3"]);
    }

    #[test]
    fn other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = |text: &str| {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            Settings::read(dir.path()).unwrap_err().to_string()
        };
        assert!(
            error(r#"{"version": 2, "classes": "?"}"#).contains("of version 2, and this unet studio reads version 1")
        );
        assert!(error("{}").contains("has no version") && error("{").contains("is damaged"));
    }
}
