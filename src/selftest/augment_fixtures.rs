//! Fixtures of kind `augment`: displacement fields, warped images and labels, intensities; from numpy in double
//! precision.

use super::manifest::under;
use super::{CaseFile, Entry, FixtureError, FixtureResult, Selftest, Verdict, compare};
use crate::error::{Error, Result};
use crate::gpu::PrecisionChoice;
use crate::graph::{Graph, ValueId};
use crate::ops::{Border, DisplacementField, Dropout, Intensity, Interpolation, SimardField, Similarity, Warp};
use crate::session::Backend;
use crate::tensor::{HostTensor, Shape, TensorDesc};
use crate::testing::OP_TOLERANCE;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Labels within this distance of a rounding tie are not compared, pixels: golden/README.md.
const TIE: f32 = 1e-3;

type Tensors = BTreeMap<String, HostTensor>;

/// One item of the fixture's list. Its random inputs are among the tensors.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Item {
    Elastic {
        #[serde(rename = "image")]
        _image: Value,
        #[serde(default, rename = "grid")]
        _grid: Value,
        #[serde(default, rename = "std")]
        _std: Value,
        #[serde(default = "keys")]
        a: f32,
    },
    Simard {
        #[serde(rename = "image")]
        _image: Value,
        alpha: f32,
        sigma: f32,
    },
    Affine {
        #[serde(rename = "image")]
        _image: Value,
        args: AffineArgs,
    },
    Intensity {
        #[serde(rename = "image")]
        _image: Value,
        args: IntensityArgs,
    },
    MirrorPad {
        #[serde(rename = "image")]
        _image: Value,
        /// Top, bottom, left, right.
        pad: [usize; 4],
    },
}

