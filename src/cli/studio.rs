//! `unet studio`

use super::Common;
use clap::Args;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use unet_wgpu::{Error, Result};

/// The program that it starts.
const PROGRAM: &str = "unet-studio";

/// Start the application: see what a network finds, correct it, train on it
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet studio                     an empty window, with demo images
  unet studio cells/              a folder of images, or a project

It is a program of its own, `unet-studio`, built by `cargo install --path studio`. docs/studio.md shows it step by step.")]
pub(super) struct Studio {
    /// A project, or a folder of images
    folder: Option<PathBuf>,
}

impl Studio {
    pub(super) fn run(&self, _: &Common) -> Result<ExitCode> {
        let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
        // Beside this program, else wherever programs are looked for.
        let beside = std::env::current_exe().ok().map(|own| own.with_file_name(&name)).filter(|path| path.is_file());
        let program = beside.unwrap_or_else(|| name.into());
        match Command::new(&program).args(&self.folder).status() {
            Ok(status) => {
                Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
            }
            Err(e) => {
                let reason = format!("cannot be started ({e}); `cargo install --path studio` builds it");
                Err(Error::file(program, reason))
            }
        }
    }
}
