//! The processor that an image is for, and what of its machine depends on it.

/// The architectures that there is an image for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arch {
    /// QEMU's `q35`.
    #[default]
    X86_64,
    /// QEMU's `virt`.
    Aarch64,
}

impl Arch {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The architecture of this name, as Rust and `uname -m` have it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.name() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Rust's target for what runs on the device.
    #[must_use]
    pub fn target(self) -> String {
        format!("{}-unknown-linux-musl", self.name())
    }

    /// Which QEMU emulates it.
    pub(crate) const fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// QEMU's name for the machine.
    pub(crate) const fn machine(self) -> &'static str {
        match self {
            Self::X86_64 => "q35",
            Self::Aarch64 => "virt",
        }
    }

    /// The same, where a firmware runs: x86's keeps its variables in system management mode.
    pub(crate) const fn firmware_machine(self) -> &'static str {
        match self {
            Self::X86_64 => "q35,smm=on",
            Self::Aarch64 => "virt",
        }
    }

    /// The processor of software emulation.
    pub(crate) const fn emulated_cpu(self) -> &'static str {
        match self {
            // QEMU 7.2's emulated `cmpxchg16b` was seen to hand back flags that held half of RAX: a double fault in the
            // guest's allocator. The kernel does without it.
            // With fast string instructions the kernel moves and clears memory by them, which are emulated byte by byte: the verifier,
            // which does little else for a large program, took half as long again.
            Self::X86_64 => "max,-cx16,-erms,-fsrm",
            // The architected cipher of pointer authentication is slow to emulate.
            Self::Aarch64 => "max,pauth-impdef=on",
        }
    }

    /// QEMU's TPM that this machine can have.
    pub(crate) const fn tpm(self) -> &'static str {
        match self {
            Self::X86_64 => "tpm-crb",
            Self::Aarch64 => "tpm-tis-device",
        }
    }

    /// What a kernel is told of the machine.
    pub(crate) const fn kernel_words(self) -> &'static str {
        match self {
            // no_timer_check: the boot's test of the timer interrupt is by loops counted, which a busy host makes fail.
            Self::X86_64 => "console=ttyS0 no_timer_check",
            Self::Aarch64 => "console=ttyAMA0",
        }
    }
}
