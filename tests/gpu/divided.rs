//! Divided dispatches give the same bits as whole ones: of every registered op case, with every family of convolution kernels.

use std::collections::{BTreeMap, HashSet};
use unet_wgpu::low_level::gpu::Gpu;
use unet_wgpu::low_level::kernel::Target;
use unet_wgpu::low_level::ops::{OpCase, registry};
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::Session;
use unet_wgpu::low_level::tensor::{HostTensor, Precision};
use unet_wgpu::testing::{case_graph, family_caps, gpu_or_skip};
use unet_wgpu::{Error, Result};

/// Outputs and states after a run.
fn run(session: &mut Session, named: &BTreeMap<String, HostTensor>) -> Result<BTreeMap<String, HostTensor>> {
    let mut all = session.run_all(named)?;
    let states: Vec<String> = session.plan().variables.iter().map(|v| v.name.clone()).collect();
    for name in states {
        let state = session.read_state(&name)?;
        all.insert(name, state);
    }
    Ok(all)
}

/// The number of dispatches before and after, and the name of an output that differs.
fn compare(gpu: &Gpu, target: &Target, case: &OpCase) -> Result<([usize; 2], Option<String>)> {
    let named: BTreeMap<String, HostTensor> =
        case.inputs()?.into_iter().enumerate().map(|(i, t)| (format!("x{i}"), t)).collect();
    let stored = |name: &str, _: &[usize]| {
        named.get(name).cloned().ok_or_else(|| Error::ParameterMissing { key: name.into(), nearest: None })
    };
    let plan = Plan::new(&case_graph(case)?, target)?;
    // A state is changed by a run, so each run has a session of its own.
    let whole = run(&mut Session::new(gpu, plan.clone(), stored)?, &named)?;
    let mut session = Session::new(gpu, plan, stored)?;
    let before = session.plan().dispatches.len();
    // Twice: parts are divided, too.
    session.divide(|i| [3, 2, 4][i % 3])?;
    session.divide(|i| [1, 2][i % 2])?;
    let divided = run(&mut session, &named)?;
    let bits = |t: &HostTensor| t.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let differs = whole.iter().find(|(name, t)| divided.get(*name).is_none_or(|d| bits(d) != bits(t)));
    Ok(([before, session.plan().dispatches.len()], differs.map(|d| d.0.clone())))
}

fn check(gpu: &Gpu, targets: Vec<(String, Target)>, of_interest: impl Fn(&str) -> bool) {
    let (mut failures, mut seen, mut divided) = (Vec::new(), HashSet::new(), 0);
    for (name, target) in targets {
        for case in registry().iter().filter(|c| of_interest(&c.name)) {
            // A target that chooses the same kernels would only repeat an earlier run.
            let plan = case_graph(case).and_then(|g| Plan::new(&g, &target));
            if plan.is_ok_and(|p| !seen.insert(format!("{}{:?}", case.name, p.dispatches))) {
                continue;
            }
            match compare(gpu, &target, case) {
                Ok(([before, after], None)) => divided += usize::from(after > before),
                Ok((_, Some(output))) => failures.push(format!("{name}, {}: `{output}` differs", case.name)),
                Err(e) => failures.push(format!("{name}, {}: {e}", case.name)),
            }
        }
    }
    assert!(failures.is_empty(), "on {}:\n{}", gpu.describe(), failures.join("\n"));
    assert!(divided > 20, "only {divided} cases were divided");
}

#[test]
fn divided_dispatches_give_the_same_bits() {
    let Some(gpu) = gpu_or_skip() else { return };
    let checked = gpu.with_checked_shaders();
    check(&checked, vec![("default".into(), checked.target().clone())], |_| true);
}

#[test]
fn divided_convolutions_give_the_same_bits_on_every_kernel_family() {
    let Some(gpu) = gpu_or_skip() else { return };
    let conv = |name: &str| ["conv", "tap_sum"].iter().any(|n| name.starts_with(n));
    check(&gpu, family_caps(gpu.target()), conv);
    if gpu.caps().f16 {
        let halves = gpu.target().clone().with_precision(Precision::F16);
        check(&gpu, vec![("f16".into(), halves)], conv);
    }
}
