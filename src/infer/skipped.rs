//! Files skipped in folders and patterns, reported once.

use std::path::{Path, PathBuf};

use crate::io::ImageFormat;

/// Why a file or folder is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// Its name is not an image's.
    NotAnImage,
    /// Named like an image of an unsupported format.
    OtherFormat,
    /// Hidden: the name begins with a dot.
    Hidden,
    /// A result of this program.
    Result,
    /// A subfolder.
    Folder,
}

/// Files or folders skipped for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The folder or pattern as given by the user.
    pub of: String,
    /// Reason.
    pub reason: SkipReason,
    /// Number of files or folders.
    pub count: usize,
    /// The first of them by name, without its folder.
    pub first: PathBuf,
}

/// The unsupported format that a file's name suggests.
pub(super) fn other_format(path: &Path) -> Option<&'static str> {
    ImageFormat::of_name(path).filter(|f| f.decoder().is_none()).map(|f| f.name)
}

impl Skipped {
    /// A one-line description.
    pub fn text(&self) -> String {
        let Self { of, reason, count, first } = self;
        let (n, one) = (*count, *count == 1);
        let files = if one { "1 file".to_string() } else { format!("{n} files") };
        let are = if one { "is" } else { "are" };
        let first = first.display();
        match reason {
            SkipReason::NotAnImage if one => format!("1 file in {of} is not an image ({first})"),
            SkipReason::NotAnImage => format!("{files} in {of} are not images (first: {first})"),
            SkipReason::OtherFormat => {
                let format = other_format(&self.first).unwrap_or_default();
                let what = if one { "is of a format that is" } else { "are of formats that are" };
                format!("{files} in {of} {what} not read (first: {first}, {format})")
            }
            SkipReason::Hidden => format!("{files} in {of} {are} hidden and passed over (first: {first})"),
            SkipReason::Result => {
                format!(
                    "{files} in {of} {are} called like results of this program (first: {first}); name them to use them"
                )
            }
            SkipReason::Folder => {
                let folders = if one { "1 folder".to_string() } else { format!("{n} folders") };
                let name = if of.ends_with(std::path::is_separator) { of.clone() } else { format!("{of}/") };
                format!("{folders} in {of} {are} not searched (first: {first}); '{name}**/*' names all files below it")
            }
        }
    }
}

/// Counts what is skipped in one folder or pattern.
#[derive(Debug, Default)]
pub(super) struct Tally(Vec<(SkipReason, usize, PathBuf)>);

impl Tally {
    pub(super) fn add(&mut self, reason: SkipReason, name: &Path) {
        match self.0.iter_mut().find(|t| t.0 == reason) {
            Some((_, count, first)) => {
                *count += 1;
                if name < first.as_path() {
                    *first = name.to_path_buf();
                }
            }
            None => self.0.push((reason, 1, name.to_path_buf())),
        }
    }

    pub(super) fn of(self, name: &str) -> impl Iterator<Item = Skipped> {
        let of = name.to_string();
        self.0.into_iter().map(move |(reason, count, first)| Skipped { of: of.clone(), reason, count, first })
    }
}
