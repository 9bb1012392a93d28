//! What to install for a GPU, by the distribution's own names.

/// Distributions by their package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Debian,
    Ubuntu,
    Fedora,
    Suse,
    Arch,
    Alpine,
    Unknown,
}

/// Who makes the driver that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Driver {
    Amd,
    Intel,
    Nvidia,
    /// GPUs of phones and boards, whose drivers are Mesa's.
    Board,
    /// Mesa's software renderer.
    Software,
}

impl Family {
    /// The family that a text of `/etc/os-release` names, by itself or by its relatives.
    pub(super) fn of(os_release: &str) -> Self {
        let value = |key: &str| {
            let line = os_release.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_lowercase()
        };
        let names = format!("{} {}", value("ID"), value("ID_LIKE"));
        let family = |name: &str| match name {
            "ubuntu" => Some(Self::Ubuntu),
            "debian" => Some(Self::Debian),
            "fedora" | "rhel" | "centos" => Some(Self::Fedora),
            "suse" | "opensuse" | "opensuse-leap" | "opensuse-tumbleweed" => Some(Self::Suse),
            "arch" => Some(Self::Arch),
            "alpine" => Some(Self::Alpine),
            _ => None,
        };
        names.split_whitespace().find_map(family).unwrap_or(Self::Unknown)
    }

    /// How to install a driver with the Vulkan loader: `run ..` or `install ..`.
    pub(super) fn install(self, driver: Driver) -> String {
        let packages = match (self, driver) {
            (Self::Debian, Driver::Nvidia) => "nvidia-driver nvidia-vulkan-icd libvulkan1",
            (Self::Ubuntu, Driver::Nvidia) => return "run `sudo ubuntu-drivers install`".into(),
            (Self::Debian | Self::Ubuntu, _) => "mesa-vulkan-drivers libvulkan1",
            (Self::Fedora, Driver::Nvidia) => return "install NVIDIA's driver (`akmod-nvidia` of RPM Fusion)".into(),
            (Self::Fedora, _) => "mesa-vulkan-drivers vulkan-loader",
            (Self::Suse, Driver::Amd) => "libvulkan_radeon libvulkan1",
            (Self::Suse, Driver::Intel) => "libvulkan_intel libvulkan1",
            (Self::Suse, Driver::Software) => "libvulkan_lvp libvulkan1",
            (Self::Arch, Driver::Amd) => "vulkan-radeon vulkan-icd-loader",
            (Self::Arch, Driver::Intel) => "vulkan-intel vulkan-icd-loader",
            (Self::Arch, Driver::Nvidia) => "nvidia-utils vulkan-icd-loader",
            (Self::Arch, Driver::Software) => "vulkan-swrast vulkan-icd-loader",
            (Self::Alpine, Driver::Amd) => "mesa-vulkan-ati vulkan-loader",
            (Self::Alpine, Driver::Intel) => "mesa-vulkan-intel vulkan-loader",
            (Self::Alpine, Driver::Software) => "mesa-vulkan-swrast vulkan-loader",
            (_, Driver::Nvidia) => return "install NVIDIA's driver".into(),
            (_, Driver::Software) => {
                return "install Mesa's software Vulkan driver (lavapipe) and the Vulkan loader".into();
            }
            _ => return "install Mesa's Vulkan drivers and the Vulkan loader".into(),
        };
        let command = match self {
            Self::Debian | Self::Ubuntu => "apt-get install",
            Self::Fedora => "dnf install",
            Self::Suse => "zypper install",
            Self::Arch => "pacman -S",
            Self::Alpine | Self::Unknown => "apk add",
        };
        format!("run `sudo {command} {packages}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_distributions() {
        for (text, family) in [
            ("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n", Family::Debian),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Family::Ubuntu),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Family::Fedora),
            ("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n", Family::Suse),
            ("ID=arch\n", Family::Arch),
            ("ID=alpine\n", Family::Alpine),
            ("ID=nixos\n", Family::Unknown),
            ("", Family::Unknown),
        ] {
            assert_eq!(Family::of(text), family, "{text}");
        }
    }

    #[test]
    fn commands() {
        assert_eq!(Family::Debian.install(Driver::Amd), "run `sudo apt-get install mesa-vulkan-drivers libvulkan1`");
        assert_eq!(Family::Arch.install(Driver::Nvidia), "run `sudo pacman -S nvidia-utils vulkan-icd-loader`");
        assert_eq!(Family::Unknown.install(Driver::Intel), "install Mesa's Vulkan drivers and the Vulkan loader");
        assert_eq!(Family::Alpine.install(Driver::Board), "install Mesa's Vulkan drivers and the Vulkan loader");
    }
}
