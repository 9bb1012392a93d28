//! Tests on the device: kernels, networks, training and the program as a user meets it. One program, linked once.

mod async_core;
mod cli;
mod cli_errors;
mod cli_speed;
mod eval;
mod examples;
mod fixtures;
mod folder;
mod gradcheck;
mod ground_truth;
mod models;
mod ops;
mod precision;
mod session;
mod tiling;
mod train;
mod train_cli;
mod train_interrupt;
mod tune;
