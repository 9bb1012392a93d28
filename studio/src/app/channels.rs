//! Which channels of an image are shown, and which a network gets.

use super::Studio;
use super::document::Document;
use crate::canvas::{CanvasImage, Contrast};
use crate::engine::{SelectedChannels, file_channel};
use eframe::egui::{self, Color32, Ui};

/// The choice of channels for images with so many of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ChannelView {
    /// Whether each is part of the composite, and its colour there. None: as the canvas has it.
    composite: Option<Vec<(bool, Color32)>>,
    /// The channel that is shown alone, in grey.
    pub(super) alone: Option<usize>,
}

impl ChannelView {
    /// Puts the choice into a contrast. That of images with another number of channels does not count.
    pub(super) fn apply(&self, contrast: &mut Contrast) {
        let count = contrast.channels.len();
        if let Some(composite) = self.composite.as_ref().filter(|c| c.len() == count) {
            for (channel, (visible, colour)) in contrast.channels.iter_mut().zip(composite) {
                (channel.visible, channel.colour) = (*visible, *colour);
            }
        }
        if let Some(alone) = self.alone.filter(|&alone| alone < count) {
            for (i, channel) in contrast.channels.iter_mut().enumerate() {
                channel.visible = i == alone;
            }
            contrast.channels[alone].colour = Color32::WHITE;
        }
    }

    /// From the composite through the channels and back to the composite.
    pub(super) fn step(&mut self, by: isize, count: usize) {
        let at = self.alone.filter(|&alone| alone < count).map_or(0, |alone| alone + 1) as isize;
        self.alone = ((at + by).rem_euclid(count as isize + 1) as usize).checked_sub(1);
    }
}

/// How the image at hand is shown.
pub(super) fn contrast_of(view: &ChannelView, doc: &Document) -> Contrast {
    let mut contrast = doc.contrast.clone().unwrap_or_else(|| Contrast::of(&doc.image));
    view.apply(&mut contrast);
    contrast
}

/// The number of a channel and its name, if the file has one.
fn named(image: &CanvasImage, channel: usize) -> String {
    let number = file_channel(image.pixels(), channel);
    match image.pixels().channel_names().get(channel).filter(|name| !name.is_empty()) {
        Some(name) => format!("{number}: {name}"),
        None => number.to_string(),
    }
}

impl Studio {
    /// The channels of images that a network with so many inputs gets; none for the program's rules.
    pub(super) fn channels_for(&self, inputs: usize) -> SelectedChannels {
        self.project.as_ref()?.settings().channels.get(&inputs).cloned()
    }

    /// Gives networks with so many inputs these channels from now on, in this project; none for the program's rules.
    pub fn set_channels(&mut self, inputs: usize, channels: Option<Vec<usize>>) {
        let Some(project) = &mut self.project else { return };
        let changed = project.change(|settings| {
            match channels {
                Some(channels) => settings.channels.insert(inputs, channels),
                None => settings.channels.remove(&inputs),
            };
        });
        if let Err(e) = changed {
            self.complain(e.to_string());
        }
        (self.live, self.preparing) = (None, None);
    }

    /// Shows the next or previous channel alone, or the composite after the last one.
    pub(super) fn step_channel(&mut self, by: isize) {
        if let Some(doc) = &self.document {
            self.channel_view.step(by, doc.image.pixels().channels());
        }
    }
}

/// The part of the menu View: channels, colours, limits.
pub(super) fn contrast(studio: &mut Studio, ui: &mut Ui) {
    let Some(doc) = &mut studio.document else { return };
    let view = &mut studio.channel_view;
    ui.horizontal(|ui| {
        ui.label("Contrast");
        if ui.button("Auto").on_hover_text("Percentiles 1 and 99.8").clicked() {
            doc.contrast = None;
            doc.image.request_limits(CanvasImage::PERCENTILES);
        }
    });
    let automatic = Contrast::of(&doc.image);
    let mut contrast = contrast_of(view, doc);
    let count = contrast.channels.len();
    if count > 1 {
        ui.horizontal_wrapped(|ui| {
            ui.label("Channel").on_hover_text("comma and full stop");
            ui.selectable_value(&mut view.alone, None, "composite");
            for i in 0..count.min(Contrast::MAX_SHOWN) {
                ui.selectable_value(&mut view.alone, Some(i), named(&doc.image, i));
            }
        });
    }
    let before = contrast.clone();
    let ranges = doc.image.range().to_vec();
    for (i, channel) in contrast.channels.iter_mut().enumerate() {
        let [low, high] = ranges.get(i).copied().unwrap_or([0.0, 1.0]);
        ui.horizontal(|ui| {
            if view.alone.is_none() {
                let name = named(&doc.image, i);
                ui.checkbox(&mut channel.visible, &name).on_hover_text(format!("channel {name}"));
                ui.color_edit_button_srgba(&mut channel.colour);
            } else if !channel.visible {
                return;
            }
            ui.add(egui::Slider::new(&mut channel.low, low..=high).text("black"));
            ui.add(egui::Slider::new(&mut channel.high, low..=high).text("white"));
        });
        channel.high = channel.high.max(channel.low + (high - low).abs().max(1e-6) * 1e-3);
    }
    let limits = |c: &Contrast| c.channels.iter().map(|c| [c.low, c.high]).collect::<Vec<_>>();
    if limits(&contrast) != limits(&before) {
        doc.contrast = Some(automatic.with_limits(&limits(&contrast)));
    }
    let composite = |c: &Contrast| c.channels.iter().map(|c| (c.visible, c.colour)).collect::<Vec<_>>();
    if view.alone.is_none() && composite(&contrast) != composite(&before) {
        view.composite = Some(composite(&contrast));
    }
}

