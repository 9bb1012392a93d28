//! Tuning. Every kernel family that applies to a network's convolutions is checked against the CPU reference and timed
//! on the user's device; the fastest is chosen for convolutions of that class. Then the whole network is timed with
//! tensors in buffers and in textures.

mod file;
mod storage;

#[cfg(feature = "std-fs")]
pub use file::{load, save};
pub use file::{parse, write};
#[cfg(not(target_arch = "wasm32"))]
pub use storage::tune_storage;
pub use storage::{StorageCandidate, StorageMeasurement, tune_storage_async};

use crate::clock::Instant;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::graph::{Graph, Node};
use crate::kernel::{ConvClass, ConvFamily, Target, Tuning};
use crate::ops::{FusedConv2d, InputKind, OpCase, Source};
use crate::plan::Plan;
use crate::session::Session;
use crate::tensor::{Comparison, HostTensor, Shape, TensorDesc};
use crate::testing::{case_graph, check_case_with_async, lowered, tolerance};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Timed runs per candidate that is near the fastest.
const ROUNDS: usize = 7;
/// Candidates slower than this factor times the fastest are not run again.
const HOPELESS: f64 = 2.0;
/// Minimum relative gain over the default choice: less is noise.
const GAIN: f64 = 0.03;
/// Multiply-adds of the small convolution that candidates are checked on: at most a second for the reference.
const CHECK_MACS: usize = 300_000_000;

/// Result of a kernel family for a convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The family.
    pub family: ConvFamily,
    /// Fastest run in milliseconds, or why it was rejected: it fails on the device, or its result is wrong.
    pub outcome: std::result::Result<f64, String>,
}

/// Measurements of a class of convolutions.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The class.
    pub class: ConvClass,
    /// Labels of the layers that belong to it; the first was measured.
    pub layers: Vec<String>,
    /// All families that apply.
    pub candidates: Vec<Candidate>,
    /// The family without tuning.
    pub usual: ConvFamily,
    /// The chosen family; `None` if no candidate is correct.
    pub chosen: Option<ConvFamily>,
}

/// The convolutions of a graph (after rewrites) by class: the labels and one of them as a case.
fn convolutions(graph: &Graph) -> Result<BTreeMap<ConvClass, (Vec<String>, OpCase)>> {
    let mut classes: BTreeMap<ConvClass, (Vec<String>, OpCase)> = BTreeMap::new();
    for node in graph.nodes() {
        let Some(op) = FusedConv2d::of(&*node.op).filter(|op| op.conv.groups == 1) else { continue };
        let (inputs, outputs) = (graph.descs(&node.inputs), graph.descs(&node.outputs));
        let entry = classes.entry(op.class(&inputs, outputs[0].shape));
        entry.or_insert_with(|| (Vec::new(), case(node, &op, &inputs))).0.push(node.label.clone());
    }
    Ok(classes)
}

fn case(node: &Node, op: &FusedConv2d, inputs: &[TensorDesc]) -> OpCase {
    let kind = |i: usize| if i < op.sources.len() { InputKind::Data } else { InputKind::Parameter };
    let inputs = inputs.iter().enumerate().map(|(i, &d)| (d, kind(i))).collect();
    OpCase { name: node.label.clone(), op: node.op.clone(), inputs }
}

/// The same convolution on fewer pixels.
fn small(op: &FusedConv2d, case: &OpCase) -> OpCase {
    // Sources are not cropped; upsampling stays.
    let sources: Vec<Source> = op.sources.iter().map(|s| Source { top: 0, left: 0, ..*s }).collect();
    let factor = |s: &Source| s.upsample.map_or(1, |e| e.1.max(1));
    let step = op.sources.iter().map(factor).max().unwrap_or(1);
    let weight = case.inputs[op.weight_input()].0.shape;
    let pixels = CHECK_MACS / weight.len().max(1);
    // Not a multiple of any tile, so that edges are checked too, and larger than the kernel's reach.
    let reach = |axis: usize| op.conv.dilation[axis] * (op.conv.kernel[axis] - 1);
    let [h, w] = [0, 1].map(|axis| (pixels.isqrt().clamp(5, 37) + axis + reach(axis)).next_multiple_of(step));
    let mut inputs = case.inputs.clone();
    for ((desc, _), source) in inputs.iter_mut().zip(&op.sources) {
        *desc = TensorDesc::blocked(Shape::new(1, desc.shape.c, h / factor(source), w / factor(source)));
    }
    let op = FusedConv2d { sources, region: None, ..op.clone() };
    OpCase { name: format!("{} on {h}x{w} pixels", case.name), op: Arc::new(op), inputs }
}

