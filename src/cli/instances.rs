//! The options about single instances of `unet segment` and `unet eval`.

use super::values;
use clap::Args;
use std::path::{Path, PathBuf};
use unet_wgpu::low_level::infer::{
    Calibration, Connectivity, Coordinates, InstanceMethod, InstanceOptions, InstanceSettings, InstanceSink,
    InstanceWriter,
};
use unet_wgpu::{Error, Result};

/// How single instances are found, where it differs from what the model's file says.
#[derive(Args)]
#[command(next_help_heading = "Single instances (defaults: what the model's file says, see `unet inspect`)")]
pub(super) struct InstanceArgs {
    /// How touching instances are separated
    #[arg(long = "instances", value_parser = values::named::<InstanceMethod>(), value_name = "HOW")]
    method: Option<InstanceMethod>,
    /// For the watershed: how many pixels an instance must be wider than its neck to become two; smaller splits more
    #[arg(long, value_name = "PIXELS", value_parser = depth)]
    seed_depth: Option<f64>,
    /// Which pixels are of one instance: those that share an edge (4), or a corner too (8)
    #[arg(long, value_name = "4|8", value_parser = connectivity)]
    connectivity: Option<Connectivity>,
    /// Instances are where the probability of the foreground is above this; the mask of --save mask stays as it is
    #[arg(long, value_name = "P", value_parser = probability)]
    threshold: Option<f64>,
    /// Leave out instances of fewer pixels, or smaller than a part of the median area of the image's instances, or both:
    /// 20, 10%, or 20,10%; 0 and 0% leave none out
    #[arg(long, value_name = "PIXELS|N%", value_delimiter = ',', value_parser = min_area)]
    min_area: Vec<MinArea>,
    /// Leave out instances whose mean probability is lower
    #[arg(long, value_name = "P", value_parser = probability)]
    min_confidence: Option<f64>,
    /// Fill background that lies inside one instance, before touching ones are separated
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    fill_holes: Option<bool>,
    /// Close gaps between instances that are at most so many pixels wide: 0, 1 or 2; nothing grows outwards
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(0..=2))]
    close_gaps: Option<u32>,
}

/// A least area.
#[derive(Clone, Copy, Debug, PartialEq)]
enum MinArea {
    Pixels(u64),
    Percent(f64),
}

fn min_area(text: &str) -> std::result::Result<MinArea, String> {
    let text = text.trim();
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent = percent.trim().parse().ok().filter(|p| (0.0..=100.0).contains(p));
            percent.map(MinArea::Percent).ok_or_else(|| "not from 0% to 100%".into())
        }
        None => text.parse().map(MinArea::Pixels).map_err(|_| "not a number of pixels such as 20, or 10%".into()),
    }
}

fn depth(text: &str) -> std::result::Result<f64, String> {
    text.parse().ok().filter(|d: &f64| d.is_finite() && *d > 0.0).ok_or_else(|| "not a number above 0".into())
}

fn probability(text: &str) -> std::result::Result<f64, String> {
    text.parse().ok().filter(|p| (0.0..1.0).contains(p)).ok_or_else(|| "not from 0 up to, but not including, 1".into())
}

fn connectivity(text: &str) -> std::result::Result<Connectivity, String> {
    match text {
        "4" => Ok(Connectivity::Four),
        "8" => Ok(Connectivity::Eight),
        _ => Err("expected 4 or 8".into()),
    }
}

impl InstanceArgs {
    /// What the options settle.
    pub(super) fn settings(&self) -> InstanceSettings {
        let mut settings = InstanceSettings::default();
        settings.method = self.method;
        settings.seed_depth = self.seed_depth;
        settings.connectivity = self.connectivity;
        settings.threshold = self.threshold;
        settings.min_confidence = self.min_confidence;
        settings.fill_holes = self.fill_holes;
        settings.close_gaps = self.close_gaps;
        for least in &self.min_area {
            match *least {
                MinArea::Pixels(pixels) => settings.min_area = Some(pixels),
                MinArea::Percent(percent) => settings.min_area_percent = Some(percent),
            }
        }
        settings
    }
}

