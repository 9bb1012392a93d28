//! Fixtures of kinds `weightmap` and `metrics`: host computations of training, with results from numpy and scipy.

use super::manifest::under;
use super::{CaseFile, Entry, FixtureError, FixtureResult, Selftest, Verdict, compare};
use crate::error::{Error, Result};
use crate::infer::{Connectivity, LabelMap, components};
use crate::tensor::HostTensor;
use crate::testing::OP_TOLERANCE;
use crate::train::metrics::{
    Confusion, InstanceOverlaps, Overlap, THRESHOLDS, above, pixel_error, pixel_error_f, rand_error, rand_scores,
    v_info, warping_error,
};
use crate::train::{ClassWeights, WeightMap, instance_distances, separate_touching, unet_weight_map};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

type Tensors = BTreeMap<String, HostTensor>;

/// One item of a fixture: the options that affect its results.
#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    args: WeightArgs,
    #[serde(default = "three")]
    classes: usize,
}

fn three() -> usize {
    3
}

/// Arguments of the weight map.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightArgs {
    w0: Option<f64>,
    sigma: Option<f64>,
    wc: Option<Vec<f64>>,
    balance: Option<String>,
    background_only: Option<bool>,
}

impl WeightArgs {
    fn options(&self) -> Result<WeightMap> {
        let default = WeightMap::default();
        let class_weights = match (&self.wc, self.balance.as_deref()) {
            (Some(weights), _) => ClassWeights::Explicit(weights.clone()),
            (None, None | Some("balanced")) => ClassWeights::Balanced,
            (None, Some("none")) => ClassWeights::None,
            (None, Some(other)) => return Err(Error::invalid("fixture", format!("unknown balance `{other}`"))),
        };
        Ok(WeightMap {
            w0: self.w0.unwrap_or(default.w0),
            sigma: self.sigma.unwrap_or(default.sigma),
            class_weights,
            background_only: self.background_only.unwrap_or(default.background_only),
        })
    }
}

impl Selftest<'_> {
    /// Every item of the fixture: each tensor that is not an input is compared with the computed one.
    pub(super) fn host_fixture(&mut self, entry: &Entry, files: &[CaseFile]) -> FixtureResult {
        let items = entry.case.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let tensors = entry.tensors(files).map_err(FixtureError::invalid)?;
        let of_item = |name: &str| name.split_once('/').and_then(|(i, _)| i.parse::<usize>().ok());
        if let Some(stray) = tensors.keys().find(|name| of_item(name).is_none_or(|i| i >= items.len())) {
            return Err(FixtureError::Invalid(format!("tensor `{stray}` belongs to no item")));
        }
        if items.is_empty() {
            return Err(FixtureError::Invalid("the list of items is empty".into()));
        }
        for (i, item) in items.into_iter().enumerate() {
            let given = under(&tensors, &format!("{i:02}/"));
            let (inputs, computed) = match (serde_json::from_value(item), entry.kind.as_str()) {
                (Err(e), _) => return Err(FixtureError::Invalid(format!("item {i}: {e}"))),
                (Ok(item), "weightmap") => (&["labels"][..], weight_map(&item, &given)),
                (Ok(item), _) => {
                    (&["prob", "true_instances", "pred_classes", "true_classes"][..], metrics(&item, &given))
                }
            };
            let mut computed = computed.map_err(|e| FixtureError::Invalid(format!("item {i}: {e}")))?;
            for (name, expected) in given.iter().filter(|(name, _)| !inputs.contains(&name.as_str())) {
                let verdict = match computed.remove(name) {
                    None => Verdict::Failed("not understood".into()),
                    Some(got) => verdict(got, expected),
                };
                self.report(&entry.name, &format!("{i:02}/{name}"), verdict)?;
            }
            if let Some(name) = computed.keys().next() {
                self.report(&entry.name, &format!("{i:02}/{name}"), Verdict::Failed("not in the fixture".into()))?;
            }
        }
        Ok(())
    }
}

/// Integers must be equal, reals within the tolerance of single operations.
fn verdict(got: Values, expected: &HostTensor) -> Verdict {
    let (got, tolerance) = match got {
        Values::Whole(got) => (got, 0.0),
        Values::Real(got) => (got, OP_TOLERANCE),
    };
    let compared = got.and_then(|mut got| {
        let mut expected = expected.clone();
        // Equal infinities match; without this, an infinite scale would let everything pass.
        for (g, w) in got.data_mut().iter_mut().zip(expected.data_mut()) {
            if g == w && g.is_infinite() {
                (*g, *w) = (0.0, 0.0);
            }
        }
        compare(&got, &expected)
    });
    Verdict::of(compared, tolerance)
}

