//! The kernels around the network, as data: from the host's pixels to the network's input, from its output to the results.

use super::format::{ColourOrder, FrameOutput, OutputRequest};
use super::layout::Layout;
use super::rules::Statistic;
use crate::infer::TINT;
use crate::kernel::{KernelKey, Params, shader_struct};

shader_struct! {
    /// Parameters of `frame_in`.
    struct InParams {
        pick: [u32; 4],
        first: u32,
        row: u32,
        pixel: u32,
        channel: u32,
        w: u32,
        h: u32,
        columns: u32,
        plane: u32,
    }

    /// Parameters of `frame_count`.
    struct CountParams {
        w: u32,
        count: u32,
        columns: u32,
        plane: u32,
        stride: u32,
        words: u32,
    }

    /// Parameters of `frame_select`.
    struct SelectParams {
        ranks: [u32; 4],
        between: [f32; 2],
        words: u32,
        chunk: u32,
    }

    /// Parameters of `frame_sum`.
    struct SumParams {
        w: u32,
        count: u32,
        columns: u32,
        plane: u32,
        stride: u32,
        words: u32,
        pooled: u32,
    }

    /// Parameters of `frame_sum_end`.
    struct SumEndParams {
        words: u32,
        partials: u32,
        count: f32,
    }

    /// Parameters of `frame_affine`.
    struct AffineParams {
        c: u32,
        first: u32,
        stats_words: u32,
        sums_words: u32,
    }

    /// Parameters of `frame_plane`.
    struct PlaneParams {
        first: u32,
        columns: u32,
        plane: u32,
        w: u32,
        h: u32,
        row_words: u32,
        plane_words: u32,
    }

    /// Parameters of `frame_overlay`.
    struct OverlayParams {
        pick: [u32; 4],
        first: u32,
        row: u32,
        pixel: u32,
        channel: u32,
        w: u32,
        h: u32,
        columns: u32,
        row_words: u32,
        unit: f32,
        tint: u32,
        shown: u32,
        classes: u32,
    }
}

/// What a kernel binds after its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// The host's pixels.
    Pixels,
    /// The network's input: raw values, then position and normalisation.
    Window,
    Info,
    Stats,
    Sums,
    Rules,
    Palette,
    /// Outputs of the network.
    Mask,
    Probability,
    Logits,
    /// A result, by its number.
    Result(usize),
}

/// A dispatch around the network; the last binding is written.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub kernel: KernelKey,
    pub params: Params,
    pub bindings: Vec<Bound>,
    pub workgroups: [u32; 3],
}

/// Where the samples of an image are among the copied pixels: everything that decides the parameters of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// Rows and columns.
    pub size: [usize; 2],
    /// The network that runs it.
    pub network: usize,
    pub first: u32,
    pub row: u32,
    pub pixel: u32,
    pub channel: u32,
}

fn grid(w: usize, h: usize, planes: usize) -> [u32; 3] {
    [w.div_ceil(16) as u32, h.div_ceil(4) as u32, planes as u32]
}

/// From the host's pixels to the network's input.
pub(super) fn before(layout: &Layout, place: Placement) -> Vec<Step> {
    let Placement { size: [height, width], network, first, row, pixel, channel } = place;
    let (w, h) = (width as u32, height as u32);
    let tile = layout.tile(network);
    let (columns, plane) = (tile[1] as u32, (tile[0] * tile[1]) as u32);
    let sample = layout.input.sample;
    let params = InParams { pick: layout.pick, first, row, pixel, channel, w, h, columns, plane };
    let kernel = KernelKey::new("frame_in").flag(sample.constant(), true).flag("GREY", layout.grey);
    let mut steps = vec![Step {
        kernel: kernel.flag("INTEGERS", layout.grey && sample.integers()),
        params: params.into(),
        bindings: vec![Bound::Pixels, Bound::Window],
        workgroups: grid(width, height, layout.channels),
    }];
    steps.extend(statistics(layout, place));
    steps
}

