//! Infers a network's options from the names and shapes of its parameters.

use super::{Origin, Setting, Shapes};
use crate::error::{Error, Result};
use serde_json::{Value, json};

/// Options, in display order.
#[derive(Default)]
pub(super) struct Settings(pub Vec<Setting>);

impl Settings {
    /// Adds an option that follows from the file.
    pub(super) fn inferred(&mut self, key: &str, value: impl Into<Value>) {
        self.0.push(Setting { key: key.into(), value: value.into(), origin: Origin::Inferred });
    }

    /// Adds an option that does not, with the reason for its value.
    pub(super) fn assumed(mut self, key: &str, value: impl Into<Value>, reason: &str) -> Self {
        self.0.push(Setting { key: key.into(), value: value.into(), origin: Origin::Assumed(reason.into()) });
        self
    }

    /// The value of an option.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|s| s.key == key).map(|s| &s.value)
    }

    /// Whether the decoder upsamples bilinearly.
    pub(super) fn is_bilinear(&self) -> bool {
        self.get("up") == Some(&json!("bilinear"))
    }

    fn common(&mut self, shapes: &Shapes, first: &str, head: &str) -> Result<()> {
        self.inferred("in_channels", need(shapes, &format!("{first}.conv1.weight"), 1)?);
        self.inferred("out_channels", need(shapes, &format!("{head}.weight"), 0)?);
        Ok(())
    }

    /// Adds `width` if the channels double per level, else all `widths`; and `depth`.
    fn widths(&mut self, widths: &[usize]) {
        let width = widths.first().copied().unwrap_or(1);
        if widths.iter().enumerate().all(|(i, &w)| width.checked_shl(i as u32) == Some(w)) {
            self.inferred("width", width);
        } else {
            self.inferred("widths", widths);
        }
        self.inferred("depth", widths.len().saturating_sub(1));
    }

    fn style(&mut self, shapes: &Shapes, first: &str) {
        self.inferred("norm", shapes.has(&format!("{first}.bn1.running_var")));
        self.inferred("conv_bias", shapes.has(&format!("{first}.conv1.bias")));
    }
}

fn need(shapes: &Shapes, key: &str, axis: usize) -> Result<usize> {
    let missing = || Error::ParameterMissing { key: key.into(), nearest: None };
    let dims = shapes.dims(key).ok_or_else(missing)?;
    let few = || Error::invalid(format!("parameter `{key}`"), format!("shape {dims:?} has no dimension {axis}"));
    dims.get(axis).copied().ok_or_else(few)
}

/// Infers all options of a U-Net except padding, `align_corners` and the order of concatenation.
pub(super) fn unet(shapes: &Shapes) -> Result<Settings> {
    let mut s = Settings::default();
    s.common(shapes, "enc.0", "head")?;
    let levels = shapes.count(0, |i| format!("enc.{i}.conv2.weight"));
    let out = |i: usize| need(shapes, &format!("enc.{i}.conv2.weight"), 0);
    let mut widths: Vec<usize> = (0..levels).map(out).collect::<Result<_>>()?;
    let depth = levels.saturating_sub(1);
    let bottom = widths.last().copied().unwrap_or(0);
    let lift = shapes.dims("up.0.weight");
    // Channels of the map that is upsampled into level 0.
    let below = if depth > 1 { need(shapes, "dec.1.conv2.weight", 0)? } else { bottom };
    let up = match lift {
        None => "bilinear",
        // A transposed convolution has [in, out, 2, 2], a plain one [out, in, 2, 2].
        Some(&[from, _, ..]) if from == below => "transpose",
        Some(_) => "nearest_conv",
    };
    let mut slim = false;
    if up == "bilinear" && depth > 0 {
        // In a slim network the deepest decoder level has half the channels of its skip connection, else as many.
        let (deepest, skip) = (depth - 1, widths.get(depth - 1).copied().unwrap_or(0));
        let (mid, fused) =
            (format!("dec.{deepest}.conv1.weight"), need(shapes, &format!("dec.{deepest}.conv1.weight"), 1)?);
        slim = need(shapes, &mid, 0)? == fused / 2
            && (depth == 1 || need(shapes, &format!("dec.{deepest}.conv2.weight"), 0)? == skip / 2);
        if slim && let Some(last) = widths.last_mut() {
            *last = bottom.saturating_mul(2);
        }
    }
    s.widths(&widths);
    s.inferred("up", up);
    if up == "bilinear" {
        s.inferred("slim", slim);
    }
    let lifted = match (up, lift) {
        ("transpose", Some(d)) => d.get(1),
        ("nearest_conv", Some(d)) => d.first(),
        _ => None,
    };
    if let Some(&channels) = lifted
        && Some(&channels) != widths.first()
    {
        s.inferred("last_up_channels", channels);
    }
    s.style(shapes, "enc.0");
    Ok(s)
}

/// Infers all options of a U-Net++ except `align_corners` and the order of concatenation.
pub(super) fn unet_plus_plus(shapes: &Shapes) -> Result<Settings> {
    let mut s = Settings::default();
    let rows = shapes.count(0, |i| format!("node.x{i}_0.conv2.weight"));
    let depth = rows.saturating_sub(1);
    s.common(shapes, "node.x0_0", &format!("head.{depth}"))?;
    let out = |i: usize| need(shapes, &format!("node.x{i}_0.conv2.weight"), 0);
    s.widths(&(0..rows).map(out).collect::<Result<Vec<_>>>()?);
    s.inferred("deep_supervision", depth > 1 && shapes.has("head.1.weight"));
    s.inferred("up", if shapes.has("up.x0_1.weight") { "transpose" } else { "bilinear" });
    s.style(shapes, "node.x0_0");
    Ok(s)
}

/// Infers all options of a U-Net 3+ except `align_corners`, the activation and the place of the gate.
pub(super) fn unet_3_plus(shapes: &Shapes) -> Result<Settings> {
    let mut s = Settings::default();
    s.common(shapes, "enc.0", "head.0")?;
    let levels = shapes.count(0, |i| format!("enc.{i}.conv2.weight"));
    let out = |i: usize| need(shapes, &format!("enc.{i}.conv2.weight"), 0);
    s.widths(&(0..levels).map(out).collect::<Result<Vec<_>>>()?);
    s.inferred("cat", need(shapes, "skip.0_0.conv.weight", 0)?);
    s.inferred("deep_supervision", shapes.has("head.1.weight"));
    s.inferred("cgm", shapes.has("cgm.weight"));
    s.style(shapes, "enc.0");
    Ok(s)
}