/// The part of the panel Segment: what the network gets of an image with several channels.
pub(super) fn of_network(studio: &mut Studio, ui: &mut Ui) {
    let Some((inputs, image)) =
        studio.model().map(|m| m.channels).zip(studio.document.as_ref().map(|d| d.image.clone()))
    else {
        return;
    };
    let count = image.pixels().channels();
    if count < 2 {
        return;
    }
    let before = studio.channels_for(inputs);
    let mut chosen = before.clone();
    let mut own = chosen.is_some();
    let hover = "As `unet segment --channels`. Otherwise RGB becomes grey where a network takes one channel, and other images must \
                 have as many channels as it takes";
    ui.checkbox(&mut own, "Choose the network's channels").on_hover_text(hover);
    let default = || (0..inputs).map(|i| file_channel(image.pixels(), i.min(count - 1))).collect();
    match (own, &chosen) {
        (true, None) => chosen = Some(default()),
        (false, Some(_)) => chosen = None,
        _ => {}
    }
    for (i, channel) in chosen.iter_mut().flatten().enumerate() {
        let name =
            |file: usize| (0..count).find(|&c| file_channel(image.pixels(), c) == file).map(|c| named(&image, c));
        let text = name(*channel).unwrap_or_else(|| format!("{channel}, which this image has not"));
        let label = if inputs == 1 { "channel".into() } else { format!("channel for input {}", i + 1) };
        egui::ComboBox::from_label(label).selected_text(text).show_ui(ui, |ui| {
            for c in 0..count {
                ui.selectable_value(channel, file_channel(image.pixels(), c), named(&image, c));
            }
        });
    }
    if chosen != before {
        studio.set_channels(inputs, chosen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canvas::ChannelDisplay;

    fn contrast(count: usize) -> Contrast {
        let channel =
            |i| ChannelDisplay { visible: i < 2, colour: Color32::RED, low: 0.0, high: i as f32 + 1.0, gamma: 1.0 };
        Contrast { channels: (0..count).map(channel).collect() }
    }

    #[test]
    fn channels_are_stepped_through() {
        let mut view = ChannelView::default();
        let seen: Vec<_> = (0..4).map(|_| (view.step(1, 3), view.alone).1).collect();
        assert_eq!(seen, [Some(0), Some(1), Some(2), None]);
        view.step(-1, 3);
        assert_eq!(view.alone, Some(2));
        // An image with fewer channels begins anew.
        view.step(1, 2);
        assert_eq!(view.alone, Some(0));
    }

    #[test]
    fn a_channel_alone_is_grey_and_the_composite_comes_back() {
        let mut view = ChannelView {
            composite: Some(vec![(false, Color32::BLUE), (true, Color32::GREEN), (true, Color32::BLUE)]),
            alone: None,
        };
        let mut shown = contrast(3);
        view.apply(&mut shown);
        assert_eq!(
            shown.channels.iter().map(|c| (c.visible, c.colour)).collect::<Vec<_>>(),
            view.composite.clone().unwrap()
        );
        assert_eq!(shown.channels[2].high, 3.0, "limits stay");
        view.alone = Some(0);
        view.apply(&mut shown);
        assert_eq!(shown.channels.iter().map(|c| c.visible).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(shown.channels[0].colour, Color32::WHITE);
        // The choice for three channels says nothing about images of two.
        let mut other = contrast(2);
        view.alone = Some(2);
        view.apply(&mut other);
        assert_eq!(other, contrast(2));
    }
}
