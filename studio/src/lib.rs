//! See, correct, train: the library's networks in an application.
//!
//! | module | responsibility |
//! |---|---|
//! | `labels` | label maps, edits, undo: no files, no device |
//! | `project` | the folder of a project: images, labels, journal, autosave |
//! | `canvas` | an image and its labels on the screen, drawn by the device |
//! | `engine` | networks: whole images, the visible region, training, scores; on threads of its own |
//! | `app` | the window: panels, tools, menus |
//!
//! Each module uses only those above it.

pub mod labels;
pub mod project;
