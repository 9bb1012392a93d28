//! Random networks of the family, each a function of its seed.

use serde_json::{Map, Value, json};
use std::fmt;
use unet_wgpu::low_level::model::{Model, parse, whole_graph};
use unet_wgpu::low_level::tensor::HostTensor;
use unet_wgpu::low_level::weights::{Checkpoint, InstanceTarget, ModelMetadata, Normalisation};
use unet_wgpu::testing::random_parameter;

/// Longest side of a network's input.
const MAX_SIDE: usize = 96;
/// Multiply-adds of the reference, which is plain loops.
const MAX_MACS: u64 = 20_000_000;

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `least` to `most`.
    pub(crate) fn within(&mut self, least: usize, most: usize) -> usize {
        least + (self.next() % (most - least + 1) as u64) as usize
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.within(1, n) == 1
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.within(0, from.len() - 1)]
    }
}

/// A network with the input of a run, and an image to segment.
pub(crate) struct Case {
    pub seed: u64,
    pub arch: &'static str,
    pub config: Value,
    pub target: Option<InstanceTarget>,
    pub normalisation: Normalisation,
    /// `[N, C, H, W]` of the bare network.
    pub input: [usize; 4],
    /// Width and height of an image.
    pub image: [usize; 2],
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { seed, arch, config, target, normalisation, input, image: [w, h] } = self;
        write!(f, "seed {seed}: {arch} {config}, input {input:?}, image {w}x{h}")?;
        if let Some(target) = target {
            write!(f, ", target {target}")?;
        }
        write!(f, ", {}", serde_json::to_string(normalisation).map_err(|_| fmt::Error)?)
    }
}

impl Case {
    pub(crate) fn new(seed: u64) -> Self {
        let mut r = Random::new(seed);
        let arch = r.pick(&["unet", "unetpp", "unet3p"]);
        let mut options = Map::new();
        let depth = common(&mut r, &mut options);
        match arch {
            "unet" => unet(&mut r, &mut options),
            "unetpp" => unet_plus_plus(&mut r, &mut options, depth),
            _ => unet_3_plus(&mut r, &mut options),
        }
        let target = target(&mut r, arch, &mut options);
        let normalisation = normalisation(&mut r);
        let config = Value::Object(options);
        let input = input(&mut r, arch, &config);
        let image = [r.within(1, MAX_SIDE), r.within(1, MAX_SIDE)];
        Self { seed, arch, config, target, normalisation, input, image }
    }

    /// The network with random weights.
    pub(crate) fn model(&self) -> unet_wgpu::Result<Model> {
        let architecture = parse(self.arch, &self.config)?;
        let size = architecture.size_rule().minimum;
        let graph = whole_graph(&*architecture, 1, size, size)?;
        let weight = |(name, dims): (&str, &[usize])| Ok((name.to_string(), self.parameter(name, dims)?));
        let weights = graph.parameters().map(weight).collect::<unet_wgpu::Result<_>>()?;
        let metadata = ModelMetadata {
            format: 1,
            arch: self.arch.into(),
            config: self.config.clone(),
            normalisation: self.normalisation.clone(),
            classes: vec![],
            target: self.target,
            instances: None,
            scale: None,
            recipe: None,
        };
        Model::new("random", Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() })
    }

    fn parameter(&self, name: &str, dims: &[usize]) -> unet_wgpu::Result<HostTensor> {
        random_parameter(&format!("{}.{name}", self.seed), dims)
    }
}

/// The options that all have; returns the depth.
fn common(r: &mut Random, options: &mut Map<String, Value>) -> usize {
    let mut set = |key: &str, value: Value| options.insert(key.into(), value);
    set("in_channels", r.pick(&[1, 1, 1, 2, 3, 4]).into());
    set("out_channels", r.within(1, 4).into());
    let depth = r.pick(&[1, 2, 2, 3, 3, 4]);
    set("depth", depth.into());
    if r.once_in(3) {
        set("widths", (0..=depth).map(|_| r.within(2, 16)).collect::<Vec<_>>().into());
    } else {
        set("width", r.within(2, 8).into());
    }
    set("norm", r.once_in(2).into());
    depth
}

fn unet(r: &mut Random, options: &mut Map<String, Value>) {
    let mut set = |key: &str, value: Value| options.insert(key.into(), value);
    set("padding", r.pick(&["same", "same", "valid"]).into());
    let up = r.pick(&["transpose", "bilinear", "nearest_conv"]);
    set("up", up.into());
    match up {
        "transpose" => set("up_relu", r.once_in(3).into()),
        "bilinear" => {
            set("align_corners", r.once_in(4).into());
            set("slim", r.once_in(3).into())
        }
        _ => None,
    };
    if r.once_in(3) {
        set("conv_bias", r.once_in(2).into());
    }
    if r.once_in(4) {
        set("last_up_channels", r.within(1, 9).into());
    }
    set("skip_first", r.once_in(2).into());
}

