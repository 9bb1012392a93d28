//! Editing labels, against slow references.

mod examples;
mod properties;
mod reference;
