//! Every code of the doctor's own: how bad it is, and what to do about it. `docs/doctor.md` has the same; a test holds one against
//! the other.

use super::super::finding::Severity;

/// A code. What it means there and then is said with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    pub(super) mend: &'static str,
}

macro_rules! codes {
    ($($constant:ident = $name:literal, $severity:ident, $mend:literal;)+) => {
        $(pub(super) const $constant: Code =
            Code { name: $name, severity: Severity::$severity, mend: $mend };)+

        /// All of them.
        #[cfg(test)]
        pub(super) const ALL: &[Code] = &[$($constant,)+];
    };
}

codes! {
    LSM_BPF_MISSING = "lsm-bpf-missing", Bad, "start the kernel with `lsm=…,bpf`, the names that are there before it";
    LSM_UNKNOWN = "lsm-unknown", Unknown, "mount securityfs: mount -t securityfs securityfs /sys/kernel/security";
    BTF_MISSING = "btf-missing", Bad, "start a kernel with CONFIG_DEBUG_INFO_BTF: the image's";
    BPFFS_MISSING = "bpffs-missing", Bad, "mount -t bpf bpf /sys/fs/bpf";
    CGROUP_MISSING = "cgroup-missing", Bad, "umount what lies over it, or mount -t cgroup2 cgroup2 /sys/fs/cgroup";
    OPTION_MISSING = "kernel-option-missing", Bad, "start a kernel that has it: the image's";
    OPTIONS_UNTOLD = "kernel-options-untold", Note, "start a kernel with CONFIG_IKCONFIG_PROC to know";
    NO_SUBTREES = "no-subtrees", Bad, "start a kernel of Linux 5.17 or later";
    NO_HASHES = "no-hashes", Note, "start a kernel of Linux 6.2 or later that has IMA, if programs are to be known by content";
    HOOK_MISSING = "hook-missing", Bad, "`aegis probe` says why; start another kernel";
    HOOKS_SHORT = "hooks-short", Note, "`aegis probe` says why; needed once a policy asks for it";
    EVENTS_MISSING = "events-missing", Note, "`aegis probe` says why";
    OTHER_PROBES = "other-probes", Note, "`aegis load` takes them out when the policy is in force in ours";
    MAP_FULL = "map-full", Bad, "bring a policy with less; end workloads that are not needed";
    MAP_NEARLY_FULL = "map-nearly-full", Note, "bring a policy with less, before it is full";
    MAPS_UNKNOWN = "maps-unknown", Unknown, "`aegis load` again, or reboot";
    NOT_CONFINED = "agent-not-confined", Bad, "start the image's agent again: kill it, or reboot";
    CONFINEMENT_UNKNOWN = "agent-confinement-unknown", Unknown, "look whether /proc is procfs";
    CLOCK_BEHIND = "clock-behind", Note, "set the clock, or its battery; nothing of what is enforced hangs on it";
    RING_MISSING = "ring-missing", Bad, "attach the disk with the ring, or reboot: it is made where there is room";
    RING_UNFORMATTED = "ring-unformatted", Bad, "the agent formats it when it starts: look into its log";
    RING_UNREADABLE = "ring-unreadable", Bad, "look at the disk; export what there is";
    RING_SMALLER = "ring-smaller", Note, "to use all of it, export, then have the ring made anew (docs/storage.md)";
    DATA_MISSING = "data-missing", Bad, "attach the disk with own storage, or reboot: it is made where there is room";
    DATA_NOT_MOUNTED = "data-not-mounted", Bad, "`aegis storage status` says more; state is in memory, and lost with the power";
    DATA_READ_ONLY = "data-read-only", Bad, "look at the disk (`aegis support`: kernel.log); reboot";
    DATA_FULL = "data-full", Bad, "remove what is not Aegis's from /data";
    ROOT_UNVERIFIED = "root-unverified", Bad, "start an image that is, with its own command line (docs/boot.md)";
    ROOT_CORRUPTED = "root-corrupted", Bad, "write the image anew, or start the other slot; the disk may be failing";
    ROOT_UNKNOWN = "root-unknown", Unknown, "look at /dev/mapper/control and /sys/dev/block";
    NO_SLOTS = "no-slots", Note, "start it by its loader, if images are to be taken by stick";
    IMAGE_ON_TRIAL = "image-on-trial", Note, "`aegis image settle` once it is healthy; the boot does";
    IMAGE_FELL_BACK = "image-fell-back", Note, "bring a newer image";
    SLOT_EMPTY = "slot-empty", Note, "bring an image: until then there is none to fall back to";
    SLOTS_UNKNOWN = "slots-unknown", Unknown, "`aegis image status` says more";
    KEY_MISSING = "key-missing", Bad, "the agent makes it when it starts: look at /data";
    KEY_UNREADABLE = "key-unreadable", Bad, "restore it from a backup; a new key is another device";
    NEEDS_UNKNOWN = "policy-needs-unknown", Unknown, "`aegis policy status` says more";
}
