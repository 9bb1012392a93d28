//! Light and dark, and screens with two pixels for a point.

use super::app::*;
use eframe::egui::{Key, Modifiers, Pos2, Theme, vec2};
use egui_kittest::kittest::Queryable;

/// The share of a part of the frame that is light.
fn light(shot: &Shot, columns: std::ops::Range<usize>) -> f64 {
    let [width, height] = shot.0;
    let rows = height / 2..height * 3 / 4;
    let count = rows.len() * columns.len();
    let bright = rows.flat_map(|y| columns.clone().map(move |x| (y * width + x) * 4)).filter(|&i| shot.1[i] > 127);
    bright.count() as f64 / count as f64
}

#[test]
fn light_and_dark_are_chosen_and_remembered() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(image(), dir.path().join(IMAGE)).unwrap();
    let preferences = dir.path().join("config/preferences.json");
    let mut harness = window(dir.path(), vec2(1000.0, 640.0), 1.0, Some(preferences.clone()));
    until(&mut harness, "opening", |s| s.status().image.is_some() && s.status().model.is_some());
    let first = harness.ctx.theme();
    press(&mut harness, Modifiers::SHIFT, Key::L);
    assert_ne!(harness.ctx.theme(), first);
    press(&mut harness, Modifiers::SHIFT, Key::L);
    assert_eq!(harness.ctx.theme(), first);
    // With the mouse, in the menu.
    for (name, theme) in [("Dark", Theme::Dark), ("Light", Theme::Light)] {
        harness.get_by_label("View").click();
        harness.run_steps(3);
        harness.get_by_label(name).click();
        harness.run_steps(3);
        picture(&mut harness, &format!("menu_{}", name.to_lowercase()));
        press(&mut harness, Modifiers::NONE, Key::Escape);
        assert_eq!(harness.ctx.theme(), theme);
        for (key, panel) in [(Key::V, "segment"), (Key::B, "label")] {
            press(&mut harness, Modifiers::NONE, key);
            picture(&mut harness, &format!("{panel}_{}", name.to_lowercase()));
        }
        let seen = shot(&mut harness);
        let panels = [light(&seen, 5..180), light(&seen, 700..990)];
        let fine = panels.iter().all(|&part| if theme == Theme::Light { part > 0.8 } else { part < 0.2 });
        assert!(fine, "{theme:?}: {panels:?}");
    }
    // The harness has a theme of its own, so what another window would begin with is read from the file.
    let remembered = std::fs::read_to_string(&preferences).unwrap();
    assert!(remembered.contains("\"light\""), "{remembered}");
}

#[test]
fn strokes_land_on_their_pixels_where_a_point_has_two() {
    let sizes = [1.0, 2.0].map(|p| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(image(), dir.path().join(IMAGE)).unwrap();
        let mut harness = window(dir.path(), vec2(900.0, 560.0), p, None);
        until(&mut harness, "opening", |s| s.status().image.is_some() && s.status().model.is_some());
        press(&mut harness, Modifiers::NONE, Key::B);
        // A line from one pixel to another, of one that is in no way in the middle.
        let ends = [[101.5, 77.5], [140.5, 77.5]];
        let [from, to] = ends.map(|at| harness.state().place_of(at).unwrap());
        let stroke: Vec<Pos2> = (0..=8).map(|i| from + (to - from) * (i as f32 / 8.0)).collect();
        drag(&mut harness, &stroke);
        assert_eq!(harness.state().status().labelled, 1, "{:?}", harness.state().status());
        let at = |x, y| harness.state().label_at(x, y).unwrap();
        // The brush has a radius of 6 pixels of the image, whatever the screen.
        for [x, y] in [[101, 77], [140, 77], [120, 77], [120, 72], [120, 82], [96, 77], [145, 77]] {
            assert_eq!(at(x, y), 1, "{p}: {x} {y}");
        }
        for [x, y] in [[93, 77], [148, 77], [120, 69], [120, 85], [60, 60]] {
            assert_eq!(at(x, y), u32::MAX, "{p}: {x} {y}");
        }
        // The picture has that many pixels, and the stroke is where it was drawn.
        let seen = shot(&mut harness);
        assert_eq!(seen.0, [900.0, 560.0].map(|v: f32| (v * p) as usize));
        let [r, g, b] = colour_at(&seen, from + (to - from) * 0.5, p);
        assert!(r != g || g != b, "the stroke has a colour in a grey image: {r} {g} {b}");
        picture(&mut harness, &format!("pixels_per_point_{p}"));
        let text = harness.get_by_label("Add a class").rect();
        (text.size(), harness.state().canvas_rect().unwrap().size())
    });
    // Texts and panels have the same size in points; text is rounded to pixels.
    let [(text, canvas), (other, larger)] = sizes;
    assert!((text - other).length() < 2.0 && (canvas - larger).length() < 4.0, "{sizes:?}");
}
