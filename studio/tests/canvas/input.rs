//! Pointer and keyboard: zoom, pan, what tools are told, names for those who do not see the canvas.

use super::app::{App, Map, black, device, open, settle};
use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2, pos2, vec2};
use egui_kittest::{Harness, kittest::Queryable};
use unet_studio::canvas::View;

fn ready<'a>() -> Option<Harness<'a, App>> {
    if !device() {
        return None;
    }
    let mut harness = open(black([1000, 1000]), [400.0, 300.0], 1.0);
    harness.state_mut().canvas.view = Some(View { centre: [500.0, 500.0], zoom: 2.0 });
    settle(&mut harness);
    Some(harness)
}

fn button(pos: Pos2, button: PointerButton, pressed: bool) -> Event {
    Event::PointerButton { pos, button, pressed, modifiers: Modifiers::NONE }
}

/// All events in one frame, as a slow frame has them.
fn at_once(harness: &mut Harness<App>, events: Vec<Event>) {
    harness.input_mut().events.extend(events);
    harness.step();
}

fn view(harness: &Harness<App>) -> View {
    harness.state().last.as_ref().unwrap().view
}

#[test]
fn a_tool_gets_every_point_of_a_stroke() {
    let Some(mut harness) = ready() else { return };
    harness.hover_at(pos2(100.0, 100.0));
    harness.step();
    let moves = [pos2(110.0, 100.0), pos2(110.0, 120.0)];
    let mut events = vec![button(pos2(100.0, 100.0), PointerButton::Primary, true)];
    events.extend(moves.map(Event::PointerMoved));
    at_once(&mut harness, events);
    let last = harness.state().last.as_ref().unwrap();
    assert_eq!(last.pressed, Some([450.0, 475.0]));
    assert_eq!(last.path, [[450.0, 475.0], [455.0, 475.0], [455.0, 485.0]]);
    assert!(last.down && last.released.is_none() && !last.panning);
    at_once(&mut harness, vec![button(pos2(120.0, 120.0), PointerButton::Primary, false)]);
    let last = harness.state().last.as_ref().unwrap();
    assert_eq!((last.path.as_slice(), last.released), (&[[460.0, 485.0]][..], Some([460.0, 485.0])));
    assert!(!last.down);
    at_once(&mut harness, vec![Event::PointerMoved(pos2(130.0, 120.0))]);
    assert!(harness.state().last.as_ref().unwrap().path.is_empty());
    // A press and its release in the same frame.
    let at = pos2(200.0, 150.0);
    let click = [true, false].map(|pressed| button(at, PointerButton::Primary, pressed));
    at_once(&mut harness, [vec![Event::PointerMoved(at)], click.to_vec()].concat());
    let last = harness.state().last.as_ref().unwrap();
    assert_eq!((last.pressed, last.released), (Some([500.0, 500.0]), Some([500.0, 500.0])));
}

#[test]
fn the_image_is_dragged_by_the_middle_button_and_by_space() {
    let Some(mut harness) = ready() else { return };
    let drag = |harness: &mut Harness<App>, which: PointerButton| {
        let before = view(harness).centre;
        harness.hover_at(pos2(100.0, 100.0));
        harness.step();
        at_once(harness, vec![button(pos2(100.0, 100.0), which, true)]);
        at_once(harness, vec![Event::PointerMoved(pos2(120.0, 90.0))]);
        at_once(harness, vec![button(pos2(120.0, 90.0), which, false)]);
        let after = view(harness).centre;
        [after[0] - before[0], after[1] - before[1]]
    };
    assert_eq!(drag(&mut harness, PointerButton::Middle), [-10.0, 5.0]);
    assert_eq!(drag(&mut harness, PointerButton::Primary), [0.0, 0.0]);
    harness.key_down(Key::Space);
    assert_eq!(drag(&mut harness, PointerButton::Primary), [-10.0, 5.0]);
    harness.key_up(Key::Space);
    harness.step();
    harness.state_mut().canvas.primary_pans = true;
    assert_eq!(drag(&mut harness, PointerButton::Primary), [-10.0, 5.0]);
}

#[test]
fn the_wheel_zooms_to_the_pointer() {
    let Some(mut harness) = ready() else { return };
    harness.hover_at(pos2(300.0, 50.0));
    harness.step();
    let before = harness.state().last.as_ref().unwrap().pointer.unwrap();
    harness.event(Event::MouseWheel {
        unit: eframe::egui::MouseWheelUnit::Point,
        delta: vec2(0.0, 50.0),
        modifiers: Modifiers::NONE,
        phase: eframe::egui::TouchPhase::Move,
        source: eframe::egui::MouseWheelSource::Unknown,
    });
    harness.run_steps(60);
    let last = harness.state().last.as_ref().unwrap();
    let after = last.pointer.unwrap();
    assert!(last.view.zoom > 2.3, "{}", last.view.zoom);
    assert!((after[0] - before[0]).abs() < 1e-3 && (after[1] - before[1]).abs() < 1e-3, "{before:?} {after:?}");
}

#[test]
fn keys_zoom_and_pan_once_the_canvas_has_the_focus() {
    let Some(mut harness) = ready() else { return };
    harness.key_press(Key::Num1);
    harness.step();
    assert_eq!(view(&harness).zoom, 2.0);
    harness.get_by_label("Image").focus();
    harness.run_steps(3);
    harness.key_press(Key::Num1);
    harness.run_steps(2);
    assert_eq!(view(&harness).zoom, 1.0);
    harness.key_press(Key::Plus);
    harness.run_steps(2);
    assert_eq!(view(&harness).zoom, 1.5);
    harness.key_press(Key::ArrowRight);
    harness.run_steps(2);
    assert!((view(&harness).centre[0] - 500.0 - 40.0 / 1.5).abs() < 1e-3);
    harness.key_press(Key::Num0);
    harness.run_steps(2);
    assert!((view(&harness).zoom - 0.3 * 0.98).abs() < 1e-9);
}

#[test]
fn the_split_is_dragged_and_labels_are_read_under_the_pointer() {
    let Some(mut harness) = ready() else { return };
    harness.state_mut().labels = Some(Map::new([1000, 1000], |x, _| x));
    harness.state_mut().compare = Some(Map::new([1000, 1000], |_, y| y));
    harness.hover_at(pos2(100.0, 100.0));
    harness.step();
    let last = harness.state().last.as_ref().unwrap();
    assert_eq!(
        (last.pixel, last.labels, last.values.as_slice()),
        (Some([450, 475]), [Some(450), Some(475)], &[0.0][..])
    );
    let events = [button(pos2(201.0, 80.0), PointerButton::Primary, true), Event::PointerMoved(pos2(100.0, 80.0))];
    harness.hover_at(pos2(201.0, 80.0));
    harness.step();
    at_once(&mut harness, events.to_vec());
    assert_eq!(harness.state().canvas.split, 0.25);
    assert!(harness.state().last.as_ref().unwrap().path.is_empty());
}
