//! Pointer and keyboard of a canvas: pan, zoom, and what remains for tools.

use super::view::{Area, View};
use eframe::egui::{Event, EventFilter, Key, PointerButton, Pos2, Response, Ui, Vec2};

/// What a pressed button does until it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drag {
    Pan,
    Tool,
    Split,
}

/// A drag under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pointer {
    drag: Option<(Drag, PointerButton)>,
    last: Option<Pos2>,
}

/// What the pointer did to the tool in this frame, in points.
#[derive(Clone, Debug, Default)]
pub(super) struct ToolInput {
    pub pressed: Option<Pos2>,
    /// Every position that was passed while the button was down, in order.
    pub path: Vec<Pos2>,
    pub released: Option<Pos2>,
    pub down: bool,
    pub panning: bool,
}

/// What the pointer and the keyboard act on.
pub(super) struct Control<'a> {
    pub view: &'a mut View,
    pub area: &'a Area,
    pub size: [u32; 2],
    /// The primary button pans.
    pub pans: bool,
    /// The split as a fraction of the width, if there is one.
    pub split: Option<&'a mut f32>,
}

/// The pointer takes the split from so many points away.
const SPLIT_REACH: f32 = 6.0;

impl Control<'_> {
    fn split_x(&self) -> Option<f32> {
        self.split.as_deref().map(|s| self.area.rect.left() + s * self.area.rect.width())
    }

    pub fn over_split(&self, at: Pos2) -> bool {
        self.split_x().is_some_and(|x| (at.x - x).abs() <= SPLIT_REACH)
    }
}

impl Pointer {
    pub fn drags_split(&self) -> bool {
        matches!(self.drag, Some((Drag::Split, _)))
    }

    /// Follows this frame's pointer events in order, so that fast strokes lose no point.
    pub fn follow(&mut self, ui: &Ui, response: &Response, control: &mut Control) -> ToolInput {
        let mut tool = ToolInput::default();
        let touched = response.contains_pointer() || response.is_pointer_button_down_on();
        let (events, space, fingers) =
            ui.input(|i| (i.events.clone(), i.key_down(Key::Space), i.multi_touch().is_some()));
        for event in events {
            match event {
                Event::PointerButton { pos, button, pressed: true, .. } if self.drag.is_none() => {
                    if !touched || !control.area.rect.contains(pos) {
                        continue;
                    }
                    response.request_focus();
                    let drag = match button {
                        PointerButton::Middle => Drag::Pan,
                        PointerButton::Primary if space => Drag::Pan,
                        PointerButton::Primary if control.over_split(pos) => Drag::Split,
                        PointerButton::Primary if control.pans => Drag::Pan,
                        PointerButton::Primary => Drag::Tool,
                        _ => continue,
                    };
                    (self.drag, self.last) = (Some((drag, button)), Some(pos));
                    if drag == Drag::Tool {
                        tool.pressed = Some(pos);
                        tool.path.push(pos);
                    }
                }
                Event::PointerMoved(pos) => self.moved(pos, control, &mut tool, fingers),
                Event::PointerButton { pos, button, pressed: false, .. }
                    if self.drag.is_some_and(|d| d.1 == button) =>
                {
                    self.moved(pos, control, &mut tool, fingers);
                    if matches!(self.drag, Some((Drag::Tool, _))) {
                        tool.released = Some(pos);
                    }
                    self.drag = None;
                }
                Event::PointerGone | Event::WindowFocused(false) => {
                    if let (Some((Drag::Tool, _)), Some(last)) = (self.drag, self.last) {
                        tool.released = Some(last);
                    }
                    self.drag = None;
                }
                _ => {}
            }
        }
        tool.down = matches!(self.drag, Some((Drag::Tool, _)));
        tool.panning = matches!(self.drag, Some((Drag::Pan, _)));
        tool
    }

    fn moved(&mut self, pos: Pos2, control: &mut Control, tool: &mut ToolInput, fingers: bool) {
        let Some((drag, _)) = self.drag else { return };
        let delta = self.last.map_or(Vec2::ZERO, |last| pos - last);
        self.last = Some(pos);
        if delta == Vec2::ZERO {
            return;
        }
        match drag {
            // Two fingers pan and pinch by themselves.
            Drag::Pan if !fingers => control.view.pan(control.area, control.size, delta),
            Drag::Pan => {}
            Drag::Tool => tool.path.push(pos),
            Drag::Split => {
                let rect = control.area.rect;
                if let Some(split) = control.split.as_deref_mut() {
                    *split = ((pos.x - rect.left()) / rect.width().max(1.0)).clamp(0.0, 1.0);
                }
            }
        }
    }
}

/// Zooms by wheel, pinch and keys, pans by arrows and by two fingers.
pub(super) fn zoom_and_keys(ui: &Ui, response: &Response, control: &mut Control) {
    let (area, size) = (control.area, control.size);
    let pointer = ui.input(|i| i.pointer.latest_pos()).filter(|_| response.contains_pointer());
    if let Some(at) = pointer {
        let (scroll, pinch, touch) =
            ui.input(|i| (i.smooth_scroll_delta(), i.zoom_delta(), i.multi_touch().map(|t| t.translation_delta)));
        // A notch of a wheel, 50 points, is a factor of 1.28.
        let factor = f64::from(scroll.y * 0.005).exp() * f64::from(pinch);
        if factor != 1.0 {
            control.view.zoom_at(area, size, at, factor);
        }
        let pan = Vec2::new(scroll.x, 0.0) + touch.unwrap_or_default();
        if pan != Vec2::ZERO {
            control.view.pan(area, size, pan);
        }
    }
    if response.has_focus() {
        let arrows = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..Default::default() };
        ui.memory_mut(|m| m.set_focus_lock_filter(response.id, arrows));
        keys(ui, control, pointer.unwrap_or(area.rect.center()));
    }
}

fn keys(ui: &Ui, control: &mut Control, at: Pos2) {
    let (area, size) = (control.area, control.size);
    let presses =
        |key: Key| ui.input(|i| if i.modifiers.any() && !i.modifiers.shift_only() { 0 } else { i.num_presses(key) });
    let (closer, farther) = (presses(Key::Plus) + presses(Key::Equals), presses(Key::Minus));
    if closer != farther {
        control.view.zoom_at(area, size, at, 1.5f64.powi(closer as i32 - farther as i32));
    }
    if presses(Key::Num0) > 0 {
        *control.view = View::fit(area, size);
    }
    if presses(Key::Num1) > 0 {
        let factor = 1.0 / control.view.zoom;
        control.view.zoom_at(area, size, at, factor);
    }
    let step = area.rect.size() * 0.1;
    let along = |less: Key, more: Key| presses(less) as f32 - presses(more) as f32;
    let pan = Vec2::new(along(Key::ArrowLeft, Key::ArrowRight), along(Key::ArrowUp, Key::ArrowDown)) * step;
    if pan != Vec2::ZERO {
        control.view.pan(area, size, pan);
    }
}
