//! The GPUs that Linux knows, whether or not a Vulkan driver reaches them.

use super::packages::{Driver, Family};
use super::report::{Report, Row};
use crate::cli::devices;
use serde_json::json;
use std::fs;
use std::path::Path;
use unet_wgpu::Result;
use unet_wgpu::low_level::gpu::AdapterSummary;

/// PCI vendors whose devices show images but compute nothing.
const DISPLAYS: &[(u32, &str)] = &[
    (0x1234, "QEMU"),
    (0x1af4, "virtio"),
    (0x15ad, "VMware"),
    (0x1b36, "QXL"),
    (0x102b, "Matrox"),
    (0x1a03, "ASPEED"),
    (0x1414, "Hyper-V"),
    (0x80ee, "VirtualBox"),
    (0x1013, "Cirrus"),
];

/// A GPU or a display.
#[derive(Debug, PartialEq, Eq)]
struct Graphics {
    /// PCI address, or the node of a GPU that is no PCI device.
    place: String,
    /// Vendor and device, if it is a PCI device.
    ids: Option<[u32; 2]>,
    kernel_driver: Option<String>,
}

/// An adapter that a driver offers.
struct Reached {
    software: bool,
    ids: [u32; 2],
}

/// Files through which GPUs are used.
#[derive(Default)]
struct Nodes {
    /// `/dev/dri/renderD*`, with whether this user may open it.
    render: Vec<(String, bool)>,
    /// NVIDIA's own.
    nvidia: bool,
}

/// Lists GPUs, and advises what to install for those without a Vulkan driver.
pub(super) fn add(report: &mut Report, all: &[AdapterSummary]) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let graphics = list(Path::new("/sys"));
    let nodes = Nodes::find(Path::new("/dev"));
    let family = Family::of(&fs::read_to_string("/etc/os-release").unwrap_or_default());
    let reached =
        all.iter().map(|a| Reached { software: devices::is_software(a), ids: [a.info.vendor, a.info.device] });
    let reached: Vec<Reached> = reached.collect();
    let (mut rows, mut documents) = (Vec::new(), Vec::new());
    for g in &graphics {
        let usable = g.is_reached(&reached);
        rows.push(Row::new("found", g.describe(usable)));
        documents.push(json!({
            "place": g.place, "maker": g.maker(), "ids": g.ids, "kernel_driver": g.kernel_driver, "usable": usable,
        }));
        if let (false, Some(driver)) = (usable, g.driver()) {
            report.advise(g.advice(driver, &nodes, family));
        }
    }
    if graphics.is_empty() {
        rows.push(Row::new("found", "none"));
    }
    if all.is_empty() {
        let install = family.install(Driver::Software);
        report.advise(format!("Without a GPU, a software renderer computes the same results, slowly: {install}"));
    }
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let set: Vec<&str> = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].into_iter().filter(is_set).collect();
    if !set.is_empty() && reached.iter().all(|r| r.software) {
        report.advise(format!("no driver is looked for but those that {} names", set.join(" or ")));
    }
    report.section("hardware", "Graphics hardware", &rows, documents.into())
}

