//! Tools for labels: what the pointer does on the canvas.

use super::document::Document;
use crate::canvas::CanvasResponse;
use crate::labels::{BACKGROUND, Edit, Over, UNLABELLED, is_instance};
use eframe::egui::{self, Color32, Key, Stroke};

/// A tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tool {
    #[default]
    Select,
    Brush,
    Background,
    Eraser,
    Polygon,
    Fill,
    Split,
}

/// Its name, key and what it does.
pub(super) const TOOLS: [(Tool, &str, Key, &str); 7] = [
    (Tool::Select, "Select", Key::V, "Choose an instance; with Shift several. Drag moves the image"),
    (Tool::Brush, "Brush", Key::B, "Paint the chosen instance, or a new one where none is chosen"),
    (Tool::Background, "Background", Key::G, "Paint background: pixels that are surely no instance"),
    (Tool::Eraser, "Eraser", Key::E, "Make pixels unlabelled again: training ignores them"),
    (Tool::Polygon, "Polygon", Key::P, "Click corners; a double click or Enter closes the outline of a new instance"),
    (Tool::Fill, "Fill", Key::F, "Fill the region of equal labels under the pointer with the chosen instance"),
    (Tool::Split, "Split", Key::S, "Draw a line across an instance to divide it"),
];

/// The tool in hand and what it is doing.
pub(super) struct Tools {
    pub(super) tool: Tool,
    /// Pixels.
    pub(super) radius: f32,
    /// Whether painting leaves other instances alone.
    pub(super) protect: bool,
    /// The class of new instances.
    pub(super) class: u8,
    line: Vec<[f32; 2]>,
}

impl Default for Tools {
    fn default() -> Self {
        Self { tool: Tool::default(), radius: 6.0, protect: true, class: 1, line: Vec::new() }
    }
}

/// What a frame's input came to.
#[derive(Default)]
pub(super) struct ToolOutcome {
    /// Whether labels have changed.
    pub(super) done: bool,
    /// Why one was not.
    pub(super) refused: Option<String>,
}

impl Tools {
    pub(super) fn choose(&mut self, tool: Tool) {
        self.tool = tool;
        self.line.clear();
    }

    /// Larger and smaller brushes.
    pub(super) fn scale_radius(&mut self, factor: f32) {
        self.radius = (self.radius * factor).clamp(0.5, 200.0);
    }

    fn over(&self) -> Over {
        if self.protect { Over::OnlyUnlabelledAndBackground } else { Over::Everything }
    }

    /// Applies what the pointer did.
    pub(super) fn follow(&mut self, doc: &mut Document, canvas: &CanvasResponse) -> ToolOutcome {
        match self.tool {
            Tool::Select => self.select(doc, canvas),
            Tool::Brush | Tool::Background | Tool::Eraser => self.stroke(doc, canvas),
            Tool::Polygon => self.polygon(doc, canvas),
            Tool::Fill => self.fill(doc, canvas),
            Tool::Split => self.split(doc, canvas),
        }
    }

    fn select(&mut self, doc: &mut Document, canvas: &CanvasResponse) -> ToolOutcome {
        if canvas.response.clicked() {
            let id = canvas.labels[0].filter(|&id| is_instance(id));
            if !canvas.modifiers.shift {
                doc.selected.clear();
            }
            if let Some(id) = id {
                match doc.selected.iter().position(|&other| other == id) {
                    Some(i) => drop(doc.selected.remove(i)),
                    None => doc.selected.push(id),
                }
            }
        }
        ToolOutcome::default()
    }

    /// The instance to paint: the chosen one, or a new one.
    fn instance(&self, doc: &mut Document) -> u32 {
        let id = doc.active().unwrap_or_else(|| doc.editor.labels().next_id());
        doc.selected = vec![id];
        id
    }

    fn stroke(&mut self, doc: &mut Document, canvas: &CanvasResponse) -> ToolOutcome {
        let mut outcome = ToolOutcome::default();
        let mut path = canvas.path.iter().copied();
        if canvas.pressed.is_some() {
            let (value, over) = match self.tool {
                Tool::Brush => (self.instance(doc), self.over()),
                Tool::Background => (BACKGROUND, Over::Everything),
                _ => (UNLABELLED, Over::Everything),
            };
            let class = (self.tool == Tool::Brush).then_some(self.class);
            let points = path.next().into_iter().collect();
            let brush = Edit::Brush { points, radius: self.radius, value, over, class };
            outcome.refused = doc.editor.begin(brush).err().map(|e| e.to_string());
        }
        path.for_each(|point| drop(doc.editor.extend(point)));
        if canvas.released.is_some() || (!canvas.down && doc.editor.editor().stroke_under_way()) {
            outcome.done = doc.editor.finish().is_some();
        }
        outcome
    }

