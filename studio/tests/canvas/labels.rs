//! Labels over an image: fills, outlines, the hatch, changes, comparison; live output.

use super::app::{App, Map, Shot, black, device, near, open, settle, shot};
use eframe::egui::Color32;
use eframe::wgpu;
use egui_kittest::Harness;
use unet_studio::canvas::{Colouring, LabelStyle, Live, LiveLook, UNLABELLED, View, instance_colour};

fn plain() -> LabelStyle {
    LabelStyle { fills: true, outlines: true, opacity: 0.5, width: 1.0, ..Default::default() }
}

fn labelled<'a>(size: [u32; 2], zoom: f64, f: impl Fn(u32, u32) -> u32) -> Harness<'a, App> {
    let mut harness = open(black(size), [400.0, 300.0], 1.0);
    let state = harness.state_mut();
    state.labels = Some(Map::new(size, f));
    state.style = plain();
    state.canvas.view = Some(View { centre: size.map(|s| f64::from(s) / 2.0), zoom });
    harness
}

fn square(x: u32, y: u32, from: u32, to: u32) -> bool {
    (from..to).contains(&x) && (from..to).contains(&y)
}

fn times(colour: Color32, part: f64) -> [f64; 3] {
    let [r, g, b, _] = colour.to_array();
    [r, g, b].map(|v| f64::from(v) * part)
}

fn is(shot: &Shot, at: [f64; 2], wanted: [f64; 3]) {
    let seen = shot.shows(at);
    assert!(near(seen, wanted, 1.0), "{at:?}: {seen:?}, not {wanted:?}");
}

#[test]
fn instances_are_filled_and_outlined_inside() {
    if !device() {
        return;
    }
    let mut harness = labelled([64, 64], 10.0, |x, y| if square(x, y, 20, 30) { 5 } else { 0 });
    let shot_of = |harness: &mut Harness<App>| settle(harness);
    let (colour, none) = (instance_colour(5), [0.0; 3]);
    let shot = shot_of(&mut harness);
    // Screen pixels are a tenth of an image pixel.
    is(&shot, [19.95, 25.0], none);
    is(&shot, [20.05, 25.0], times(colour, 1.0));
    is(&shot, [20.15, 25.0], times(colour, 0.5));
    is(&shot, [29.85, 29.85], times(colour, 0.5));
    is(&shot, [29.95, 25.0], times(colour, 1.0));
    is(&shot, [30.05, 25.0], none);
    is(&shot, [25.0, 20.05], times(colour, 1.0));

    harness.state_mut().style.width = 2.0;
    let shot = shot_of(&mut harness);
    is(&shot, [20.15, 25.0], times(colour, 1.0));
    is(&shot, [20.25, 25.0], times(colour, 0.5));

    harness.state_mut().style.outlines = false;
    is(&shot_of(&mut harness), [20.05, 25.0], times(colour, 0.5));
    harness.state_mut().style.fills = false;
    is(&shot_of(&mut harness), [25.0, 25.0], none);
    harness.state_mut().style.outlines = true;
    is(&shot_of(&mut harness), [25.0, 25.0], none);
    is(&shot_of(&mut harness), [20.05, 25.0], times(colour, 1.0));

    // The selected one stands out.
    harness.state_mut().style = LabelStyle { selected: Some(5), ..plain() };
    is(&shot_of(&mut harness), [20.05, 25.0], [255.0; 3]);
    is(&shot_of(&mut harness), [25.0, 25.0], times(colour, 0.7));
}

#[test]
fn tiles_and_levels_leave_no_trace() {
    if !device() {
        return;
    }
    // One instance across the corner of four tiles, and one at the map's edge.
    let inside = |x: u32, y: u32| square(x, y, 200, 312);
    for zoom in [4.0, 1.0, 0.5] {
        let mut harness = labelled([600, 600], zoom, |x, y| u32::from(inside(x, y)) * 3);
        harness.state_mut().canvas.view = Some(View { centre: [256.0, 256.0], zoom });
        let shot = settle(&mut harness);
        let fill = times(instance_colour(3), 0.5);
        for i in 0..60 {
            let along = 206.0 + 1.6 * f64::from(i);
            if zoom < 2.0 || (225.0..285.0).contains(&along) {
                is(&shot, [along, 255.9], fill);
                is(&shot, [256.1, along], fill);
            }
        }
        if zoom < 2.0 {
            is(&shot, [200.0 + 0.5 / zoom, 256.0], times(instance_colour(3), 1.0));
            is(&shot, [200.0 - 0.5 / zoom, 256.0], [0.0; 3]);
        }
    }
    let mut harness = labelled([100, 100], 2.0, |_, _| 9);
    let shot = settle(&mut harness);
    is(&shot, [0.2, 50.0], times(instance_colour(9), 0.5));
}