/// The line that says how instances are found, and where that comes from. `None` where it is the plain default.
pub(super) fn note(
    options: &InstanceOptions,
    requested: &InstanceSettings,
    own: Option<&InstanceSettings>,
) -> Option<String> {
    let plain = InstanceOptions::default();
    if options.to_string() == plain.to_string() {
        return None;
    }
    let whose = match (own, *requested == InstanceSettings::default()) {
        (Some(_), true) => " (the model's settings)",
        (Some(_), false) => " (the model's settings, and those requested)",
        (None, _) => "",
    };
    Some(format!("instances: {options}{whose}"))
}

/// What finds the instances of `input` and writes `files`. Temporary files lie beside results.
pub(super) fn sink(
    options: &InstanceOptions,
    input: &Path,
    files: Vec<(&'static dyn InstanceWriter, PathBuf)>,
    (calibration, coordinates): (Calibration, Coordinates),
) -> Result<InstanceSink> {
    if coordinates == Coordinates::World {
        // Before any work, not after it.
        let map = calibration.georeference.as_ref().map(|g| g.to_world());
        if let Some(why) = match map {
            None => Some("it is not georeferenced".to_string()),
            Some(map) => map.err(),
        } {
            return Err(Error::file(input, format!("has no world coordinates ({why}); see `unet inspect`")));
        }
    }
    let folder = files.first().and_then(|f| f.1.parent()).filter(|p| !p.as_os_str().is_empty());
    let options = options.clone().with_scratch(folder.unwrap_or(Path::new(".")).to_path_buf());
    let sink = InstanceSink::new(options, input.file_name().unwrap_or_default().to_string_lossy(), files);
    Ok(sink.with_calibration(calibration, coordinates))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Options {
        inputs: Vec<String>,
        #[command(flatten)]
        instances: InstanceArgs,
    }

    fn settings(line: &str) -> std::result::Result<InstanceSettings, String> {
        let words = std::iter::once("unet").chain(line.split_whitespace());
        Options::try_parse_from(words).map(|o| o.instances.settings()).map_err(|e| e.to_string())
    }

    #[test]
    fn every_option_is_a_setting() {
        assert_eq!(settings("a.png"), Ok(InstanceSettings::default()));
        let all = "--instances watershed --seed-depth 2 --connectivity 8 --threshold 0.7 --min-area 20,10% \
                   --min-confidence 0.85 --fill-holes a.png --close-gaps 1";
        let expected = InstanceSettings::default()
            .with_method(InstanceMethod::Watershed)
            .with_seed_depth(2.0)
            .with_connectivity(Connectivity::Eight)
            .with_threshold(0.7)
            .with_min_area(20)
            .with_min_area_percent(10.0)
            .with_min_confidence(0.85)
            .with_fill_holes(true)
            .with_close_gaps(1);
        assert_eq!(settings(all), Ok(expected));
        let off = InstanceSettings::default().with_fill_holes(false).with_min_area(0).with_min_area_percent(0.0);
        assert_eq!(settings("--fill-holes=false --min-area 0 --min-area 0%"), Ok(off));
        for bad in [
            "--min-area 10.5",
            "--min-area 101%",
            "--min-area=-3",
            "--threshold 1",
            "--min-confidence x",
            "--close-gaps 3",
            "--seed-depth 0",
            "--instances flood",
        ] {
            assert!(settings(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_note_says_whose_settings_they_are() {
        let none = InstanceSettings::default();
        assert_eq!(note(&InstanceOptions::default(), &none, None), None);
        let own = InstanceSettings::default().with_method(InstanceMethod::Watershed).with_min_area(20);
        assert_eq!(
            note(&InstanceOptions::from(&own), &none, Some(&own)).unwrap(),
            "instances: watershed of the distance (seed depth 1), at least 20 pixels, holes filled (the model's settings)"
        );
    }
}
