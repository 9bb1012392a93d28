//! The `unet` program: reads the command line, runs it, turns errors into one line and an exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    quiet_mesa();
    cli::main()
}

/// Mesa's device-select layer complains on stderr where no desktop runs (`error: XDG_RUNTIME_DIR is invalid or not set`),
/// which looks like a failure of ours. It only puts the desktop's GPU first, so it is switched off there, unless the
/// user gives it orders.
fn quiet_mesa() {
    let set = |name| std::env::var_os(name).is_some();
    if cfg!(target_os = "linux") && !set("XDG_RUNTIME_DIR") && !set("MESA_VK_DEVICE_SELECT") {
        // SAFETY: no other thread exists yet, this is the first thing the program does.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
