//! Tests on the device: kernels, networks, training and the command line. One binary, linked once.

mod alive;
mod alive_cli;
mod async_core;
mod cli;
mod cli_errors;
mod cli_speed;
mod eval;
mod examples;
mod fixtures;
mod folder;
mod geometry;
mod gradcheck;
mod ground_truth;
mod little_memory;
mod models;
mod ops;
mod plans;
mod precision;
mod session;
mod tiling;
mod train;
mod train_cli;
mod train_instances;
mod train_interrupt;
mod tune;