/// The devices below `/sys`.
fn list(sys: &Path) -> Vec<Graphics> {
    let mut found = Vec::new();
    let entries = |folder: &str| {
        let mut paths: Vec<_> = sys.join(folder).read_dir().into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.sort();
        paths
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for path in entries("bus/pci/devices") {
        let number = |file: &str| {
            let text = fs::read_to_string(path.join(file)).ok()?;
            u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
        };
        // Display controllers.
        if number("class").is_some_and(|class| class >> 16 == 3)
            && let (Some(vendor), Some(device)) = (number("vendor"), number("device"))
        {
            let kernel_driver = path.join("driver").read_link().ok().map(|d| name(&d));
            found.push(Graphics { place: name(&path), ids: Some([vendor, device]), kernel_driver });
        }
    }
    for path in entries("class/drm").into_iter().filter(|p| name(p).starts_with("renderD")) {
        let text = fs::read_to_string(path.join("device/uevent")).unwrap_or_default();
        let value = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        if value("PCI_ID").is_none()
            && let Some(driver) = value("DRIVER")
        {
            found.push(Graphics { place: name(&path), ids: None, kernel_driver: Some(driver.into()) });
        }
    }
    found
}

impl Nodes {
    fn find(dev: &Path) -> Self {
        let entries = dev.join("dri").read_dir().into_iter().flatten().flatten();
        let nodes = entries.filter(|e| e.file_name().to_string_lossy().starts_with("renderD"));
        let opens = |path: &Path| fs::File::options().read(true).write(true).open(path).is_ok();
        let render = nodes.map(|e| (e.path().to_string_lossy().into_owned(), opens(&e.path()))).collect();
        Self { render, nvidia: dev.join("nvidiactl").exists() }
    }
}

impl Graphics {
    fn maker(&self) -> &'static str {
        match self.ids {
            None => "board",
            Some([0x1002, _]) => "AMD",
            Some([0x8086, _]) => "Intel",
            Some([0x10de, _]) => "NVIDIA",
            Some([vendor, _]) => DISPLAYS.iter().find(|d| d.0 == vendor).map_or("unknown maker", |d| d.1),
        }
    }

    /// Whose driver would make it usable; `None` for what does not compute.
    fn driver(&self) -> Option<Driver> {
        match self.ids {
            None => Some(Driver::Board),
            Some([0x1002, _]) => Some(Driver::Amd),
            Some([0x8086, _]) => Some(Driver::Intel),
            Some([0x10de, _]) => Some(Driver::Nvidia),
            Some(_) => None,
        }
    }

    fn is_reached(&self, adapters: &[Reached]) -> bool {
        adapters.iter().any(|a| !a.software && self.ids.is_none_or(|ids| ids == a.ids))
    }

    fn describe(&self, usable: bool) -> String {
        let ids = self.ids.map_or_else(String::new, |[v, d]| format!(" {v:04x}:{d:04x}"));
        let kernel =
            self.kernel_driver.as_ref().map_or_else(|| ", no kernel driver".into(), |k| format!(", kernel driver {k}"));
        let state = match (usable, self.driver()) {
            (true, _) => "usable",
            (false, Some(_)) => "NOT USABLE: no Vulkan driver offers it",
            (false, None) => "a display, computes nothing",
        };
        format!("{}{ids} at {}{kernel}: {state}", self.maker(), self.place)
    }

    /// What keeps it from being used, as far as that can be seen, and what to do.
    fn advice(&self, driver: Driver, nodes: &Nodes, family: Family) -> String {
        let subject = format!("the {} GPU at {}", self.maker(), self.place);
        let kernel = self.kernel_driver.as_deref().unwrap_or_default();
        let install = family.install(driver);
        let denied = nodes.render.iter().find(|n| !n.1).filter(|_| !nodes.render.iter().any(|n| n.1));
        match (driver, kernel, denied) {
            (Driver::Nvidia, "nvidia", _) if !nodes.nvidia => format!(
                "{subject} has no device files here: start the container with the GPU (`--gpus all`), with \
                 NVIDIA_DRIVER_CAPABILITIES=all"
            ),
            (Driver::Nvidia, "nvidia", _) => format!(
                "{subject} has its kernel driver, but no Vulkan driver: {install}; in a container, set \
                 NVIDIA_DRIVER_CAPABILITIES=all (`compute` alone has no Vulkan)"
            ),
            (Driver::Nvidia, "nouveau", _) => {
                format!(
                    "for {subject} {install}; or install Mesa 24.1 or later, whose NVK uses the kernel driver nouveau"
                )
            }
            (Driver::Amd, "radeon", _) => format!(
                "{subject} runs with the kernel driver radeon, which has no Vulkan. Cards from 2012 on run with amdgpu: kernel \
                 options radeon.si_support=0 radeon.cik_support=0 amdgpu.si_support=1 amdgpu.cik_support=1"
            ),
            (Driver::Amd | Driver::Intel | Driver::Board, _, Some((node, _))) => format!(
                "{subject} may not be used by this user, who cannot open {node}: `sudo usermod -aG render $USER`, then log in \
                 again"
            ),
            (Driver::Amd | Driver::Intel | Driver::Board, _, None) if nodes.render.is_empty() => format!(
                "{subject} has no /dev/dri/renderD*: in a container, pass it in (`--device /dev/dri`); else its kernel driver \
                 is not loaded. Then {install}"
            ),
            _ => format!("for {subject} {install}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(vendor: u32, kernel: Option<&str>) -> Graphics {
        Graphics { place: "0000:01:00.0".into(), ids: Some([vendor, 0x7550]), kernel_driver: kernel.map(String::from) }
    }

    #[test]
    #[cfg(unix)]
    fn devices_of_the_kernel() {
        let sys = tempfile::tempdir().unwrap();
        let pci = |address: &str, class: &str, vendor: &str, driver: Option<&str>| {
            let dir = sys.path().join("bus/pci/devices").join(address);
            fs::create_dir_all(&dir).unwrap();
            for (file, text) in [("class", class), ("vendor", vendor), ("device", "0x7550\n")] {
                fs::write(dir.join(file), text).unwrap();
            }
            if let Some(d) = driver {
                std::os::unix::fs::symlink(Path::new("/drivers").join(d), dir.join("driver")).unwrap();
            }
        };
        pci("0000:00:00.0", "0x060000\n", "0x8086\n", None);
        pci("0000:01:00.0", "0x030000\n", "0x1002\n", Some("amdgpu"));
        pci("0000:02:00.0", "0x030200\n", "0x10de\n", None);
        pci("0000:03:00.0", "0x03zz00\n", "0x10de\n", None);
        let node = |name: &str, text: &str| {
            fs::create_dir_all(sys.path().join("class/drm").join(name).join("device")).unwrap();
            fs::write(sys.path().join("class/drm").join(name).join("device/uevent"), text).unwrap();
        };
        node("renderD128", "DRIVER=amdgpu\nPCI_ID=1002:7550\n");
        node("renderD129", "DRIVER=panfrost\nOF_NAME=gpu\n");
        node("card0", "DRIVER=panfrost\nOF_NAME=gpu\n");
        let found = list(sys.path());
        assert_eq!(
            found,
            [
                gpu(0x1002, Some("amdgpu")),
                Graphics { place: "0000:02:00.0".into(), ..gpu(0x10de, None) },
                Graphics { place: "renderD129".into(), ids: None, kernel_driver: Some("panfrost".into()) }
            ]
        );
        assert_eq!(list(&sys.path().join("none")), []);
    }

    #[test]
    fn a_gpu_is_reached_by_an_adapter_of_its_ids() {
        let adapter = |software, vendor| Reached { software, ids: [vendor, 0x7550] };
        assert!(gpu(0x1002, None).is_reached(&[adapter(true, 0x10005), adapter(false, 0x1002)]));
        assert!(!gpu(0x1002, None).is_reached(&[adapter(false, 0x10de)]));
        assert!(!gpu(0x1002, None).is_reached(&[adapter(true, 0x1002)]), "a software renderer is no GPU");
        let board = Graphics { ids: None, ..gpu(0, Some("v3d")) };
        assert!(board.is_reached(&[adapter(false, 1)]) && !board.is_reached(&[adapter(true, 1)]));
    }

    #[test]
    fn advice_follows_what_is_missing() {
        let advice = |g: &Graphics, nodes: &Nodes| g.advice(g.driver().unwrap(), nodes, Family::Debian);
        let none = Nodes::default();
        let open = Nodes { render: vec![("/dev/dri/renderD128".into(), true)], nvidia: true };
        let denied = Nodes { render: vec![("/dev/dri/renderD128".into(), false)], nvidia: false };
        for (g, nodes, part) in [
            (gpu(0x1002, Some("amdgpu")), &open, "run `sudo apt-get install mesa-vulkan-drivers"),
            (gpu(0x1002, Some("amdgpu")), &denied, "usermod -aG render"),
            (gpu(0x8086, Some("i915")), &none, "--device /dev/dri"),
            (gpu(0x1002, Some("radeon")), &open, "amdgpu.si_support=1"),
            (gpu(0x10de, None), &none, "run `sudo apt-get install nvidia-driver"),
            (gpu(0x10de, Some("nvidia")), &open, "NVIDIA_DRIVER_CAPABILITIES=all"),
            (gpu(0x10de, Some("nvidia")), &none, "--gpus all"),
            (gpu(0x10de, Some("nouveau")), &open, "NVK"),
        ] {
            let text = advice(&g, nodes);
            assert!(text.contains(part) && text.contains("0000:01:00.0"), "{text}");
        }
        assert_eq!(gpu(0x1af4, None).driver(), None);
        assert!(
            gpu(0x1af4, None).describe(false).contains("virtio 1af4:7550 at 0000:01:00.0, no kernel driver: a display")
        );
        assert!(gpu(0x1002, Some("amdgpu")).describe(false).contains("NOT USABLE"));
    }
}
