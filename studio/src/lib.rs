//! See, correct, train: the library's networks in an application.
//!
//! | module | responsibility |
//! |---|---|
//! | `labels` | label maps, edits, undo: no files, no device |
//! | `project` | the folder of a project: images, labels, journal, autosave |
//! | `canvas` | an image and its labels on the screen, drawn by the device |
//! | `device`, `engine` | the window's device; networks: whole images, the visible region, training, scores |
//! | `app` | the window: panels, tools, menus |
//!
//! Each module uses only those above it.

pub mod app;
pub mod canvas;
pub mod device;
pub mod engine;
pub mod labels;
pub mod project;