/// Results by the names of the fixture's tensors.
type Computed = BTreeMap<String, Values>;

/// A result: integers or reals.
enum Values {
    Whole(Result<HostTensor>),
    Real(Result<HostTensor>),
}

impl Values {
    fn labels(map: &LabelMap) -> Self {
        let data = map.labels().iter().map(|&l| l as f32).collect();
        Self::Whole(HostTensor::new([map.height(), map.width()], data))
    }

    fn plane(like: &LabelMap, data: impl Iterator<Item = f32>) -> Self {
        Self::Real(HostTensor::new([like.height(), like.width()], data.collect()))
    }
}

fn weight_map(item: &Item, given: &Tensors) -> Result<Computed> {
    let labels = labels(given, "labels")?;
    let separated = separate_touching(&labels);
    let [nearest, second] = instance_distances(&separated);
    let foreground = separated.map(|l| u32::from(l > 0));
    let weight = unet_weight_map(&foreground, 2, Some(&separated), &item.args.options()?)?;
    Ok(BTreeMap::from([
        ("separated".into(), Values::labels(&separated)),
        ("d1".into(), Values::plane(&labels, nearest.into_iter().map(|d| d as f32))),
        ("d2".into(), Values::plane(&labels, second.into_iter().map(|d| d as f32))),
        ("weight".into(), Values::plane(&labels, weight.into_iter())),
    ]))
}

fn metrics(item: &Item, given: &Tensors) -> Result<Computed> {
    let prob = require(given, "prob")?.data();
    let ground_truth = labels(given, "true_instances")?;
    let mask = above(prob, 0.5, &ground_truth)?;
    let instances = components(&mask, Connectivity::Four);
    let pairs = mask.labels().iter().zip(ground_truth.labels());
    let overlap = Overlap::of(pairs.map(|(&p, &t)| (p > 0, t > 0)));
    let classes = Confusion::of(&labels(given, "pred_classes")?, &labels(given, "true_classes")?, item.classes)?;
    let rand = rand_scores(&instances, &ground_truth)?;
    let (warping, warped) = warping_error(prob, &ground_truth, 0.5)?;
    let values = [
        ("iou", overlap.iou()),
        ("dice", overlap.dice()),
        ("mean_iou", classes.mean_iou()),
        ("pixel_error", pixel_error(&mask, &ground_truth)?),
        ("pixel_error_f", pixel_error_f(prob, &ground_truth, &THRESHOLDS)?),
        ("rand_precision", rand.precision),
        ("rand_recall", rand.recall),
        ("v_rand", rand.v_rand),
        ("rand_error", rand_error(prob, &ground_truth, &THRESHOLDS)?),
        ("v_info", v_info(&instances, &ground_truth)?),
        ("warping_error", warping),
        ("seg", InstanceOverlaps::of(&instances, &ground_truth)?.seg()),
    ];
    let scalar = |v: f64| Values::Real(HostTensor::new([1], vec![v as f32]));
    let mut out: Computed = values.map(|(name, v)| (format!("metric.{name}"), scalar(v))).into();
    let counts = classes.rows().flatten().map(|&n| n as f32).collect();
    out.insert("confusion".into(), Values::Whole(HostTensor::new([item.classes; 2], counts)));
    out.insert("pred_instances".into(), Values::labels(&instances));
    out.insert("warped".into(), Values::labels(&warped));
    Ok(out)
}

fn require<'a>(given: &'a Tensors, name: &str) -> Result<&'a HostTensor> {
    given.get(name).ok_or_else(|| Error::invalid(format!("tensor `{name}`"), "is not in the fixture"))
}

/// A tensor `[H, W]` of integers.
fn labels(given: &Tensors, name: &str) -> Result<LabelMap> {
    let tensor = require(given, name)?;
    let [height, width] = *tensor.dims() else {
        return Err(Error::invalid(format!("tensor `{name}`"), format!("has dimensions {:?}", tensor.dims())));
    };
    LabelMap::new(width, height, tensor.data().iter().map(|&v| v as u32).collect())
}
