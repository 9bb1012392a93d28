//! Serialisation of kernels. Keys hold `&'static str` names, so names that are read back are interned.

use super::{KernelKey, Params, all_shaders};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// A key with owned names.
#[derive(Deserialize)]
struct Key {
    shader: String,
    consts: Vec<(String, u32)>,
}

/// Max length of a name, and max number of names: interned names are never freed.
const MAX_NAME: usize = 200;
const MAX_NAMES: usize = 4096;

/// Interns a name for the rest of the program. Fails above the limits; valid plans have no more names than the program
/// has literals.
pub fn name(text: &str) -> Result<&'static str, String> {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().map_err(|e| e.to_string())?;
    if let Some(known) = names.get(text) {
        return Ok(known);
    }
    if text.len() > MAX_NAME || names.len() >= MAX_NAMES {
        return Err(format!("`{}` is not a name of a plan", text.chars().take(MAX_NAME).collect::<String>()));
    }
    let known: &'static str = Box::leak(text.to_string().into_boxed_str());
    names.insert(known);
    Ok(known)
}

impl TryFrom<Key> for KernelKey {
    type Error = String;

    fn try_from(key: Key) -> Result<Self, String> {
        let shader = all_shaders().find(|s| *s == key.shader);
        let shader = shader.ok_or_else(|| format!("there is no shader `{}`", key.shader))?;
        let consts = key.consts.iter().map(|(text, value)| Ok((name(text)?, *value))).collect::<Result<_, String>>()?;
        Ok(Self { shader, consts })
    }
}

impl<'de> Deserialize<'de> for KernelKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Key::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self[..].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Params {
    /// The words only; their layout follows from the shader.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::of_words)
    }
}
