//! Which channels are shown, in which colours, between which values.

use super::image::CanvasImage;
use eframe::egui::Color32;
use unet_wgpu::low_level::infer::Colour;

/// How a channel is shown: its values from `low` to `high` become black to `colour`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelDisplay {
    /// Whether it is shown.
    pub visible: bool,
    /// Its colour; those of several channels are added.
    pub colour: Color32,
    /// The value that is black.
    pub low: f32,
    /// The value that is fully coloured.
    pub high: f32,
    /// Exponent of the fraction between `low` and `high`.
    pub gamma: f32,
}

/// How an image's channels are shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contrast {
    /// One for each channel of the image.
    pub channels: Vec<ChannelDisplay>,
}

impl Contrast {
    /// So many channels are shown at once; of more, the first ones.
    pub const MAX_SHOWN: usize = 16;

    /// The default: RGB as it is; other channels between their limits, or between the extremes of a sample of the pixels
    /// until the limits are known.
    pub fn of(image: &CanvasImage) -> Self {
        let (count, alpha) = (image.pixels().channels(), image.alpha());
        let unit = image.pixels().pixels().unit() as f32;
        let rgb = matches!(image.pixels().kind().colour, Colour::Rgb);
        let limits = image.limits();
        let colours = colours(count - usize::from(alpha.is_some()), rgb);
        let display = |channel: usize| {
            let [low, high] = match &limits {
                _ if rgb => [0.0, unit],
                Some(limits) => limits.get(channel).copied().unwrap_or([0.0, unit]),
                None => image.range().get(channel).copied().unwrap_or([0.0, unit]),
            };
            let place = channel - usize::from(alpha.is_some_and(|a| a < channel));
            let colour = colours.get(place).copied().unwrap_or(Color32::WHITE);
            let visible = Some(channel) != alpha && place < colours.len();
            ChannelDisplay { visible, colour, low, high, gamma: 1.0 }
        };
        Self { channels: (0..count).map(display).collect() }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: &[[f32; 2]]) -> Self {
        for (channel, [low, high]) in self.channels.iter_mut().zip(limits) {
            (channel.low, channel.high) = (*low, *high);
        }
        self
    }

    /// The channels that the device holds: those that are visible.
    pub(super) fn shown(&self) -> Vec<u16> {
        let visible = self.channels.iter().enumerate().filter(|(_, c)| c.visible);
        visible.map(|(i, _)| i as u16).take(Self::MAX_SHOWN).collect()
    }
}

/// Colours of the channels that are visible at first.
fn colours(channels: usize, rgb: bool) -> Vec<Color32> {
    const GREEN: Color32 = Color32::from_rgb(0, 255, 0);
    const MAGENTA: Color32 = Color32::from_rgb(255, 0, 255);
    let [cyan, yellow] = [Color32::from_rgb(0, 255, 255), Color32::from_rgb(255, 255, 0)];
    match channels {
        _ if rgb => vec![Color32::from_rgb(255, 0, 0), GREEN, Color32::from_rgb(0, 0, 255)],
        0 | 1 => vec![Color32::WHITE],
        // Told apart by colour-blind eyes.
        2 => vec![GREEN, MAGENTA],
        _ => vec![cyan, MAGENTA, yellow],
    }
}

/// The colour of a pixel as the shader computes it.
#[cfg(test)]
pub(super) fn expected(contrast: &Contrast, values: &[f32]) -> [f32; 3] {
    let mut sum = [0.0; 3];
    for (c, v) in contrast.channels.iter().zip(values).filter(|(c, v)| c.visible && v.is_finite()) {
        let t = ((v - c.low) / (c.high - c.low)).clamp(0.0, 1.0).powf(c.gamma);
        for (sum, part) in sum.iter_mut().zip(c.colour.to_array()) {
            *sum += t * f32::from(part);
        }
    }
    sum.map(|s| s.min(255.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use unet_wgpu::low_level::infer::ChannelKind;
    use unet_wgpu::{Image, Pixels};

    fn image(channels: usize, kind: ChannelKind) -> CanvasImage {
        let values = (0..channels as u8 * 4).collect();
        CanvasImage::new(Arc::new(Image::new(2, 2, channels, Pixels::U8(values)).unwrap().with_kind(kind)))
    }

    #[test]
    fn rgb_is_shown_as_it_is_and_without_alpha() {
        let contrast = Contrast::of(&image(4, ChannelKind::RGB.with_alpha(3)));
        assert_eq!(contrast.shown(), [0, 1, 2]);
        assert_eq!(expected(&contrast, &[10.0, 20.0, 30.0, 255.0]), [10.0, 20.0, 30.0]);
        assert!(image(3, ChannelKind::RGB).take_request().is_none());
    }

    #[test]
    fn other_channels_are_shown_between_their_limits() {
        let grey = image(1, ChannelKind::GREY);
        assert_eq!((Contrast::of(&grey).channels[0].low, Contrast::of(&grey).channels[0].high), (0.0, 3.0));
        grey.answer(0, vec![[1.0, 2.0]]);
        assert_eq!((Contrast::of(&grey).channels[0].low, Contrast::of(&grey).channels[0].high), (1.0, 2.0));
        let many = Contrast::of(&image(20, ChannelKind::SEPARATE));
        assert_eq!((many.channels.len(), many.shown().len()), (20, 3));
    }
}
