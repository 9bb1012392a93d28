//! What the examination finds: sections as they come, then what to do.

use crate::cli::output;
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use unet_wgpu::Result;

/// Columns of a terminal.
const COLUMNS: usize = 80;
/// Columns of a row's name.
const NAME: usize = 12;

/// A line of a section; long ones wrap.
pub(super) struct Row {
    name: String,
    text: String,
}

impl Row {
    pub(super) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// Findings. Sections are printed at once, since some take seconds; as JSON all are one document at the end.
pub(super) struct Report {
    json: bool,
    document: Map<String, Value>,
    problems: Vec<String>,
    advice: Vec<String>,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { json, document: Map::new(), problems: Vec::new(), advice: Vec::new() }
    }

    pub(super) fn section(&mut self, key: &str, title: &str, rows: &[Row], document: Value) -> Result<()> {
        self.document.insert(key.into(), document);
        if self.json { Ok(()) } else { output::line(&format!("{}\n", text(title, rows))) }
    }

    /// Something that is wrong: the exit code is 1.
    pub(super) fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }

    /// Something that would be better.
    pub(super) fn advise(&mut self, what: impl Into<String>) {
        self.advice.push(what.into());
    }

    pub(super) fn finish(mut self) -> Result<ExitCode> {
        let code = if self.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        if self.json {
            self.document.insert("problems".into(), json!(self.problems));
            self.document.insert("advice".into(), json!(self.advice));
            output::json(&Value::Object(self.document))?;
        } else {
            output::line(&self.conclusion())?;
        }
        Ok(code)
    }

    fn conclusion(&self) -> String {
        let list = |title: &str, items: &[String]| {
            let items: Vec<String> = items.iter().map(|i| wrap("  - ", i)).collect();
            format!("{title}\n{}", items.join("\n"))
        };
        let mut parts = Vec::new();
        if !self.problems.is_empty() {
            parts.push(list("Problems", &self.problems));
        }
        if !self.advice.is_empty() {
            parts.push(list("Advice", &self.advice));
        }
        if self.problems.is_empty() {
            parts.push("No problems found.".into());
        }
        parts.join("\n\n")
    }
}

fn text(title: &str, rows: &[Row]) -> String {
    let mut lines = vec![title.to_string()];
    let mut last = "";
    for row in rows {
        // A name is written once for rows that share it.
        let name = if row.name == last { "" } else { &row.name };
        lines.push(wrap(&format!("  {name:<NAME$}"), &row.text));
        last = &row.name;
    }
    lines.join("\n")
}

/// Words after a prefix, in lines of at most [`COLUMNS`]; further lines are indented like the first.
fn wrap(prefix: &str, text: &str) -> String {
    let indent = prefix.chars().count();
    let (mut lines, mut line) = (Vec::new(), prefix.to_string());
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push(line);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_rows_wrap_under_their_text() {
        let words = "word ".repeat(40);
        let text = text("Title", &[Row::new("name", words.as_str()), Row::new("name", "again"), Row::new("b", "c")]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Title");
        assert!(lines[1].starts_with("  name        word") && lines[2].starts_with("              word"), "{text}");
        assert!(lines.iter().all(|l| l.len() <= COLUMNS), "{text}");
        assert_eq!(text.matches("word").count(), 40);
        assert_eq!(lines[lines.len() - 2..], ["              again", "  b           c"]);
        let long = "x".repeat(100);
        assert_eq!(wrap("- ", &format!("{long} y")), format!("- {long}\n  y"));
    }

    #[test]
    fn problems_decide_the_exit_code() {
        let mut report = Report::new(false);
        report.advise("an update");
        assert_eq!(report.conclusion(), "Advice\n  - an update\n\nNo problems found.");
        report.problem("a fault");
        assert_eq!(report.conclusion(), "Problems\n  - a fault\n\nAdvice\n  - an update");
        assert_eq!(format!("{:?}", report.finish().unwrap()), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(format!("{:?}", Report::new(false).finish().unwrap()), format!("{:?}", ExitCode::SUCCESS));
    }
}
