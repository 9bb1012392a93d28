//! What a prepared frame consists of, as plain data: sizes, channels, the rule, buffers.

use super::format::{FrameOptions, FrameOutput, OutputPlace, OutputRequest, PixelFormat, Roi};
use super::rules::{Measured, Rule, Statistic};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::infer::tile::graph::{LOGITS, MASK, PROBABILITY, TileBatch, TileRequest, tile_graph};
use crate::infer::{Alpha, ChannelMap, SourceInfo};
use crate::model::Model;

/// Words ahead of the counts in the statistics of a channel.
const HEAD: usize = 16;
/// Counts by 16 bits of a value.
const HALF: usize = 1 << 16;
/// Ids that 8 bits hold.
const MAX_CLASSES: usize = 256;

/// A frame before anything is on the device.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Rows and columns of the largest image.
    pub size: [usize; 2],
    /// Rows and columns of the networks' inputs; the first is that of the largest image.
    pub tiles: Vec<[usize; 2]>,
    /// Pixels that the network's output loses on each side.
    pub margin: usize,
    /// Channels of the network.
    pub channels: usize,
    /// Channels of the network's raw output.
    pub logits: usize,
    pub classes: usize,
    pub input: PixelFormat,
    pub outputs: Vec<OutputRequest>,
    /// The host's channels that become the network's.
    pub pick: [u32; 4],
    /// Whether three colours become grey.
    pub grey: bool,
    /// The host's channels that an overlay shows.
    pub shown: Vec<u32>,
    pub rule: Rule,
    /// Probability plane of class 1.
    pub first_plane: usize,
}

impl Layout {
    pub(super) fn of(model: &Model, options: &FrameOptions) -> Result<Self> {
        let FrameOptions { size, exact, input, outputs, .. } = options;
        if let Some(why) = model.architecture.unfit() {
            return Err(Error::invalid(&model.name, format!("{why}; it cannot segment")));
        }
        if size.contains(&0) || outputs.is_empty() {
            return Err(Error::invalid("frame", format!("{}x{} pixels, {} outputs", size[1], size[0], outputs.len())));
        }
        if let Some([h, w]) = exact.iter().find(|e| e.contains(&0) || e[0] > size[0] || e[1] > size[1]) {
            return Err(Error::invalid("frame", format!("{w}x{h} pixels are not inside {}x{}", size[1], size[0])));
        }
        let mut tiles = vec![tile(model, *size)?];
        for &size in exact {
            let tile = tile(model, size)?;
            if !tiles.contains(&tile) {
                tiles.push(tile);
            }
        }
        let channels = model.architecture.in_channels();
        let host = SourceInfo {
            width: size[1],
            height: size[0],
            channels: input.channels,
            sample: input.sample.sample(),
            kind: input.kind,
        };
        let (picks, grey) = ChannelMap::of(&host, &[], channels)?.picks(input.channels);
        if picks.iter().enumerate().skip(4).any(|(i, &c)| c != i) {
            return Err(Error::invalid("frame", "alpha must be the last of more than four channels"));
        }
        let ordered = |c: usize| if input.bgr && c < 3 { 2 - c as u32 } else { c as u32 };
        let mut pick = [0; 4];
        pick.iter_mut().zip(&picks).for_each(|(to, &c)| *to = ordered(c));
        let visible = (0..input.channels).filter(|&c| input.kind.alpha != Alpha::At(c)).take(3).map(ordered);
        let mut shown: Vec<u32> = visible.collect();
        if let [one] = shown[..] {
            shown = vec![one; 3];
        }
        let (planes, classes) = (model.planes(), model.classes().len());
        for request in outputs {
            match request.output {
                FrameOutput::Mask if classes > MAX_CLASSES => {
                    return Err(Error::invalid("mask", format!("{classes} classes do not fit 8 bits")));
                }
                FrameOutput::Probability { class, .. } if class >= classes || (planes < classes && class == 0) => {
                    return Err(Error::invalid("probability", format!("there is no plane of class {class}")));
                }
                FrameOutput::Logits if request.place == OutputPlace::Texture => {
                    return Err(Error::invalid("logits", "go into a buffer, no texture holds their planes"));
                }
                _ => {}
            }
        }
        Ok(Self {
            size: *size,
            tiles,
            margin: model.architecture.size_rule().margin,
            channels,
            logits: model.architecture.out_channels(),
            classes,
            input: *input,
            outputs: outputs.clone(),
            pick,
            grey,
            shown,
            rule: Rule::of(&model.metadata.normalisation, SourceInfo { channels, ..host })?,
            first_plane: usize::from(planes == classes),
        })
    }

    /// Rows and columns of a network's input.
    pub(super) fn tile(&self, network: usize) -> [usize; 2] {
        self.tiles.get(network).copied().unwrap_or(self.tiles[0])
    }

    /// Rows and columns of a network's output.
    pub(super) fn output(&self, network: usize) -> [usize; 2] {
        self.tile(network).map(|n| n - 2 * self.margin)
    }

