//! Every code of the doctor's own: how bad it is, what it means, what to do about it. `docs/doctor.md` has the same; a test holds
//! one against the other.

use super::super::finding::Severity;

/// A code. What is so there and then is said with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    pub(super) meaning: &'static str,
    pub(super) mend: &'static str,
}

macro_rules! codes {
    ($($constant:ident = $name:literal, $severity:ident, $meaning:literal, $mend:literal;)+) => {
        $(pub(super) static $constant: Code =
            Code { name: $name, severity: Severity::$severity, meaning: $meaning, mend: $mend };)+

        /// All of them.
        #[cfg(test)]
        pub(super) static ALL: &[&Code] = &[$(&$constant,)+];
    };
}

codes! {
    LSM_BPF_MISSING = "lsm-bpf-missing", Bad,
        "`bpf` is not among the LSMs that the kernel runs: programs load and attach, and deny nothing",
        "start the kernel with `lsm=…,bpf`, the names that are there before it";
    LSM_UNKNOWN = "lsm-unknown", Unknown,
        "which LSMs the kernel runs can't be read",
        "mount securityfs: mount -t securityfs securityfs /sys/kernel/security";
    BTF_MISSING = "btf-missing", Bad,
        "the kernel has no types, or they can't be read: no program can be loaded",
        "start a kernel with CONFIG_DEBUG_INFO_BTF: the image's";
    BPFFS_MISSING = "bpffs-missing", Bad,
        "/sys/fs/bpf is no BPF file system: nothing can be pinned",
        "mount -t bpf bpf /sys/fs/bpf";
    CGROUP_MISSING = "cgroup-missing", Bad,
        "/sys/fs/cgroup is not the root of cgroup v2: there are no workloads",
        "umount what lies over it, or mount -t cgroup2 cgroup2 /sys/fs/cgroup";
    OPTION_MISSING = "kernel-option-missing", Bad,
        "the kernel says that it was built without an option that Aegis needs",
        "start a kernel that has it: the image's";
    OPTIONS_UNTOLD = "kernel-options-untold", Note,
        "the kernel does not tell its options; what they do is looked at all the same",
        "start a kernel with CONFIG_IKCONFIG_PROC to know";
    NO_SUBTREES = "no-subtrees", Bad,
        "the kernel can't walk up a path: rules on subtrees and names are not decided",
        "start a kernel of Linux 5.17 or later";
    NO_HASHES = "no-hashes", Note,
        "the program that decides by content is not the one attached: a policy with such rules is refused",
        "start a kernel of Linux 6.2 or later that has IMA, if programs are to be known by content";
    HOOK_MISSING = "hook-missing", Bad,
        "the policy that is to be in force needs a hook to deny, and it can't",
        "`aegis probe` says why; start another kernel";
    HOOKS_SHORT = "hooks-short", Note,
        "hooks that could deny don't, and the policy does not ask for it",
        "`aegis probe` says why; needed once a policy asks for it";
    EVENTS_MISSING = "events-missing", Note,
        "nothing is attached to hooks that only watch: their events are missing",
        "`aegis probe` says why";
    OTHER_PROBES = "other-probes", Note,
        "probes of other versions are in the kernel beside ours",
        "`aegis load` takes them out when the policy is in force in ours";
    MAP_FULL = "map-full", Bad,
        "a map of the kernel's has no entry left",
        "bring a policy with less; end workloads that are not needed";
    MAP_NEARLY_FULL = "map-nearly-full", Note,
        "nine of ten entries of a map are taken",
        "bring a policy with less, before it is full";
    MAPS_UNKNOWN = "maps-unknown", Unknown,
        "how full the maps are can't be read",
        "`aegis load` again, or reboot";
    NOT_CONFINED = "agent-not-confined", Bad,
        "the agent may do more than it is for: capabilities, privileges by exec, system calls that are not filtered",
        "start the image's agent again: kill it, or reboot";
    CONFINEMENT_UNKNOWN = "agent-confinement-unknown", Unknown,
        "what the agent may do can't be read",
        "look whether /proc is procfs";
    CLOCK_BEHIND = "clock-behind", Note,
        "the clock says less than what was signed last",
        "set the clock, or its battery; nothing of what is enforced hangs on it";
    RING_MISSING = "ring-missing", Bad,
        "no partition is labelled aegis-ring: events have no place",
        "attach the disk with the ring, or reboot: it is made where there is room";
    RING_UNFORMATTED = "ring-unformatted", Bad,
        "there is no ring on the ring's partition",
        "the agent formats it when it starts: look into its log";
    RING_UNREADABLE = "ring-unreadable", Bad,
        "the ring's partition, or the ring on it, can't be read",
        "look at the disk; export what there is";
    RING_SMALLER = "ring-smaller", Note,
        "the ring takes less than its partition has",
        "to use all of it, export, then have the ring made anew (docs/storage.md)";
    DATA_MISSING = "data-missing", Bad,
        "no partition is labelled aegis-data: state is lost with the power",
        "attach the disk with own storage, or reboot: it is made where there is room";
    DATA_NOT_MOUNTED = "data-not-mounted", Bad,
        "the data partition is not mounted at /data, or that can't be found out",
        "`aegis storage status` says more; state is in memory, and lost with the power";
    DATA_READ_ONLY = "data-read-only", Bad,
        "/data can't be written to: nothing new is kept",
        "look at the disk (`aegis support`: kernel.log); reboot";
    DATA_FULL = "data-full", Bad,
        "less than 8 MiB of /data are free, the room of two bundles, or 64 files",
        "take the workload away that fills it: `aegis workload remove NAME --with-data`, or by a signed removal (docs/workloads.md)";
    ROOT_UNVERIFIED = "root-unverified", Bad,
        "the root is on no device that dm-verity holds: it may be anybody's",
        "start an image that is, with its own command line (docs/boot.md)";
    ROOT_CORRUPTED = "root-corrupted", Bad,
        "dm-verity met a block that is not what was built",
        "write the image anew, or start the other slot; the disk may be failing";
    ROOT_UNKNOWN = "root-unknown", Unknown,
        "whether dm-verity holds the root can't be found out",
        "look at /dev/mapper/control and /sys/dev/block";
    NO_SLOTS = "no-slots", Note,
        "no loader started this kernel: no image is taken by stick",
        "start it by its loader, if images are to be taken by stick";
    IMAGE_ON_TRIAL = "image-on-trial", Note,
        "the image that runs was not seen healthy yet",
        "`aegis image settle` once it is healthy; the boot does";
    IMAGE_FELL_BACK = "image-fell-back", Note,
        "the image that was tried last is given up",
        "bring a newer image";
    SLOT_EMPTY = "slot-empty", Note,
        "a slot has nothing that would be started",
        "bring an image: until then there is none to fall back to";
    SLOTS_UNKNOWN = "slots-unknown", Unknown,
        "own storage, or the ESP, does not say which",
        "`aegis image status` says more";
    KEY_MISSING = "key-missing", Bad,
        "the device has no key: nothing that it says can be signed",
        "the agent makes it when it starts: look at /data";
    KEY_UNREADABLE = "key-unreadable", Bad,
        "the device's key can't be read, or is none",
        "restore it from a backup; a new key is another device";
    NEEDS_UNKNOWN = "policy-needs-unknown", Unknown,
        "own storage does not say what is to be in force",
        "`aegis policy status` says more";
}
