//! Labels with their history, and the stroke under way.

use super::apply::{Paint, brush};
use super::edit::{Change, Edit};
use super::error::EditError;
use super::history::History;
use super::patch::Patch;
use super::recorder::Recorder;
use super::shapes::points;
use super::table::Labels;

/// Labels under edit.
#[derive(Clone, Debug)]
pub struct Editor {
    labels: Labels,
    history: History,
    stroke: Option<Stroke>,
}

/// A stroke under way.
#[derive(Clone, Debug)]
struct Stroke {
    edit: Edit,
    paint: Paint,
    radius: f64,
    last: [f64; 2],
    recorder: Recorder,
}

impl From<Labels> for Editor {
    fn from(labels: Labels) -> Self {
        Self { labels, history: History::default(), stroke: None }
    }
}

impl Editor {
    /// Labels without a history.
    pub fn new(labels: Labels) -> Self {
        labels.into()
    }

    /// The labels as they are, with the stroke under way.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// [`super::LabelMap::take_changed`] of the labels.
    pub fn take_changed(&mut self) -> Vec<[u32; 2]> {
        self.labels.take_changed()
    }

    /// Carries out an edit, as one step. If it changes nothing, there is no step. On an error nothing has changed.
    pub fn apply(&mut self, edit: &Edit) -> Result<Change, EditError> {
        if self.stroke.is_some() {
            return Err(EditError::StrokeUnderWay);
        }
        let mut recorder = Recorder::new(&self.labels);
        if let Err(e) = self.labels.apply(&mut recorder, edit) {
            recorder.restore(&mut self.labels);
            return Err(e);
        }
        Ok(self.record(recorder, edit.name()))
    }

    fn record(&mut self, recorder: Recorder, name: &'static str) -> Change {
        let Some(step) = recorder.into_step(name, &self.labels) else { return Change::default() };
        let change = step.change.clone();
        self.history.push(step);
        change
    }

    /// Begins a stroke: an [`Edit::Brush`] with its first points, which is drawn at once.
    pub fn begin(&mut self, edit: Edit) -> Result<Change, EditError> {
        if self.stroke.is_some() {
            return Err(EditError::StrokeUnderWay);
        }
        let Edit::Brush { points, radius, value, over, class } = &edit else { return Err(EditError::NotAStroke) };
        let paint = Paint::new(&self.labels, *value, *over, *class)?;
        let (points, radius) = brush(points, *radius)?;
        let Some(&last) = points.last() else { return Ok(Change::default()) };
        let mut recorder = Recorder::new(&self.labels);
        for (&a, &b) in points.iter().take(1).chain(&points).zip(&points) {
            self.labels.brush(&mut recorder, &paint, [a, b], radius);
        }
        let change = recorder.change();
        self.stroke = Some(Stroke { edit, paint, radius, last, recorder });
        Ok(change)
    }

    /// Continues the stroke to a point and returns what the stroke has changed so far. Points that are not finite or equal the
    /// last one are passed over.
    pub fn extend(&mut self, point: [f32; 2]) -> Change {
        let Some(stroke) = &mut self.stroke else { return Change::default() };
        let Some(&[to]) = points(&[point]).as_deref() else { return stroke.recorder.change() };
        if to != stroke.last {
            self.labels.brush(&mut stroke.recorder, &stroke.paint, [stroke.last, to], stroke.radius);
            stroke.last = to;
            if let Edit::Brush { points, .. } = &mut stroke.edit {
                points.push(point);
            }
        }
        stroke.recorder.change()
    }

    /// Ends the stroke, as one step, and returns it as an edit; none if it changed nothing.
    pub fn finish(&mut self) -> Option<Edit> {
        let Stroke { edit, recorder, .. } = self.stroke.take()?;
        let change = self.record(recorder, edit.name());
        (!change.is_empty()).then_some(edit)
    }

    /// Ends the stroke and takes it back.
    pub fn cancel(&mut self) {
        if let Some(stroke) = self.stroke.take() {
            stroke.recorder.restore(&mut self.labels);
        }
    }

    /// Whether a stroke is under way. Nothing can be undone meanwhile.
    pub fn stroke_under_way(&self) -> bool {
        self.stroke.is_some()
    }

    /// Undoes the last step and returns what changed.
    pub fn undo(&mut self) -> Option<Change> {
        if self.stroke.is_some() { None } else { self.history.undo(&mut self.labels) }
    }

    /// Redoes the step that was undone last.
    pub fn redo(&mut self) -> Option<Change> {
        if self.stroke.is_some() { None } else { self.history.redo(&mut self.labels) }
    }

    /// Name of the step that [`Self::undo`] undoes.
    pub fn can_undo(&self) -> Option<&'static str> {
        self.history.undo_name().filter(|_| self.stroke.is_none())
    }

    /// Name of the step that [`Self::redo`] redoes.
    pub fn can_redo(&self) -> Option<&'static str> {
        self.history.redo_name().filter(|_| self.stroke.is_none())
    }

    /// Number of steps that can be undone.
    pub fn undo_steps(&self) -> usize {
        self.history.depth()[0]
    }

    /// Number of steps that can be redone.
    pub fn redo_steps(&self) -> usize {
        self.history.depth()[1]
    }

    /// Bytes that only the history holds.
    pub fn history_bytes(&self) -> u64 {
        self.history.bytes()
    }

    /// Most bytes of the history, 512 MiB unless set.
    pub fn memory_budget(&self) -> u64 {
        self.history.budget()
    }

    /// Sets the most bytes of the history. Beyond it the oldest steps go first; the latest always stays.
    pub fn set_memory_budget(&mut self, bytes: u64) {
        self.history.set_budget(bytes);
    }

    /// The state to which the last undo has led, for a journal that does not hold the step.
    pub fn undone_patch(&self) -> Option<Patch> {
        self.history.last_undone().map(|step| Patch::of(&self.labels, step))
    }

    /// The state to which the last redo has led, for a journal that does not hold the step.
    pub fn redone_patch(&self) -> Option<Patch> {
        self.history.last_done().map(|step| Patch::of(&self.labels, step))
    }

    /// Puts the labels into a state that a journal holds. There is no history before it.
    pub fn restore(&mut self, patch: &Patch) -> Result<Change, EditError> {
        self.cancel();
        let change = patch.apply(&mut self.labels)?;
        self.history.clear();
        Ok(change)
    }
}
