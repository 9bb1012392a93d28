//! The options of `unet segment` and `unet eval` by which an image is resized for the model.

use super::values;
use clap::Args;
use unet_wgpu::low_level::infer::{MAX_SCALE, Scale};
use unet_wgpu::low_level::weights::TrainedScale;

/// How large the model sees what an image shows.
#[derive(Args)]
#[command(next_help_heading = "Size of what images show (results always have the image's own size)")]
pub(super) struct ScaleArgs {
    /// Resize images for the model by this factor, 1/16 to 16; 1 leaves every image as it is
    #[arg(long, value_name = "FACTOR", value_parser = factor, conflicts_with = "diameter")]
    scale: Option<f64>,
    /// Median diameter of the instances in pixels of the image, which is resized so that they are as large as those that the
    /// model was trained on; `auto` estimates it for each image in a first pass
    #[arg(long, value_name = "PIXELS|auto", value_parser = diameter)]
    diameter: Option<Diameter>,
    /// Pixel size at full resolution in micrometres, across and down, instead of the file's: 0.325 or 0.25x0.5. Without the two
    /// options above, an image whose pixel size is known is resized to that of a model that states its own
    #[arg(long, value_name = "UM|XxY", value_parser = pixel_size)]
    pub pixel_size: Option<[f64; 2]>,
}

/// A diameter of instances.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Diameter {
    Auto,
    Pixels(f64),
}

fn factor(text: &str) -> Result<f64, String> {
    let within = |f: &f64| (1.0 / MAX_SCALE..=MAX_SCALE).contains(f);
    text.parse().ok().filter(within).ok_or_else(|| format!("not a factor from 1/{MAX_SCALE} to {MAX_SCALE}"))
}

fn diameter(text: &str) -> Result<Diameter, String> {
    if text == "auto" {
        return Ok(Diameter::Auto);
    }
    values::positive(text).map(Diameter::Pixels).map_err(|e| format!("{e}, or auto"))
}

/// `0.325` or `0.25x0.5`, micrometres.
fn pixel_size(text: &str) -> Result<[f64; 2], String> {
    let number = |t: &str| values::positive(t.trim());
    let (x, y) = text.split_once(['x', 'X', ',']).unwrap_or((text, text));
    match (number(x), number(y)) {
        (Ok(x), Ok(y)) => Ok([x, y]),
        _ => Err("write micrometres as 0.325, or across and down as 0.25x0.5".into()),
    }
}

impl ScaleArgs {
    /// How an image is resized for a model, where its pixels are known to have this size in micrometres.
    pub(super) fn of(&self, pixel: Option<[f64; 2]>, trained: Option<TrainedScale>) -> Scale {
        let states = trained.is_some_and(|t| t.pixel_size.is_some());
        match (self.scale, self.diameter, pixel) {
            (Some(factor), ..) => Scale::Factor(factor),
            (_, Some(Diameter::Auto), _) => Scale::AutoDiameter,
            (_, Some(Diameter::Pixels(pixels)), _) => Scale::Diameter(pixels),
            (_, _, Some(size)) if states => Scale::PixelSize(size),
            _ => Scale::default(),
        }
    }

    /// Whether an image's own pixel size counts.
    pub(super) fn needs_pixel_size(&self, trained: Option<TrainedScale>) -> bool {
        matches!(self.of(Some([1.0; 2]), trained), Scale::PixelSize(_))
    }
}

/// A number to three decimals, without zeros at the end.
pub(super) fn brief(v: f64) -> String {
    let text = format!("{v:.3}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        scale: ScaleArgs,
    }

    fn read(line: &str) -> Result<ScaleArgs, String> {
        let words = std::iter::once("unet").chain(line.split_whitespace());
        Options::try_parse_from(words).map(|o| o.scale).map_err(|e| e.to_string())
    }

    #[test]
    fn options_come_before_what_files_say() {
        let model = Some(TrainedScale::default().with_diameter(20.0).with_pixel_size(0.5));
        let of = |line: &str, model| read(line).unwrap().of(Some([0.25; 2]), model);
        assert_eq!(of("", model), Scale::PixelSize([0.25; 2]));
        assert_eq!(of("", None), Scale::default());
        assert_eq!(of("", Some(TrainedScale::default().with_diameter(20.0))), Scale::default());
        assert_eq!(of("--scale 1", model), Scale::Factor(1.0));
        assert_eq!(of("--scale 0.5 --pixel-size 1", model), Scale::Factor(0.5));
        assert_eq!(of("--diameter auto", model), Scale::AutoDiameter);
        assert_eq!(of("--diameter 31.5", model), Scale::Diameter(31.5));
        let bad =
            ["--scale 0", "--scale 17", "--scale nan", "--diameter 0", "--diameter big", "--scale 1 --diameter 9"];
        for bad in bad {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!((brief(0.5), brief(12.0), brief(0.123_46)), ("0.5".into(), "12".into(), "0.123".into()));
    }

    #[test]
    fn pixel_sizes() {
        assert_eq!((pixel_size("0.325"), pixel_size("0.25x0.5")), (Ok([0.325, 0.325]), Ok([0.25, 0.5])));
        for bad in ["", "0", "-1", "1x", "nan", "inf", "1 um"] {
            assert!(pixel_size(bad).is_err(), "{bad}");
        }
    }
}