const fn keys() -> f32 {
    -0.5
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AffineArgs {
    angle: f64,
    scale: f64,
    shift: [f64; 2],
    flip_y: bool,
    flip_x: bool,
}

impl Default for AffineArgs {
    fn default() -> Self {
        Self { angle: 0.0, scale: 1.0, shift: [0.0; 2], flip_y: false, flip_x: false }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct IntensityArgs {
    gain: f32,
    bias: f32,
    gamma: f32,
}

impl Default for IntensityArgs {
    fn default() -> Self {
        Self { gain: 1.0, bias: 0.0, gamma: 1.0 }
    }
}

impl Item {
    fn name(&self) -> &'static str {
        match self {
            Self::Elastic { .. } => "elastic",
            Self::Simard { .. } => "simard",
            Self::Affine { .. } => "affine",
            Self::Intensity { .. } => "intensity",
            Self::MirrorPad { .. } => "mirror_pad",
        }
    }
}

impl Selftest<'_> {
    /// Every item of the fixture: each tensor that is not an input is compared with the device's result.
    pub(super) fn augment_fixture(&mut self, entry: &Entry, files: &[CaseFile]) -> FixtureResult {
        let items = entry.case.get("items").cloned().unwrap_or_default();
        let items: Vec<Item> =
            serde_json::from_value(items).map_err(|e| FixtureError::Invalid(format!("the list of items: {e}")))?;
        let tensors = entry.tensors(files).map_err(FixtureError::invalid)?;
        if items.is_empty() {
            return Err(FixtureError::Invalid("the list of items is empty".into()));
        }
        let keys: Vec<String> = items.iter().enumerate().map(|(i, item)| format!("{i:02}.{}", item.name())).collect();
        let known = |name: &str| name.split_once('/').is_some_and(|(k, _)| keys.iter().any(|key| key == k));
        if let Some(stray) = tensors.keys().find(|name| !known(name)) {
            return Err(FixtureError::Invalid(format!("tensor `{stray}` belongs to no item of the list")));
        }
        for (item, key) in items.iter().zip(&keys) {
            let mut given = under(&tensors, &format!("{key}/"));
            let verdicts = match check(self.backend, item, &mut given) {
                Ok(verdicts) => verdicts,
                Err(e) => vec![("item".into(), Verdict::Failed(e.to_string()))],
            };
            let strays = given.into_keys().map(|name| (name, Verdict::Failed("not understood".into())));
            // If an item fails as a whole, its other tensors are not reported.
            let strays: Vec<_> = if verdicts[0].0 == "item" { vec![] } else { strays.collect() };
            for (name, verdict) in verdicts.into_iter().chain(strays) {
                self.report(&entry.name, &format!("{key}/{name}"), verdict)?;
            }
        }
        Ok(())
    }
}

/// A graph with its inputs.
#[derive(Default)]
struct Run {
    graph: Graph,
    inputs: Tensors,
}

impl Run {
    fn input(&mut self, name: &str, tensor: HostTensor, shape: Shape) -> Result<ValueId> {
        self.inputs.insert(name.into(), tensor.reshaped(shape.dims())?);
        Ok(self.graph.input(name, TensorDesc::linear(shape)))
    }

    fn output(&mut self, name: &str, op: impl crate::ops::Op, inputs: &[ValueId]) -> Result<()> {
        let value = self.graph.node(name, op, inputs)?;
        self.graph.output(name, value);
        Ok(())
    }

    fn run(self, backend: &Backend) -> Result<Tensors> {
        // Training is in f32 on every device.
        let backend = backend.with_precision(PrecisionChoice::F32)?;
        backend.run(&self.graph, &self.inputs, |key, _| Err(Error::ParameterMissing { key: key.into(), nearest: None }))
    }
}

/// Compares all results of an item, and removes the tensors it knows from `given`.
fn check(backend: &Backend, item: &Item, given: &mut Tensors) -> Result<Vec<(String, Verdict)>> {
    let mut take =
        |key: &str| given.remove(key).ok_or_else(|| Error::invalid(format!("tensor `{key}`"), "is not in the fixture"));
    let (image, labels) = (take("image")?, take("labels")?);
    let [c, h, w] = *image.dims() else {
        return Err(Error::invalid("tensor `image`", format!("has dimensions {:?}", image.dims())));
    };
    let shape = Shape::new(1, c, h, w);
    let mut run = Run::default();
    let x = run.input("image", image, shape)?;
    let no_displacement = |run: &mut Run| {
        let zeros = HostTensor::new([8], vec![0.0; 8])?;
        run.input("displacement", zeros, Shape::new(1, 2, 2, 2))
    };
    let words = |run: &mut Run, words: [f32; 8]| {
        let words = HostTensor::new([8], words.to_vec())?;
        run.input("transform", words, Shape::new(1, 8, 1, 1))
    };
    let identity = Similarity::IDENTITY.words(h, w);
    let (transform, displacement, kind, a) = match item {
        Item::Intensity { args, .. } => {
            let changes = HostTensor::new([4], vec![args.gain, args.bias, args.gamma, 0.0])?;
            let changes = run.input("changes", changes, Shape::new(1, 4, 1, 1))?;
            let seed = HostTensor::new(Dropout::SEED.dims(), Dropout::seed(1).to_vec())?;
            let seed = run.input("seed", seed, Dropout::SEED)?;
            run.output("out", Intensity { clip: true, salt: 0 }, &[x, changes, seed])?;
            return finish(backend, run, vec![("out".into(), take("out")?)]);
        }
        Item::MirrorPad { pad: [top, bottom, left, right], .. } => {
            let displacement = no_displacement(&mut run)?;
            let mut shifted = identity;
            (shifted[2], shifted[5]) = (-(*top as f32), -(*left as f32));
            let transform = words(&mut run, shifted)?;
            let op = warp([h + top + bottom, w + left + right], Interpolation::Nearest, Border::Mirror, -0.5);
            run.output("out", op, &[x, transform, displacement])?;
            return finish(backend, run, vec![("out".into(), take("out")?)]);
        }
        Item::Elastic { a, .. } => {
            let grid = take("grid")?;
            let points = grid.shape()?;
            let displacement = run.input("displacement", grid, Shape::new(1, 2, points.h, points.w))?;
            (words(&mut run, identity)?, displacement, DisplacementField::Grid, *a)
        }
        Item::Simard { alpha, sigma, .. } => {
            let noise = run.input("noise", take("noise")?, Shape::new(1, 2, h, w))?;
            let field = run.graph.node("field", SimardField { alpha: *alpha, sigma: *sigma }, &[noise])?;
            run.graph.output("field", field);
            (words(&mut run, identity)?, field, DisplacementField::Field, -0.5)
        }
        Item::Affine { args, .. } => {
            let AffineArgs { angle, scale, shift, flip_y, flip_x } = *args;
            let similarity = Similarity { angle, scale, shift, flip: [flip_y, flip_x] };
            let displacement = no_displacement(&mut run)?;
            (words(&mut run, similarity.words(h, w))?, displacement, DisplacementField::Grid, -0.5)
        }
    };
    let warp = |interpolation, border| Warp { displacement: kind, ..warp([h, w], interpolation, border, a) };
    let mut expected = Vec::new();
    for (order, interpolation) in [("bilinear", Interpolation::Bilinear), ("bicubic", Interpolation::Bicubic)] {
        for (border_name, border) in [("mirror", Border::Mirror), ("clamp", Border::Clamp)] {
            let name = format!("out_{order}_{border_name}");
            run.output(&name, warp(interpolation, border), &[x, transform, displacement])?;
            expected.push((name.clone(), take(&name)?));
        }
    }
    let field = take("field")?;
    if matches!(item, Item::Simard { .. }) {
        expected.push(("field".into(), field));
    } else {
        // The source coordinates of every pixel: two warped ramps.
        let ramps = HostTensor::from_fn(shape.with_c(2), |_, c, y, x| [y, x][c] as f32);
        let ramps = run.input("ramps", ramps, shape.with_c(2))?;
        run.output("field", warp(Interpolation::Bilinear, Border::Mirror), &[ramps, transform, displacement])?;
        expected.push(("field".into(), coordinates(&field, [h, w])?));
    }
    let ids = run.input("labels", labels, shape.with_c(1))?;
    let name = "out_labels_mirror";
    run.output(name, warp(Interpolation::Nearest, Border::Mirror), &[ids, transform, displacement])?;
    let (labels, ties) = (take(name)?, take("label_tie_distance")?);
    let mut outputs = run.run(backend)?;
    let got = outputs.remove(name).ok_or_else(|| Error::invalid(name, "is not computed"))?;
    let mut verdicts = compared(outputs, expected)?;
    verdicts.push((name.into(), label_verdict(got, labels, &ties)));
    Ok(verdicts)
}

fn warp([h, w]: [usize; 2], interpolation: Interpolation, border: Border, a: f32) -> Warp {
    Warp { h, w, interpolation, border, a, displacement: DisplacementField::Grid }
}

/// Source coordinates of a field, mirrored into the image as its pixels are.
fn coordinates(field: &HostTensor, [h, w]: [usize; 2]) -> Result<HostTensor> {
    if field.dims() != [2, h, w] {
        return Err(Error::invalid("tensor `field`", format!("has dimensions {:?}", field.dims())));
    }
    let mirrored = |v: f64, n: usize| {
        let last = n as f64 - 1.0;
        let m = v.rem_euclid(2.0 * last);
        if m > last { 2.0 * last - m } else { m }
    };
    let coordinate = |(i, &d): (usize, &f32)| {
        let (y, x) = (i % (h * w) / w, i % w);
        let (at, n) = if i < h * w { (y, h) } else { (x, w) };
        mirrored(at as f64 + f64::from(d), n) as f32
    };
    HostTensor::new([2, h, w], field.data().iter().enumerate().map(coordinate).collect::<Vec<_>>())
}

/// Labels must be equal, except at rounding ties.
fn label_verdict(mut got: HostTensor, expected: HostTensor, ties: &HostTensor) -> Verdict {
    if got.data().len() == expected.data().len() && expected.data().len() == ties.data().len() {
        for ((g, w), t) in got.data_mut().iter_mut().zip(expected.data()).zip(ties.data()) {
            if *t <= TIE {
                *g = *w;
            }
        }
        return Verdict::of(compare(&got, &expected), 0.0);
    }
    Verdict::Failed(format!("got {:?}, labels are {:?}, distances {:?}", got.dims(), expected.dims(), ties.dims()))
}

fn finish(backend: &Backend, run: Run, expected: Vec<(String, HostTensor)>) -> Result<Vec<(String, Verdict)>> {
    compared(run.run(backend)?, expected)
}

fn compared(mut outputs: Tensors, expected: Vec<(String, HostTensor)>) -> Result<Vec<(String, Verdict)>> {
    let verdict = |(name, expected): (String, HostTensor)| {
        let got = outputs.remove(&name).ok_or_else(|| Error::invalid(&name, "is not computed"))?;
        Ok((name, Verdict::of(compare(&got, &expected), OP_TOLERANCE)))
    };
    expected.into_iter().map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;
    use serde_json::json;

    /// A row of four pixels, mirrored by two on the left: every tensor of such an item.
    fn padded(out: &[f32]) -> Result<Vec<(String, Verdict)>> {
        let item = json!({"kind": "mirror_pad", "image": [1, 1, 4], "pad": [0, 0, 2, 0]});
        let tensor = |dims: &[usize], data: &[f32]| HostTensor::new(dims, data.to_vec()).unwrap();
        let mut given = Tensors::from([
            ("image".to_string(), tensor(&[1, 1, 4], &[1.0, 2.0, 3.0, 4.0])),
            ("labels".to_string(), tensor(&[1, 4], &[0.0; 4])),
            ("out".to_string(), tensor(&[1, 1, out.len()], out)),
        ]);
        check(&Backend::Cpu, &serde_json::from_value(item).unwrap(), &mut given)
    }

    #[test]
    fn results_are_compared() {
        let outcome = |out: &[f32]| padded(out).unwrap()[0].1.outcome();
        assert_eq!(outcome(&[3.0, 2.0, 1.0, 2.0, 3.0, 4.0]), Outcome::Passed);
        assert_eq!(outcome(&[2.0, 1.0, 1.0, 2.0, 3.0, 4.0]), Outcome::Failed);
        assert_eq!(outcome(&[3.0, 2.0, 1.0]), Outcome::Failed);
    }

    #[test]
    fn labels_at_rounding_ties_are_not_compared() {
        let row = |data: &[f32]| HostTensor::new([3], data.to_vec()).unwrap();
        let outcome = |got: &[f32]| label_verdict(row(got), row(&[1.0, 2.0, 3.0]), &row(&[0.2, 5e-4, 0.2])).outcome();
        assert_eq!(outcome(&[1.0, 9.0, 3.0]), Outcome::Passed);
        assert_eq!(outcome(&[1.0, 2.0, 9.0]), Outcome::Failed);
    }

    #[test]
    fn unknown_items_and_arguments_fail() {
        let error = |item: Value| serde_json::from_value::<Item>(item).unwrap_err().to_string();
        assert!(error(json!({"kind": "swirl", "image": []})).contains("swirl"));
        assert!(error(json!({"kind": "elastic", "image": [], "b": 1})).contains('b'));
        assert!(error(json!({"kind": "affine", "image": [], "args": {"shear": 1}})).contains("shear"));
    }
}