fn unet_plus_plus(r: &mut Random, options: &mut Map<String, Value>, depth: usize) {
    let mut set = |key: &str, value: Value| options.insert(key.into(), value);
    if r.once_in(2) {
        set("level", r.within(1, depth).into());
    }
    set("deep_supervision", r.once_in(2).into());
    let up = r.pick(&["transpose", "bilinear"]);
    set("up", up.into());
    if up == "bilinear" {
        set("align_corners", r.once_in(4).into());
    }
    if r.once_in(3) {
        set("conv_bias", r.once_in(2).into());
    }
    set("skip_first", r.once_in(2).into());
}

fn unet_3_plus(r: &mut Random, options: &mut Map<String, Value>) {
    let mut set = |key: &str, value: Value| options.insert(key.into(), value);
    if r.once_in(2) {
        set("cat", r.within(1, 8).into());
    }
    set("conv_bias", r.once_in(2).into());
    let deep = r.once_in(2);
    set("deep_supervision", deep.into());
    if deep && r.once_in(2) {
        set("cgm", true.into());
        set("cgm_gate", r.pick(&["prob", "logit"]).into());
    }
    set("activation", r.pick(&["sigmoid", "softmax"]).into());
    set("align_corners", r.once_in(4).into());
}

/// Heads that predict geometry, with the channels that they need.
fn target(r: &mut Random, arch: &str, options: &mut Map<String, Value>) -> Option<InstanceTarget> {
    if !r.once_in(4) || options.get("cgm").is_some() {
        return None;
    }
    let target = r.pick(&[InstanceTarget::Multi, InstanceTarget::Distance, InstanceTarget::Border]);
    // Channels for several classes of instances come after those of one.
    let several = if target.is_geometry() { r.pick(&[0, 0, 2]) } else { 0 };
    options.insert("out_channels".into(), (target.planes() + several).into());
    if arch == "unet3p" && target == InstanceTarget::Border {
        options.insert("activation".into(), "softmax".into());
    }
    Some(target)
}

fn normalisation(r: &mut Random) -> Normalisation {
    match r.within(0, 4) {
        0 => Normalisation::Unit,
        1 => Normalisation::Percentile { low: 1.0, high: 99.8, clamp: Some([0.0, 1.5]) },
        2 => Normalisation::MinMax,
        3 => Normalisation::ZScore,
        _ => Normalisation::Fixed { mean: vec![0.4], std: vec![0.2] },
    }
}

/// A legal input; odd if the network takes it.
fn input(r: &mut Random, arch: &str, config: &Value) -> [usize; 4] {
    let architecture = parse(arch, config).unwrap();
    let rule = architecture.size_rule();
    let step = if arch == "unet" && config["padding"] == "same" { 1 } else { rule.step };
    let steps = MAX_SIDE.saturating_sub(rule.minimum) / step;
    let mut side = || rule.minimum + step * r.within(0, steps);
    let [mut h, mut w] = [side(), side()];
    let macs = |h: usize, w: usize| whole_graph(&*architecture, 1, h, w).unwrap().macs();
    while macs(h, w) > MAX_MACS && h.max(w) > rule.minimum {
        let longer = if h > w { &mut h } else { &mut w };
        *longer -= step * (*longer - rule.minimum).div_ceil(step).div_ceil(4);
    }
    let batch = if macs(h, w) < MAX_MACS / 2 { r.within(1, 2) } else { 1 };
    [batch, architecture.in_channels(), h, w]
}

/// A case prints as what makes it again.
#[test]
fn a_case_is_a_function_of_its_seed() {
    let cases: Vec<String> = (0..50).map(|seed| Case::new(seed).to_string()).collect();
    let again: Vec<String> = (0..50).map(|seed| Case::new(seed).to_string()).collect();
    assert_eq!(cases, again);
    let has = |part: Value| {
        let part = part.to_string();
        cases.iter().any(|c| c.contains(&part[1..part.len() - 1]))
    };
    for part in [
        json!({"padding": "valid"}),
        json!({"padding": "same"}),
        json!({"up": "transpose"}),
        json!({"up": "bilinear"}),
        json!({"up": "nearest_conv"}),
        json!({"deep_supervision": true}),
        json!({"activation": "softmax"}),
        json!({"cgm": true}),
        json!({"level": 1}),
        json!({"depth": 4}),
    ] {
        assert!(has(part.clone()), "no case has {part}");
    }
    for target in ["multi", "distance", "border"] {
        assert!(cases.iter().any(|c| c.contains(&format!("target {target}"))), "no case has the target {target}");
    }
}
