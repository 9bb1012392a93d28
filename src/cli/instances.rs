//! The options about single instances of `unet segment` and `unet eval`.

use super::values;
use clap::Args;
use std::path::Path;
use unet_wgpu::low_level::infer::{
    Calibration, Connectivity, Coordinates, InstanceMethod, InstanceOptions, InstanceSettings, InstanceSink,
    InstanceWriter, Output,
};
use unet_wgpu::low_level::weights::{MAX_JUMPS, MAX_OFFSET, MAX_SMOOTHING};
use unet_wgpu::{Error, Result};

/// How single instances are found, where it differs from what the model's file says.
#[derive(Args)]
#[command(next_help_heading = "Single instances (defaults: what the model's file says, see `unet inspect`)")]
pub(super) struct InstanceArgs {
    /// How touching instances are separated
    #[arg(long = "instances", value_parser = values::named::<InstanceMethod>(), value_name = "HOW")]
    method: Option<InstanceMethod>,
    /// By how much a maximum must rise above the pass to the next to be an instance of its own; smaller splits more. For the
    /// watershed in pixels of distance to the edge, for the elevation in parts of the largest distance
    #[arg(long, value_name = "DEPTH", value_parser = depth)]
    seed_depth: Option<f64>,
    /// For the elevation: the least height of an instance's highest pixel
    #[arg(long, value_name = "HEIGHT", value_parser = not_negative)]
    min_seed: Option<f64>,
    /// For the elevation: how much a certain touching border lowers it
    #[arg(long, value_name = "WEIGHT", value_parser = not_negative)]
    border: Option<f64>,
    /// For the elevation: standard deviation of the Gaussian that smooths it, in pixels; 0 for none
    #[arg(long, value_name = "PIXELS", value_parser = smoothing)]
    smoothing: Option<f64>,
    /// For the offsets: how many pixels must arrive within 3 x 3 pixels to make a centre
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    votes: Option<u64>,
    /// For the offsets: centres that fewer pixels belong to are no instances
    #[arg(long, value_name = "PIXELS")]
    min_cluster: Option<u64>,
    /// For the offsets: longer ones are cut to so many pixels along each axis
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_OFFSET)))]
    max_offset: Option<u32>,
    /// For the offsets: how many are followed one after another
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_JUMPS)))]
    jumps: Option<u32>,
    /// Which pixels are of one instance: those that share an edge (4), or a corner too (8)
    #[arg(long, value_name = "4|8", value_parser = connectivity)]
    connectivity: Option<Connectivity>,
    /// Instances are where the probability of the foreground is above this; the mask of --save mask stays as it is
    #[arg(long, value_name = "P", value_parser = probability)]
    threshold: Option<f64>,
    /// Leave out instances of fewer pixels (of a resized image: those that the model sees), or smaller than a part of the
    /// median area of the image's instances, or both: 20, 10%, or 20,10%; 0 and 0% leave none out
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

fn not_negative(text: &str) -> std::result::Result<f64, String> {
    text.parse().ok().filter(|d: &f64| d.is_finite() && *d >= 0.0).ok_or_else(|| "not 0 or more".into())
}

fn smoothing(text: &str) -> std::result::Result<f64, String> {
    let within = |s: &f64| (0.0..=MAX_SMOOTHING).contains(s);
    text.parse().ok().filter(within).ok_or_else(|| format!("not from 0 to {MAX_SMOOTHING}"))
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
        settings.min_seed = self.min_seed;
        settings.border = self.border;
        settings.smoothing = self.smoothing;
        settings.votes = self.votes;
        settings.min_cluster = self.min_cluster;
        settings.max_offset = self.max_offset;
        settings.jumps = self.jumps;
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

/// What finds the instances of `input` and writes `files`.
pub(super) fn sink(
    options: InstanceOptions,
    input: &Path,
    files: Vec<(&'static dyn InstanceWriter, Output)>,
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
        let elevation = "--instances elevation --seed-depth 0.1 --min-seed 0.3 --border 0 --smoothing 1.5";
        let expected = InstanceSettings::default()
            .with_method(InstanceMethod::Elevation)
            .with_seed_depth(0.1)
            .with_min_seed(0.3)
            .with_border(0.0)
            .with_smoothing(1.5);
        assert_eq!(settings(elevation), Ok(expected));
        let offsets = "--instances offsets --votes 9 --min-cluster 5 --max-offset 32 --jumps 2";
        let expected = InstanceSettings::default()
            .with_method(InstanceMethod::Offsets)
            .with_votes(9)
            .with_min_cluster(5)
            .with_max_offset(32)
            .with_jumps(2);
        assert_eq!(settings(offsets), Ok(expected));
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
            "--min-seed=-0.1",
            "--smoothing 33",
            "--border nan",
            "--votes 0",
            "--max-offset 1025",
            "--jumps 17",
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