/// A target that forces a family, if the family applies to the convolution.
fn forced(gpu: &Gpu, case: &OpCase, family: ConvFamily) -> Option<Target> {
    let target = gpu.target().clone().with_tuning(None).with_conv(family);
    let chosen = lowered(&target, case).ok()?.choice?.family;
    (chosen == family).then_some(target)
}

/// A session with the convolution's own dispatches only.
async fn session(gpu: &Gpu, target: &Target, case: &OpCase, inputs: &[HostTensor]) -> Result<Session> {
    let mut plan = Plan::new(&case_graph(case)?, target)?;
    plan.dispatches.retain(|s| s.label == case.name);
    let stored = |name: &str, _: &[usize]| {
        let index = name.get(1..).and_then(|i| i.parse::<usize>().ok());
        let found = index.and_then(|i| inputs.get(i)).cloned();
        found.ok_or_else(|| Error::ParameterMissing { key: name.into(), nearest: None })
    };
    Session::new_async(gpu, plan, stored).await
}

async fn run(session: &mut Session) -> Result<f64> {
    let start = Instant::now();
    session.run_async().await?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Fastest run in milliseconds, or why a candidate was rejected.
type Outcome = std::result::Result<f64, String>;

/// The first run compiles; the second counts.
async fn first_runs(session: Result<Session>) -> (Outcome, Option<Session>) {
    match warm_and_time(session).await {
        Ok((ms, s)) => (Ok(ms), Some(s)),
        Err(e) => (Err(e.to_string()), None),
    }
}

async fn warm_and_time(session: Result<Session>) -> Result<(f64, Session)> {
    let mut session = session?;
    run(&mut session).await?;
    Ok((run(&mut session).await?, session))
}

/// Runs candidates that are near the fastest round-robin, and records the minimum time of each.
async fn in_rounds(outcomes: &mut [Outcome], sessions: &mut [Option<Session>]) -> Result<()> {
    for _ in 1..ROUNDS {
        let hopeless = HOPELESS * fastest(outcomes);
        for (outcome, session) in outcomes.iter_mut().zip(&mut *sessions) {
            if let (Ok(min), Some(session)) = (outcome, session)
                && *min <= hopeless
            {
                *min = min.min(run(session).await?);
            }
        }
    }
    Ok(())
}

fn fastest(outcomes: &[Outcome]) -> f64 {
    outcomes.iter().filter_map(|o| o.clone().ok()).fold(f64::INFINITY, f64::min)
}

/// The index of the choice: the default if it is near the fastest, else the fastest.
fn choose(outcomes: &[Outcome], usual: Option<usize>) -> Option<usize> {
    let best = fastest(outcomes);
    let near = |&i: &usize| outcomes[i].as_ref().is_ok_and(|&ms| ms <= best * (1.0 + GAIN));
    usual.filter(near).or_else(|| outcomes.iter().position(|o| *o == Ok(best)))
}

/// Why a family must be rejected, if so. `compared` is its result on a small convolution against the reference.
fn fault(target: &Target, small: &OpCase, compared: Result<Comparison>) -> Option<String> {
    match compared.and_then(|c| Ok((c, tolerance(target, small)?))) {
        Err(e) => Some(e.to_string()),
        // Written so that NaN is a fault.
        Ok((c, max)) if c.max_error <= max * c.scale => None,
        Ok((c, max)) => {
            let off = c.max_error / c.scale;
            Some(format!("differs from the reference by {off:.1e} of its scale, {max:.0e} is allowed"))
        }
    }
}

async fn measure(
    gpu: &Gpu,
    class: ConvClass,
    layers: Vec<String>,
    case: &OpCase,
    check: impl AsyncFn(&Target, &OpCase) -> Result<Comparison>,
) -> Result<Measurement> {
    let op = FusedConv2d::of(&*case.op).ok_or_else(|| Error::op(&case.name, "is not a convolution"))?;
    let usual = gpu.target().clone().with_tuning(None);
    let usual = lowered(&usual, case)?.choice.map_or(ConvFamily::Plain, |c| c.family);
    let small = small(&op, case);
    let inputs = case.inputs()?;
    let mut families = Vec::new();
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut sessions = Vec::new();
    for family in ConvFamily::ALL {
        let Some(target) = forced(gpu, case, family) else { continue };
        let (outcome, session) = match fault(&target, &small, check(&target, &small).await) {
            Some(why) => (Err(why), None),
            None => first_runs(session(gpu, &target, case, &inputs).await).await,
        };
        families.push(family);
        outcomes.push(outcome);
        sessions.push(session);
    }
    in_rounds(&mut outcomes, &mut sessions).await?;
    let chosen = choose(&outcomes, families.iter().position(|&f| f == usual)).map(|i| families[i]);
    let candidates =
        families.into_iter().zip(outcomes).map(|(family, outcome)| Candidate { family, outcome }).collect();
    Ok(Measurement { class, layers, candidates, usual, chosen })
}

/// Measures every class of convolutions in a graph (after rewrites). Takes seconds to minutes; `progress(done, of)` may
/// cancel by an error. Pass the result through [`choices`] to [`Gpu::with_tuning`].
#[cfg(not(target_arch = "wasm32"))]
pub fn tune(gpu: &Gpu, graph: &Graph, progress: impl FnMut(usize, usize) -> Result<()>) -> Result<Vec<Measurement>> {
    block_on(tune_async(gpu, graph, progress))
}

/// [`tune`] as a future.
pub async fn tune_async(
    gpu: &Gpu,
    graph: &Graph,
    mut progress: impl FnMut(usize, usize) -> Result<()>,
) -> Result<Vec<Measurement>> {
    let classes = convolutions(graph)?;
    let of = classes.len();
    let mut all = Vec::new();
    for (class, (layers, case)) in classes {
        progress(all.len(), of)?;
        let check = async |target: &Target, case: &OpCase| check_case_with_async(gpu, target, case).await;
        all.push(measure(gpu, class, layers, &case, check).await?);
    }
    progress(of, of)?;
    Ok(all)
}

/// The choices of a set of measurements.
pub fn choices(measured: &[Measurement]) -> Tuning {
    let mut tuning = Tuning::default();
    for m in measured {
        if let Some(family) = m.chosen {
            tuning.set(m.class, family);
        }
    }
    tuning
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Conv2d;
    use crate::testing::gpu_or_skip;

    #[test]
    fn families_with_wrong_results_are_rejected() {
        let Some(gpu) = gpu_or_skip() else { return };
        let case = OpCase::new("conv", Conv2d::new(16, 3, 1), &[Shape::new(1, 16, 12, 12)])
            .parameter(&[16, 16, 3, 3], InputKind::Parameter);
        let op = FusedConv2d::of(&*case.op).unwrap();
        let descs: Vec<TensorDesc> = case.inputs.iter().map(|i| i.0).collect();
        let class = op.class(&descs, Shape::new(1, 16, 12, 12));
        // A check that rejects every family but one, in three ways.
        let check = async |target: &Target, case: &OpCase| match target.overrides.conv {
            Some(ConvFamily::Tile) => check_case_with_async(&gpu, target, case).await,
            Some(ConvFamily::Plain) => Err(Error::op("conv", "fails")),
            Some(ConvFamily::Gemm) => Ok(Comparison { max_error: f32::NAN, scale: 1.0, index: 0 }),
            _ => Ok(Comparison { max_error: 0.1, scale: 1.0, index: 0 }),
        };
        let m = block_on(measure(&gpu, class, vec!["conv".into()], &case, check)).unwrap();
        assert_eq!(m.chosen, Some(ConvFamily::Tile));
        assert!(m.candidates.len() >= 4, "{m:?}");
        for c in &m.candidates {
            assert_eq!(c.outcome.is_ok(), c.family == ConvFamily::Tile, "{c:?}");
        }
        assert_eq!(choices(&[m]).family(&class), Some(ConvFamily::Tile));
    }
}