#[test]
fn unlabelled_pixels_are_hatched() {
    if !device() {
        return;
    }
    let mut harness = labelled([64, 64], 4.0, |x, _| if x < 32 { UNLABELLED } else { 0 });
    let count =
        |shot: &Shot, x0: u32| (0..100 * 100).filter(|i| shot.at(x0 + i % 100, 100 + i / 100) != [0; 3]).count();
    let shot = settle(&mut harness);
    let hatched = count(&shot, 90);
    assert!((800..2000).contains(&hatched) && count(&shot, 210) == 0, "{hatched}");
    harness.state_mut().style.unlabelled = false;
    assert_eq!(count(&settle(&mut harness), 90), 0);
}

#[test]
fn a_changed_tile_is_seen_and_others_are_not_uploaded_again() {
    if !device() {
        return;
    }
    let mut harness = labelled([1000, 800], 0.35, |_, _| 0);
    settle(&mut harness);
    // Coarse tiles hold a changed one, too.
    harness.state_mut().labels.as_mut().unwrap().set([2, 2], 4);
    let before = harness.state().canvas.uploads();
    settle(&mut harness);
    let after = harness.state().canvas.uploads();
    assert_eq!(after.label_tiles - before.label_tiles, 2, "the visible tile, and the coarsest level");

    harness.state_mut().canvas.view = Some(View { centre: [512.0, 400.0], zoom: 0.6 });
    settle(&mut harness);
    let before = harness.state().canvas.uploads();
    assert_eq!(settle_uploads(&mut harness), before);
    harness.state_mut().style.outlines = false;
    for x in 505..510 {
        for y in 300..310 {
            harness.state_mut().labels.as_mut().unwrap().set([x, y], 7);
        }
    }
    let shot = settle(&mut harness);
    is(&shot, [507.0, 305.0], times(instance_colour(7), 0.5));
    let after = harness.state().canvas.uploads();
    assert_eq!(after.label_tiles - before.label_tiles, 2);
    assert!(after.label_strips - before.label_strips <= 8 && after.image_tiles == before.image_tiles);
}

fn settle_uploads(harness: &mut Harness<App>) -> unet_studio::canvas::Uploads {
    settle(harness);
    harness.state().canvas.uploads()
}

#[test]
fn classes_have_their_colours_and_can_be_hidden() {
    if !device() {
        return;
    }
    let mut harness = labelled([64, 64], 4.0, |x, _| x / 16);
    let classes = [Color32::from_rgb(200, 100, 0), Color32::TRANSPARENT];
    harness.state_mut().style.colouring = Colouring::by_class(&[0, 0, 1], &classes);
    let shot = settle(&mut harness);
    is(&shot, [24.0, 32.0], [100.0, 50.0, 0.0]);
    is(&shot, [40.0, 32.0], [0.0; 3]);
    is(&shot, [56.0, 32.0], times(instance_colour(3), 0.5));
    let classes = [Color32::from_rgb(0, 100, 200); 2];
    harness.state_mut().style.colouring = Colouring::by_class(&[0, 0, 1], &classes);
    is(&settle(&mut harness), [40.0, 32.0], [0.0, 50.0, 100.0]);
}

#[test]
fn a_split_shows_each_side_its_labels() {
    if !device() {
        return;
    }
    let mut harness = labelled([64, 64], 4.0, |_, _| 1);
    harness.state_mut().compare = Some(Map::new([64, 64], |_, _| 2));
    harness.state_mut().canvas.split = 0.5;
    let shot = settle(&mut harness);
    is(&shot, [16.0, 40.0], times(instance_colour(1), 0.5));
    is(&shot, [48.0, 40.0], times(instance_colour(2), 0.5));
    assert_eq!(harness.state().last.as_ref().unwrap().labels, [None, None]);
}

/// Live output of 32 x 16 texels.
fn live_texture(harness: &Harness<App>, format: wgpu::TextureFormat, bytes: &[u8]) -> wgpu::Texture {
    let state = &harness.state().render_state;
    let texture = state.device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width: 32, height: 16, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    });
    let row = Some(bytes.len() as u32 / 16);
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: row, rows_per_image: None };
    state.queue.write_texture(texture.as_image_copy(), bytes, layout, texture.size());
    texture
}

