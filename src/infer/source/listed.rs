//! Names of an image's channels, for messages.

use super::SourceInfo;
use crate::infer::channel_kind::{Alpha, Colour};

/// Name of a channel, from the file or its kind.
fn name<'a>(info: &SourceInfo, names: &'a [String], channel: usize) -> Option<&'a str> {
    if let Some(name) = names.get(channel).filter(|n| !n.is_empty()) {
        return Some(name);
    }
    match (info.kind.colour, channel) {
        _ if info.kind.alpha == Alpha::At(channel) => Some("alpha"),
        (Colour::Grey, 0) => Some("grey"),
        (Colour::Rgb, 0) => Some("red"),
        (Colour::Rgb, 1) => Some("green"),
        (Colour::Rgb, 2) => Some("blue"),
        _ => None,
    }
}

/// The channels with their numbers and names: `0 red, 1 green, 2 blue, 3`.
pub fn list_channels(info: &SourceInfo, names: &[String]) -> String {
    if info.channels > 8 && names.is_empty() {
        return format!("0 to {}", info.channels - 1);
    }
    let one = |c: usize| match name(info, names, c) {
        Some(name) => format!("{c} {name}"),
        None => c.to_string(),
    };
    (0..info.channels).map(one).collect::<Vec<_>>().join(", ")
}
