use super::super::example::tests::data;
use super::*;
use crate::infer::{InstanceMap, Mask};
use crate::tensor::Precision;

/// A perfect prediction, plus a stray foreground pixel at column 9, row 8.
fn segmentation(image: &Image) -> Segmentation {
    let (w, h) = (image.width(), image.height());
    let id = |i: usize| u8::from(matches!((i % w, i / w), (2..=7, 2..=5) | (9, 8)));
    let ids: Vec<u8> = (0..w * h).map(id).collect();
    Segmentation {
        probabilities: Some(ids.iter().map(|&id| 0.1 + 0.8 * f32::from(id)).collect()),
        mask: Mask::new(w, h, 2, Ids::U8(ids)).unwrap(),
        instances: None,
        tiles: [1, 1],
        tile: [h, w],
        precision: Precision::F32,
        fallback: None,
        notes: Vec::new(),
        scale: [1.0; 2],
        diameter: None,
    }
}

fn run(options: &EvaluateOptions) -> Result<Evaluation> {
    let (_dir, set) = data(2, [12, 10]);
    let classes = vec!["background".to_string(), "nucleus".into()];
    evaluate(&set, classes, options, |_, _, image| Ok(segmentation(image)))
}

#[test]
fn images_are_scored_and_pooled() {
    let e = run(&EvaluateOptions { em: true, ..Default::default() }).unwrap();
    let c = e.confusion().unwrap();
    assert_eq!((c.dice(1), c.iou(1)), (96.0 / 98.0, 48.0 / 50.0));
    // The two touching nuclei are one in the mask: each covers half of it, and the stray pixel is a third instance.
    let m = e.matches(0.55);
    assert_eq!((m.tp, m.fp, m.fn_), (0, 4, 4));
    let m = e.matches(0.5);
    assert_eq!((m.tp, m.fp, m.fn_), (2, 2, 2));
    assert_eq!((e.seg(), e.mean(|p| p.instances.as_ref().map(|o| o.rand.v_rand))), (Some(0.5), Some(2.0 / 3.0)));
    let em = e.images[0].em.unwrap();
    assert!((em.pixel_error - 2.0 / 98.0).abs() < 1e-12 && (em.warping_error - 1.0 / 120.0).abs() < 1e-12, "{em:?}");
    let names: Vec<String> = e.columns(&e.images[0]).into_iter().map(|c| c.0).collect();
    assert!(
        ["dice.nucleus", "f1@0.5", "ap@0.9", "mean_ap", "aji", "pq", "v_info", "em_rand_error"]
            .iter()
            .all(|n| names.contains(&n.to_string()))
    );
}

/// Instances that were found count, not the mask's components.
#[test]
fn instances_of_the_segmentation_count() {
    let (_dir, set) = data(2, [12, 10]);
    let classes = vec!["background".to_string(), "nucleus".into()];
    let scores = |options: &EvaluateOptions| {
        let segment = |_: usize, _: &Pair, image: &Image| {
            let result = segmentation(image);
            // As in the ground truth: two nuclei that touch. The stray pixel belongs to none.
            let label = |x, y| match (x, y) {
                (2..=4, 2..=5) => 1,
                (5..=7, 2..=5) => 2,
                _ => 0,
            };
            let labels = LabelMap::from_fn(12, 10, label)?;
            Ok(Segmentation { instances: Some(InstanceMap { labels, classes: vec![0, 1, 1] }), ..result })
        };
        evaluate(&set, classes.clone(), options, segment).unwrap()
    };
    // A dilation is for components only.
    let e = scores(&EvaluateOptions { grow: 1, ..Default::default() });
    assert_eq!(e.matches(0.5), Matches { tp: 4, fp: 0, fn_: 0 });
    assert_eq!((e.mean_ap(), e.aji(), e.pq(), e.seg()), (1.0, 1.0, 1.0, Some(1.0)));
    let none = scores(&EvaluateOptions { instance_class: Some(0), ..Default::default() });
    assert_eq!(none.matches(0.5), Matches { tp: 0, fp: 0, fn_: 4 });
}

#[test]
fn instances_can_be_components_or_left_out() {
    let without = run(&EvaluateOptions { ground_truth: InstanceTruth::None, ..Default::default() }).unwrap();
    assert!(without.instances().next().is_none() && without.seg().is_none());
    let (dir, _) = data(1, [12, 10]);
    std::fs::remove_dir_all(dir.path().join("labels")).unwrap();
    let set = Dataset::open(dir.path()).unwrap();
    let scores = |ground_truth| {
        let options = EvaluateOptions { ground_truth, ..Default::default() };
        let classes = vec!["a".to_string(), "b".into()];
        evaluate(&set, classes, &options, |_, _, image| Ok(segmentation(image))).unwrap().matches(0.5)
    };
    assert_eq!(scores(InstanceTruth::Labels), Matches::default());
    assert_eq!(scores(InstanceTruth::Components), Matches { tp: 1, fp: 1, fn_: 0 });
}

#[test]
fn bad_options_are_named() {
    let error = |options: EvaluateOptions| run(&options).unwrap_err().to_string();
    assert!(error(EvaluateOptions { thresholds: vec![1.0], ..Default::default() }).contains("1 is not in [0, 1)"));
    let class = EvaluateOptions { instance_class: Some(2), ..Default::default() };
    assert_eq!(error(class), "instance class: 2 does not exist, there are 2");
}

#[test]
fn predictions_where_nobody_has_labelled_are_neither_right_nor_wrong() {
    // Columns 0 to 3 are labelled, 4 to 7 are not.
    let truth = LabelMap::from_fn(8, 1, |x, _| {
        if x < 2 {
            1
        } else if x < 4 {
            0
        } else {
            255
        }
    })
    .unwrap();
    let pred = LabelMap::new(8, 1, vec![1, 1, 0, 2, 2, 3, 3, 3]).unwrap();
    assert_eq!(where_known(&pred, &truth, 2).unwrap().labels(), [1, 1, 0, 2, 0, 0, 0, 0], "2 loses a pixel, 3 goes");
    assert_eq!(where_known(&pred, &truth.map(|id| id.min(1)), 2).unwrap(), pred, "nothing is ignored");
}
