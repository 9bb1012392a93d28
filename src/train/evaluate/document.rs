//! Scores as a JSON document, for programs.

use serde_json::{Map, Value, json};

use super::{Evaluation, ImageScores};
use crate::error::Result;
use crate::train::metrics::{Classes, Measure};

impl Evaluation {
    /// Numbers of predicted and ground-truth instances.
    pub fn instance_counts(&self) -> (usize, usize) {
        self.instances().fold((0, 0), |(p, t), o| (p + o.instances.predicted(), t + o.instances.true_instances()))
    }

    /// The scores as a JSON object: that of `unet eval --json`, without device, model and data.
    pub fn document(&self) -> Result<Map<String, Value>> {
        let c = self.confusion()?;
        let class = |(i, name): (usize, &String)| {
            let present = self.mean(|p| p.confusion.if_present(i, Measure::Dice));
            let all = self.mean(|p| Some(p.confusion.dice(i)));
            let (dice, iou) = (c.if_present(i, Measure::Dice), c.if_present(i, Measure::Iou));
            json!({ "name": name, "dice": dice, "iou": iou, "mean_dice": present, "mean_dice_all": all, "occurs": c.occurs(i) })
        };
        let one = |p: &ImageScores| {
            let scores: Map<String, Value> = self.columns(p).into_iter().map(|(k, v)| (k, json!(v))).collect();
            json!({ "name": p.name, "width": p.width, "height": p.height, "scores": scores })
        };
        let mut out = Map::new();
        let mut put = |key: &str, value: Value| drop(out.insert(key.into(), value));
        put("classes", self.classes.iter().enumerate().map(class).collect());
        put("mean_dice", json!(self.foreground(Measure::Dice, Classes::Present)));
        put("mean_dice_all", json!(self.foreground(Measure::Dice, Classes::All)));
        put("mean_iou", json!(c.mean_iou()));
        put("mean_iou_all", json!(c.mean(0, Measure::Iou, Classes::All)));
        put("pixel_error", json!(c.pixel_error()));
        put("confusion", c.rows().map(|r| json!(r)).collect());
        if self.instances().next().is_some() {
            let (predicted, actual) = self.instance_counts();
            let at = |&t: &f64| {
                let m = self.matches(t);
                json!({ "iou": t, "precision": m.precision(), "recall": m.recall(), "f1": m.f1(), "ap": m.ap(),
                    "tp": m.tp, "fp": m.fp, "fn": m.fn_ })
            };
            put(
                "instances",
                json!({
                    "true": actual,
                    "predicted": predicted,
                    "thresholds": self.thresholds.iter().map(at).collect::<Vec<_>>(),
                    "mean_ap": self.mean_ap(),
                    "aji": self.aji(),
                    "pq": self.pq(),
                    "seg": self.seg(),
                    "v_rand": self.mean(|p| p.instances.as_ref().map(|o| o.rand.v_rand)),
                    "rand_precision": self.mean(|p| p.instances.as_ref().map(|o| o.rand.precision)),
                    "rand_recall": self.mean(|p| p.instances.as_ref().map(|o| o.rand.recall)),
                    "v_info": self.mean(|p| p.instances.as_ref().map(|o| o.v_info)),
                }),
            );
        }
        if let Some(pixel) = self.mean(|p| p.em.map(|em| em.pixel_error)) {
            let rand = self.mean(|p| p.em.map(|em| em.rand_error));
            let warping = self.mean(|p| p.em.map(|em| em.warping_error));
            put("em", json!({ "pixel_error": pixel, "rand_error": rand, "warping_error": warping }));
        }
        put("images", self.images.iter().map(one).collect());
        Ok(out)
    }
}
