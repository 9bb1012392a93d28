//! See, correct, train: the library's networks in an application.
//!
//! | module | responsibility |
//! |---|---|
//! | `platform` | what differs between the desktop and a browser's page: tasks, dialogs, storage |
//! | `labels` | label maps, edits, undo: no files, no device |
//! | `project` | the folder of a project: images, labels, journal, autosave |
//! | `canvas` | an image and its labels on the screen, drawn by the device |
//! | `device`, `engine` | the window's device; networks: whole images, the visible region, training, scores |
//! | `app` | the window: panels, tools, menus |
//! | `page` | the start in a browser; that on the desktop is `main.rs` |
//!
//! Each module uses only those above it.

pub mod app;
pub mod canvas;
pub mod device;
pub mod engine;
pub mod labels;
#[cfg(target_family = "wasm")]
mod page;
pub mod platform;
pub mod project;