/// Statistics of an image, one after another, each followed by the step of the normalisation that depends on it. What an earlier
/// step has found is not computed anew.
fn statistics(layout: &Layout, place: Placement) -> Vec<Step> {
    let Placement { size: [height, width], network, .. } = place;
    let tile = layout.tile(network);
    let (w, columns, plane) = (width as u32, tile[1] as u32, (tile[0] * tile[1]) as u32);
    let (channels, measured, pooled) = (layout.channels as u32, layout.measured() as u32, layout.pooled());
    let pixels = width * height;
    let (count, groups) = (pixels as u32, Layout::groups(pixels) as u32);
    let each = |words: usize| if pooled { 0 } else { words as u32 };
    let (stats_words, sums_words) = (each(layout.stats_words()), each(layout.sums_words()));
    let counting = |constant: &'static str| Step {
        kernel: KernelKey::new("frame_count").flag(constant, true),
        params: CountParams { w, count, columns, plane, stride: 256 * groups, words: stats_words }.into(),
        bindings: vec![Bound::Window, Bound::Stats],
        workgroups: [groups, channels, 1],
    };
    let mut steps = Vec::new();
    // The percentiles that the counts hold, if values are counted already, and whether the moments are there.
    let (mut found, mut moments) = (None, false);
    for (number, step) in layout.measured_steps().iter().enumerate() {
        let constant = match step.statistic {
            Statistic::Percentiles(q) => {
                let places = q.map(|q| place_of(q, pixels * if pooled { layout.channels } else { 1 }));
                let [(low, a), (high, b)] = places;
                let (ranks, between) = ([low[0], low[1], high[0], high[1]], [a, b]);
                let chunk = (layout.counts() / 256) as u32;
                let selecting = |key: KernelKey| Step {
                    kernel: key,
                    params: SelectParams { ranks, between, words: stats_words, chunk }.into(),
                    bindings: vec![Bound::Stats],
                    workgroups: [measured, 1, 1],
                };
                let key = |pass| KernelKey::new("frame_select").flag(pass, true);
                match (found.is_some(), layout.input.sample.integers()) {
                    _ if found == Some(q) => {}
                    (false, true) => steps.extend([counting("INTEGERS"), selecting(key("INTEGERS"))]),
                    (true, true) => steps.push(selecting(key("INTEGERS"))),
                    (again, false) => {
                        if !again {
                            steps.push(counting("COARSE"));
                        }
                        steps.push(selecting(key("COARSE").flag("AGAIN", again)));
                        steps.extend([counting("FINE"), selecting(key("FINE"))]);
                    }
                }
                found = Some(q);
                "PERCENTILES"
            }
            Statistic::Extremes => {
                steps.push(counting("EXTREMES"));
                "EXTREMES"
            }
            Statistic::Deviation => {
                let shares = if pooled { channels } else { 1 };
                let (stride, words) = (256 * groups, sums_words);
                let sum =
                    SumParams { w, count, columns, plane, stride, words, pooled: if pooled { groups } else { 0 } };
                let end = SumEndParams { words, partials: groups * shares, count: (pixels * shares as usize) as f32 };
                for squares in [false, true].into_iter().filter(|_| !moments) {
                    let key = |name| KernelKey::new(name).flag("SQUARES", squares);
                    steps.push(Step {
                        kernel: key("frame_sum"),
                        params: sum.into(),
                        bindings: vec![Bound::Window, Bound::Sums],
                        workgroups: [groups, channels, 1],
                    });
                    steps.push(Step {
                        kernel: key("frame_sum_end"),
                        params: end.into(),
                        bindings: vec![Bound::Sums],
                        workgroups: [measured, 1, 1],
                    });
                }
                moments = true;
                "DEVIATION"
            }
        };
        let first = number as u32 * channels;
        steps.push(Step {
            kernel: KernelKey::new("frame_affine").flag(constant, true),
            params: AffineParams { c: channels, first, stats_words, sums_words }.into(),
            bindings: vec![Bound::Rules, Bound::Stats, Bound::Sums, Bound::Info],
            workgroups: [channels.div_ceil(64), 1, 1],
        });
    }
    steps
}

/// The two ranks that a percentile lies between, and its distance from the first, as the host computes them.
fn place_of(q: f64, count: usize) -> ([u32; 2], f32) {
    let rank = (count - 1) as f64 * (q / 100.0);
    let below = (rank.floor().max(0.0) as usize).min(count - 1);
    ([below as u32, (below + 1).min(count - 1) as u32], (rank - rank.floor()) as f32)
}