#[test]
fn live_output_follows_its_threshold() {
    if !device() {
        return;
    }
    let mut harness = open(black([64, 64]), [400.0, 300.0], 1.0);
    let values: Vec<f32> = (0..32 * 16).map(|i| (i % 32) as f32 / 32.0).collect();
    let texture = live_texture(&harness, wgpu::TextureFormat::R32Float, bytemuck::cast_slice(&values));
    let colour = Color32::from_rgb(0, 200, 100);
    let look = LiveLook::Threshold { least: 0.5, colour };
    let live = Live { texture, at: [10, 20], size: [32, 16], look, opacity: 0.4 };
    harness.state_mut().live = Some(live);
    harness.state_mut().canvas.view = Some(View { centre: [26.0, 28.0], zoom: 8.0 });
    let seen = settle(&mut harness);
    is(&seen, [25.5, 28.0], [0.0; 3]);
    is(&seen, [26.06, 28.0], times(colour, 1.0));
    is(&seen, [30.0, 28.0], times(colour, 0.4));
    is(&seen, [41.9, 28.0], times(colour, 0.4));
    is(&seen, [42.1, 28.0], [0.0; 3]);
    harness.state_mut().live.as_mut().unwrap().look = LiveLook::Threshold { least: 0.75, colour };
    let seen = shot(&mut harness);
    is(&seen, [30.0, 28.0], [0.0; 3]);
    is(&seen, [36.0, 28.0], times(colour, 0.4));
}

#[test]
fn live_classes_have_their_colours() {
    if !device() {
        return;
    }
    let mut harness = open(black([64, 64]), [400.0, 300.0], 1.0);
    // Background, two classes, and one that the table does not have.
    let classes: Vec<u8> = (0..32 * 16).map(|i| (i % 32 / 8) as u8).collect();
    let texture = live_texture(&harness, wgpu::TextureFormat::R8Uint, &classes);
    let (green, orange) = (Color32::from_rgb(0, 200, 100), Color32::from_rgb(230, 160, 0));
    let table = |two: Color32| LiveLook::Classes([Color32::TRANSPARENT, green, two].into());
    let live = Live { texture, at: [10, 20], size: [32, 16], look: table(orange), opacity: 0.4 };
    harness.state_mut().live = Some(live);
    harness.state_mut().canvas.view = Some(View { centre: [26.0, 28.0], zoom: 8.0 });
    let seen = settle(&mut harness);
    is(&seen, [14.0, 28.0], [0.0; 3]);
    is(&seen, [22.0, 28.0], times(green, 0.4));
    is(&seen, [25.94, 28.0], times(green, 1.0));
    is(&seen, [30.0, 28.0], times(orange, 0.4));
    is(&seen, [38.0, 28.0], [0.0; 3]);
    harness.state_mut().live.as_mut().unwrap().look = table(Color32::TRANSPARENT);
    is(&shot(&mut harness), [30.0, 28.0], [0.0; 3]);
}

/// Lines are as thick for the eye where a point has two pixels.
#[test]
fn outlines_and_the_hatch_grow_with_the_pixels_of_a_point() {
    if !device() {
        return;
    }
    let widths = [1.0, 2.0].map(|p| {
        let mut harness = open(black([64, 64]), [400.0, 300.0], p);
        harness.state_mut().labels = Some(Map::new([64, 64], |x, _| if x < 32 { 1 } else { UNLABELLED }));
        harness.state_mut().style = LabelStyle { opacity: 0.0, width: 1.0, ..Default::default() };
        harness.state_mut().canvas.view = Some(View { centre: [32.0, 32.0], zoom: 8.0 });
        let seen = settle(&mut harness);
        assert_eq!(seen.size, [400, 300]);
        let drawn = |x: u32| seen.at(x, 150) != [0; 3];
        let lines = (202..394).filter(|&x| drawn(x) && !drawn(x - 1)).count();
        // The outline ends at the edge of instance 1, in the middle of the window; the hatch is right of it.
        ((100..200).filter(|&x| drawn(x)).count(), lines)
    });
    assert!(widths[0].0 >= 1 && widths[1].0 == 2 * widths[0].0, "{widths:?}");
    assert!(widths[0].1.abs_diff(2 * widths[1].1) <= 1, "lines of the hatch are twice as far apart: {widths:?}");
}