    /// The smallest network that holds an image. It is the segmenter's if one has the size that the segmenter takes.
    pub(super) fn network(&self, size: [usize; 2]) -> usize {
        let holds = |&i: &usize| (0..2).all(|axis| self.output(i)[axis] >= size[axis]);
        let area = |&i: &usize| self.tile(i)[0] * self.tile(i)[1];
        (0..self.tiles.len()).filter(holds).min_by_key(area).unwrap_or(0)
    }

    /// Bytes of the host's pixels as they are copied: rows apart as texture copies need it.
    pub(super) fn pixel_bytes(&self) -> u64 {
        let row = (self.size[1] * self.input.bytes()).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize);
        // A row of a plane that begins inside a word takes one word more.
        ((row + 4 * self.input.channels) * self.size[0]) as u64
    }

    /// Number of counts by value, or by half a key.
    pub(super) fn counts(&self) -> usize {
        if self.input.sample.bytes() == 1 { 1 << 8 } else { HALF }
    }

    /// Channels whose statistics are separate.
    pub(super) fn measured(&self) -> usize {
        if self.pooled() { 1 } else { self.channels }
    }

    pub(super) fn pooled(&self) -> bool {
        matches!(self.rule, Rule::Measured { pooled: true, .. })
    }

    /// The steps of the normalisation that depend on the image.
    pub(super) fn measured_steps(&self) -> &[Measured] {
        match &self.rule {
            Rule::Measured { steps, .. } => steps,
            Rule::Fixed(_) => &[],
        }
    }

    fn percentiles(&self) -> bool {
        self.measured_steps().iter().any(|s| matches!(s.statistic, Statistic::Percentiles(_)))
    }

    /// Whether values are counted or compared, in memory that is zero at first.
    pub(super) fn counts_values(&self) -> bool {
        self.measured_steps().iter().any(|s| s.statistic != Statistic::Deviation)
    }

    /// Words of counts and extremes per measured channel.
    pub(super) fn stats_words(&self) -> usize {
        match (self.percentiles(), self.input.sample.integers()) {
            (true, true) => HEAD + self.counts(),
            (true, false) => HEAD + 5 * HALF,
            (false, _) => HEAD,
        }
    }

    /// Workgroups that read an image of so many pixels.
    pub(super) fn groups(count: usize) -> usize {
        (count / 4096).clamp(1, 1024)
    }

    /// Words of sums per measured channel.
    pub(super) fn sums_words(&self) -> usize {
        let shares = if self.pooled() { self.channels } else { 1 };
        2 + shares * Self::groups(self.size[0] * self.size[1])
    }

    /// Bytes of a result of the largest image.
    pub(super) fn result_bytes(&self, request: &OutputRequest) -> u64 {
        self.result_bytes_of(request, Roi::of_size(self.size[1] as u32, self.size[0] as u32))
    }

    /// Bytes of a result of an image.
    pub(super) fn result_bytes_of(&self, request: &OutputRequest, roi: Roi) -> u64 {
        let planes = if request.output == FrameOutput::Logits { self.logits } else { 1 };
        (request.row_bytes(roi.width as usize) * roi.height as usize * planes) as u64
    }

    /// Whether any result is, or is made from, the output of that name.
    pub(super) fn needs(&self, name: &str) -> bool {
        let made = |o: &FrameOutput| if matches!(o, FrameOutput::Overlay(_)) { "mask" } else { o.name() };
        self.outputs.iter().any(|r| made(&r.output) == name)
    }
}

/// Rows and columns of the network's input for a whole image, as the segmenter runs it when it is a single tile.
fn tile(model: &Model, size: [usize; 2]) -> Result<[usize; 2]> {
    let architecture = &*model.architecture;
    let (rule, fixed) = (architecture.size_rule(), architecture.fixed_size());
    let fits = |tile: [usize; 2]| match (0..2).find(|&i| tile[i] < size[i] + 2 * rule.margin) {
        None => Ok(tile),
        Some(_) => {
            let reason = format!("the network takes {}x{}, {} less on each side", tile[1], tile[0], rule.margin);
            Err(Error::invalid(format!("frame of {}x{}", size[1], size[0]), reason))
        }
    };
    if fixed == [None; 2] && !architecture.ruled() {
        return fits(architecture.tried_size(size)?);
    }
    let legal = |length: usize| {
        let over = (length + 2 * rule.margin).saturating_sub(rule.minimum);
        rule.minimum + over.next_multiple_of(rule.step.max(1))
    };
    // As the segmenter's windows of networks with a fixed axis.
    let free = |length: usize| if fixed == [None; 2] { legal(length) } else { length.max(rule.minimum) };
    fits([0, 1].map(|i| fixed[i].unwrap_or(free(size[i]))))
}

/// A network's graph, from raw pixels to what the results are made from.
pub(super) fn graph(model: &Model, layout: &Layout, network: usize) -> Result<Graph> {
    let request = TileRequest {
        mask: layout.needs(MASK),
        probabilities: layout.needs(PROBABILITY),
        logits: layout.needs(LOGITS),
        ..TileRequest::default()
    };
    let batch = TileBatch { tiles: 1, shape: layout.tile(network) };
    Ok(tile_graph(model, batch, request, model.planes())?.graph)
}
