//! Frames stay short while a network runs in them.

use super::app::*;
use eframe::egui::vec2;
use std::time::Instant;

/// Milliseconds of each frame for the network.
const BUDGET: f64 = 2.0;

/// Milliseconds that so many percent of the frames stay under.
fn percentile(times: &[f64], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Host and device: a frame is drawn, read back, and everything that it began is waited for.
///
/// `cargo test --manifest-path studio/Cargo.toml --test window frames -- --ignored --nocapture`, on a quiet machine.
#[test]
#[ignore = "a measurement"]
fn frames_stay_short_while_a_network_runs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(image(), dir.path().join(IMAGE)).unwrap();
    let mut harness = window(dir.path(), vec2(640.0, 400.0), 1.0, None);
    until(&mut harness, "opening", |s| s.status().image.is_some() && s.status().model.is_some());
    // Textures, thumbnails and limits arrive.
    (0..60).for_each(|_| harness.step());
    let frame = |harness: &mut egui_kittest::Harness<'_, unet_studio::app::Studio>| {
        let start = Instant::now();
        harness.step();
        harness.state().wait_for_device();
        start.elapsed().as_secs_f64() * 1e3
    };
    let still: Vec<f64> = (0..200).map(|_| frame(&mut harness)).collect();
    harness.state_mut().set_live(true, BUDGET);
    until(&mut harness, "the network", |s| s.live_progress().is_some());
    let mut live = Vec::new();
    while live.len() < 400 && harness.state().status().regions == 0 {
        live.push(frame(&mut harness));
    }
    assert!(!live.is_empty(), "the region was there before the first frame");
    let [[half, most], [live_half, live_most]] = [&still, &live].map(|times| [50, 95].map(|p| percentile(times, p)));
    println!(
        "frames without a network: 50 % under {half:.1} ms, 95 % under {most:.1} ms; with {BUDGET} ms of one: {live_half:.1} ms, \
         {live_most:.1} ms, of {} frames",
        live.len()
    );
}
