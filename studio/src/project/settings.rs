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
    /// Images by name: the path below images/ without extension.
    #[serde(default)]
    pub images: BTreeMap<String, ImageEntry>,
    /// Keys of later versions.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for Settings {
    fn default() -> Self {
        let classes = vec![Class::new("cell", [86, 180, 233])];
        Self { version: VERSION, classes, base_model: None, images: BTreeMap::new(), extra: Map::new() }
    }
}

impl Settings {
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
