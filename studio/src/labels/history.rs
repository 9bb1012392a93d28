//! Undo and redo within a memory budget.

use std::collections::VecDeque;

use super::edit::Change;
use super::recorder::Step;
use super::table::Labels;

/// Default bytes for steps.
const BUDGET: u64 = 512 << 20;

/// The steps that can be undone and redone.
#[derive(Clone, Debug)]
pub(super) struct History {
    undo: VecDeque<Step>,
    redo: Vec<Step>,
    bytes: u64,
    budget: u64,
}

impl Default for History {
    fn default() -> Self {
        Self { undo: VecDeque::new(), redo: Vec::new(), bytes: 0, budget: BUDGET }
    }
}

impl History {
    /// Adds a step; nothing can be redone then.
    pub fn push(&mut self, step: Step) {
        self.bytes -= self.redo.drain(..).map(|s| s.bytes).sum::<u64>();
        self.bytes += step.bytes;
        self.undo.push_back(step);
        self.trim();
    }

    pub fn set_budget(&mut self, bytes: u64) {
        self.budget = bytes;
        self.trim();
    }

    pub fn budget(&self) -> u64 {
        self.budget
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The oldest steps go first. The latest one stays, however large it is.
    fn trim(&mut self) {
        while self.bytes > self.budget && self.undo.len() + self.redo.len() > 1 {
            let Some(step) = self.undo.pop_front().or_else(|| Some(self.redo.remove(0))) else { return };
            self.bytes -= step.bytes;
        }
    }

    pub fn clear(&mut self) {
        *self = Self { budget: self.budget, ..Self::default() };
    }

    /// Steps that can be undone, and redone.
    pub fn depth(&self) -> [usize; 2] {
        [self.undo.len(), self.redo.len()]
    }

    pub fn undo_name(&self) -> Option<&'static str> {
        self.undo.back().map(|s| s.name)
    }

    pub fn redo_name(&self) -> Option<&'static str> {
        self.redo.last().map(|s| s.name)
    }

    pub fn undo(&mut self, labels: &mut Labels) -> Option<Change> {
        let step = self.undo.pop_back()?;
        let step = self.exchange(step, labels);
        let change = step.change.clone();
        self.redo.push(step);
        self.trim();
        Some(change)
    }

    pub fn redo(&mut self, labels: &mut Labels) -> Option<Change> {
        let step = self.redo.pop()?;
        let step = self.exchange(step, labels);
        let change = step.change.clone();
        self.undo.push_back(step);
        self.trim();
        Some(change)
    }

    /// The step that was undone or redone last.
    pub fn last_undone(&self) -> Option<&Step> {
        self.redo.last()
    }

    /// The step that was done or redone last.
    pub fn last_done(&self) -> Option<&Step> {
        self.undo.back()
    }

    fn exchange(&mut self, mut step: Step, labels: &mut Labels) -> Step {
        self.bytes -= step.bytes;
        step.swap(labels);
        self.bytes += step.bytes;
        step
    }
}
