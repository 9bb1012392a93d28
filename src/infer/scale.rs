//! How an image is resized so that a model sees it as large as the images that it was trained on.

use super::resample::{MAX_SCALE, Resize};
use crate::error::{Error, Hint, Message, Result};
use crate::weights::TrainedScale;

/// How an image is resized for a model. Results are brought back to the image's own size: classes and instances by the nearest
/// pixel, probabilities as weighted means.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Scale {
    /// By a factor, from 1/16 to 16; by 1 not at all.
    Factor(f64),
    /// The image's instances have this median diameter in pixels; they get the model's.
    Diameter(f64),
    /// The same, with the median diameter of the instances that a first pass finds in the image, or in the middle of a large
    /// one. The factor is from 1/4 to 4, and 1 if there are no instances.
    AutoDiameter,
    /// The image's pixels have this size in micrometres, across and down; they get the model's.
    PixelSize([f64; 2]),
}

impl Default for Scale {
    fn default() -> Self {
        Self::Factor(1.0)
    }
}

impl Scale {
    /// Fails if the model does not state what this needs, or if the factor is too small or too large.
    pub fn check(self, trained: Option<TrainedScale>) -> Result<()> {
        match self {
            Self::Factor(_) => Fitted::new([1, 1], self, None, None).map(drop),
            Self::Diameter(_) | Self::AutoDiameter => trained_diameter(trained).map(drop),
            Self::PixelSize(_) => trained_pixel(trained).map(drop),
        }
    }
}

/// Largest factor by an estimated diameter, and one over the smallest.
const MAX_ESTIMATED: f64 = 4.0;

/// How one image is resized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fitted {
    pub resize: Option<Resize>,
    /// Across and down.
    pub factors: [f64; 2],
    /// The median diameter that a first pass found, pixels.
    pub diameter: Option<f64>,
}

impl Default for Fitted {
    fn default() -> Self {
        Self { resize: None, factors: [1.0; 2], diameter: None }
    }
}

impl Fitted {
    /// An image of `size` rows and columns, by `scale`. `estimate`: what a first pass found, for [`Scale::AutoDiameter`].
    pub(super) fn new(
        size: [usize; 2],
        scale: Scale,
        trained: Option<TrainedScale>,
        estimate: Option<f64>,
    ) -> Result<Self> {
        let factors = match scale {
            Scale::Factor(factor) => [factor; 2],
            Scale::Diameter(own) => [trained_diameter(trained)? / positive("diameter", own)?; 2],
            Scale::AutoDiameter => {
                let trained = trained_diameter(trained)?;
                [estimate.map_or(1.0, |own| (trained / own).clamp(1.0 / MAX_ESTIMATED, MAX_ESTIMATED)); 2]
            }
            Scale::PixelSize(own) => {
                let trained = trained_pixel(trained)?;
                [positive("pixel size", own[0])? / trained, positive("pixel size", own[1])? / trained]
            }
        };
        let [x, y] = factors;
        if let (Scale::Diameter(_) | Scale::PixelSize(_), Some(factor)) = (scale, outside(factors)) {
            let what = if matches!(scale, Scale::Diameter(_)) { "diameter" } else { "pixel size" };
            let reason = format!(
                "the image would be resized by {factor:.3} to the model's, not by 1/{MAX_SCALE} to {MAX_SCALE}; "
            );
            return Err(Error::invalid(
                what,
                Message::from(reason).then(Hint::SetScale).then(" takes another factor, 1 for none"),
            ));
        }
        Ok(Self { resize: Resize::by(size, [y, x])?, factors, diameter: estimate })
    }
}

/// A factor that is too small or too large.
fn outside(factors: [f64; 2]) -> Option<f64> {
    factors.into_iter().find(|f| !(1.0 / MAX_SCALE..=MAX_SCALE).contains(f))
}

fn positive(what: &str, value: f64) -> Result<f64> {
    match value.is_finite() && value > 0.0 {
        true => Ok(value),
        false => Err(Error::invalid(what, format!("{value} is not a number above 0"))),
    }
}

/// The diameter that a model is trained on; an error if it does not state one.
pub(super) fn trained_diameter(trained: Option<TrainedScale>) -> Result<f64> {
    trained.and_then(|t| t.diameter).ok_or_else(|| unknown("diameter", "`diameter`"))
}

fn trained_pixel(trained: Option<TrainedScale>) -> Result<f64> {
    trained.and_then(|t| t.pixel_size).ok_or_else(|| unknown("pixel size", "`pixel_size`"))
}

fn unknown(what: &str, key: &str) -> Error {
    let reason =
        format!("the model does not state the one that it was trained on ({key} in section `scale` of its file); ");
    Error::invalid(what, Message::from(reason).then(Hint::SetScale).then(" resizes by a factor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_follow_from_what_the_model_was_trained_on() {
        let trained = Some(TrainedScale::default().with_diameter(20.0).with_pixel_size(0.5));
        let of = |scale, estimate| Fitted::new([100, 200], scale, trained, estimate).unwrap();
        let size = |f: Fitted| f.resize.map(Resize::size);
        assert_eq!(of(Scale::default(), None), Fitted::default());
        assert_eq!(size(of(Scale::Factor(0.25), None)), Some([25, 50]));
        assert_eq!(of(Scale::Diameter(40.0), None).factors, [0.5; 2]);
        // Finer across than down.
        let fine = of(Scale::PixelSize([0.25, 1.0]), None);
        assert_eq!((fine.factors, size(fine)), ([0.5, 2.0], Some([200, 100])));
        let auto = of(Scale::AutoDiameter, Some(16.0));
        assert_eq!((auto.factors, size(auto), auto.diameter), ([1.25; 2], Some([125, 250]), Some(16.0)));
        assert_eq!(of(Scale::AutoDiameter, Some(1.0)).factors, [4.0; 2]);
        assert_eq!(of(Scale::AutoDiameter, Some(500.0)).factors, [0.25; 2]);
        assert_eq!(of(Scale::AutoDiameter, None), Fitted::default());
    }

    #[test]
    fn errors_say_what_is_missing() {
        let error = |scale, trained| Fitted::new([100, 200], scale, trained, Some(9.0)).unwrap_err().to_string();
        let pixels = Some(TrainedScale::default().with_pixel_size(0.5));
        for scale in [Scale::Diameter(40.0), Scale::AutoDiameter] {
            let e = error(scale, pixels);
            assert_eq!(
                e,
                "diameter: the model does not state the one that it was trained on (`diameter` in section `scale` of its file); \
                 SegmentOptions::scale resizes by a factor"
            );
        }
        let diameter = Some(TrainedScale::default().with_diameter(20.0));
        assert!(error(Scale::PixelSize([0.5; 2]), diameter).starts_with("pixel size: the model does not state"));
        assert!(error(Scale::PixelSize([0.5; 2]), None).contains("`pixel_size`"));
        assert_eq!(error(Scale::Diameter(0.0), diameter), "diameter: 0 is not a number above 0");
        assert_eq!(error(Scale::Factor(100.0), diameter), "scale: 100 is not from 1/16 to 16");
        let e = error(Scale::PixelSize([0.5, 100.0]), pixels);
        assert!(
            e.starts_with("pixel size: the image would be resized by 200.000 to the model's, not by 1/16 to 16"),
            "{e}"
        );
    }
}