    fn polygon(&mut self, doc: &mut Document, canvas: &CanvasResponse) -> ToolOutcome {
        if let (true, Some(at)) = (canvas.response.clicked(), canvas.pointer) {
            self.line.push(at);
        }
        // While the button is down the outline follows the pointer, as a lasso.
        if canvas.down && canvas.response.dragged() {
            self.line.extend(&canvas.path);
        }
        let closed = canvas.response.double_clicked()
            || (canvas.response.drag_stopped() && self.line.len() > 2)
            || canvas.response.ctx.input(|i| i.key_pressed(Key::Enter));
        if !closed || self.line.len() < 3 {
            return ToolOutcome::default();
        }
        let id = doc.editor.labels().next_id();
        doc.selected = vec![id];
        let points = std::mem::take(&mut self.line);
        apply(doc, Edit::Polygon { points, value: id, over: self.over(), class: Some(self.class) })
    }

    fn fill(&mut self, doc: &mut Document, canvas: &CanvasResponse) -> ToolOutcome {
        let (true, Some(at)) = (canvas.response.clicked(), canvas.pixel) else { return ToolOutcome::default() };
        let value = self.instance(doc);
        apply(doc, Edit::Fill { at, value, class: Some(self.class) })
    }

    fn split(&mut self, doc: &mut Document, canvas: &CanvasResponse) -> ToolOutcome {
        if canvas.pressed.is_some() {
            self.line.clear();
        }
        if canvas.down || canvas.released.is_some() {
            self.line.extend(&canvas.path);
        }
        if canvas.released.is_none() {
            return ToolOutcome::default();
        }
        let line = std::mem::take(&mut self.line);
        // The instance that most of the line lies on.
        let on = |&[x, y]: &[f32; 2]| {
            let inside = x >= 0.0 && y >= 0.0;
            inside.then(|| doc.editor.labels().get(x as u32, y as u32)).flatten().filter(|&id| is_instance(id))
        };
        let ids: Vec<u32> = dense(&line).iter().filter_map(on).collect();
        let most = ids.iter().max_by_key(|&&id| ids.iter().filter(|&&other| other == id).count()).copied();
        match most {
            Some(id) => apply(doc, Edit::Split { id, line }),
            None if line.len() > 1 => {
                ToolOutcome { refused: Some("The line crosses no instance.".into()), ..ToolOutcome::default() }
            }
            None => ToolOutcome::default(),
        }
    }

    /// Gives up an outline that is not closed.
    pub(super) fn cancel(&mut self, doc: &mut Document) {
        self.line.clear();
        doc.editor.cancel();
    }

    /// The tool's cursor and its unfinished line.
    pub(super) fn draw(&self, canvas: &CanvasResponse) {
        let lines = [Stroke::new(3.0, Color32::from_black_alpha(140)), Stroke::new(1.0, Color32::WHITE)];
        if let (Some(at), Tool::Brush | Tool::Background | Tool::Eraser) = (canvas.pointer, self.tool) {
            let radius = self.radius * canvas.points_per_pixel();
            for line in lines {
                canvas.painter.circle_stroke(canvas.to_screen(at), radius, line);
            }
        }
        if self.line.is_empty() {
            return;
        }
        let mut points: Vec<egui::Pos2> = self.line.iter().map(|&at| canvas.to_screen(at)).collect();
        if self.tool == Tool::Polygon {
            points.extend(canvas.pointer.map(|at| canvas.to_screen(at)));
        }
        for line in lines {
            canvas.painter.line(points.clone(), line);
        }
    }
}

/// Points on a line, at most a pixel apart.
fn dense(line: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let mut out = Vec::new();
    for pair in line.windows(2) {
        let [[x0, y0], [x1, y1]] = [pair[0], pair[1]];
        let steps = (x1 - x0).hypot(y1 - y0).ceil().clamp(1.0, 1e5) as usize;
        out.extend((0..=steps).map(|i| {
            let t = i as f32 / steps as f32;
            [x0 + t * (x1 - x0), y0 + t * (y1 - y0)]
        }));
    }
    out
}

/// Carries out an edit.
pub(super) fn apply(doc: &mut Document, edit: Edit) -> ToolOutcome {
    match doc.editor.apply(&edit) {
        Ok(change) if change.is_empty() => ToolOutcome::default(),
        Ok(_) => ToolOutcome { done: true, refused: None },
        Err(e) => ToolOutcome { done: false, refused: Some(e.to_string()) },
    }
}