/// From the network's output to the results.
pub(super) fn after(layout: &Layout, place: Placement) -> Vec<Step> {
    layout.outputs.iter().enumerate().map(|(i, request)| result(layout, place, i, request)).collect()
}

fn result(layout: &Layout, place: Placement, index: usize, request: &OutputRequest) -> Step {
    let Placement { size: [height, width], network, first, row, pixel, channel } = place;
    let (w, h) = (width as u32, height as u32);
    let [rows, columns] = layout.output(network);
    let row_words = (request.row_bytes(width) / 4) as u32;
    let to = Bound::Result(index);
    if let FrameOutput::Overlay(order) = request.output {
        let mut pick = [0; 4];
        pick.iter_mut().zip(&layout.shown).for_each(|(to, &c)| *to = c);
        let (unit, shown) = (layout.input.sample.sample().unit() as f32, layout.shown.len() as u32);
        let columns = columns as u32;
        let (tint, classes) = (TINT, layout.classes as u32);
        let params =
            OverlayParams { pick, first, row, pixel, channel, w, h, columns, row_words, unit, tint, shown, classes };
        let kernel = KernelKey::new("frame_overlay").flag(layout.input.sample.constant(), true);
        return Step {
            kernel: kernel.flag("BGRA", order == ColourOrder::Bgra),
            params: params.into(),
            bindings: vec![Bound::Pixels, Bound::Mask, Bound::Palette, to],
            workgroups: grid(width, height, 1),
        };
    }
    let (from, plane, planes) = match request.output {
        FrameOutput::Probability { class, .. } => (Bound::Probability, class + layout.first_plane - 1, 1),
        FrameOutput::Logits => (Bound::Logits, 0, layout.logits),
        _ => (Bound::Mask, 0, 1),
    };
    let (each, words) = (rows * columns, width.div_ceil(4 / request.output.bytes()));
    let params = PlaneParams {
        first: (plane * each) as u32,
        columns: columns as u32,
        plane: each as u32,
        w,
        h,
        row_words,
        plane_words: row_words * h,
    };
    Step {
        kernel: KernelKey::new("frame_plane").flag(request.output.constant(), true),
        params: params.into(),
        bindings: vec![from, to],
        workgroups: grid(words, height, planes),
    }
}

/// Every kernel with parameters, and which of its bindings are written, for tests.
#[doc(hidden)]
pub fn example_kernels() -> Vec<(KernelKey, Params, Vec<bool>)> {
    let mut all = Vec::new();
    let mut add = |name, constants: &[&'static str], params: Params, reads: usize| {
        let key = constants.iter().fold(KernelKey::new(name), |key, c| key.flag(c, true));
        all.push((key, params, (0..=reads).map(|i| i == reads).collect()));
    };
    for sample in ["U8", "U16", "HALF", "FLOAT"] {
        add("frame_in", &[sample], InParams::default().into(), 1);
        add("frame_in", &[sample, "GREY"], InParams::default().into(), 1);
        add("frame_overlay", &[sample], OverlayParams::default().into(), 3);
    }
    add("frame_in", &["U8", "GREY", "INTEGERS"], InParams::default().into(), 1);
    add("frame_overlay", &["U8", "BGRA"], OverlayParams::default().into(), 3);
    for pass in ["INTEGERS", "COARSE", "FINE"] {
        add("frame_count", &[pass], CountParams::default().into(), 1);
        add("frame_select", &[pass], SelectParams::default().into(), 0);
    }
    add("frame_select", &["COARSE", "AGAIN"], SelectParams::default().into(), 0);
    add("frame_count", &["EXTREMES"], CountParams::default().into(), 1);
    for squares in [&[][..], &["SQUARES"]] {
        add("frame_sum", squares, SumParams::default().into(), 1);
        add("frame_sum_end", squares, SumEndParams::default().into(), 0);
    }
    for statistic in ["PERCENTILES", "EXTREMES", "DEVIATION"] {
        add("frame_affine", &[statistic], AffineParams::default().into(), 3);
    }
    for format in ["IDS", "UNORM", "HALF", "WORDS"] {
        add("frame_plane", &[format], PlaneParams::default().into(), 1);
    }
    all
}
