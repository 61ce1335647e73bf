//! Where metrics come from: what of it could not be read is said by `aegis_scrape_error`.

macro_rules! sources {
    ($($source:ident = $name:literal, $what:literal;)+) => {
        /// Something that is read for an answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the table says what each is")]
        #[repr(u8)]
        pub enum Source { $($source,)+ }

        impl Source {
            /// All of them.
            pub const ALL: [Self; [$(stringify!($source),)+].len()] = [$(Self::$source,)+];

            /// The value of the label.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$source => $name,)+ }
            }

            /// What is read.
            #[cfg(feature = "contract")]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$source => $what,)+ }
            }
        }
    };
}

sources! {
    Agent = "agent", "the agent, over its control socket";
    Probes = "probes", "pages that the probes share: policy, mode, counters of workloads";
    Hooks = "hooks", "pinned programs, and what the kernel counts of them";
    Maps = "maps", "pinned maps";
    Policy = "policy", "what is remembered of bundles in own storage";
    Ring = "ring", "the ring's partition, and how far it was exported";
    Tally = "tally", "what this boot counted (`/run/aegis/tally`)";
    Stat = "stat", "`/proc/stat`, `/proc/vmstat`";
    Memory = "memory", "`/proc/meminfo`";
    Disks = "disks", "`/proc/diskstats`";
    Filesystems = "filesystems", "statvfs(3) of what is mounted";
    Network = "network", "`/proc/net/dev`";
    Pressure = "pressure", "`/proc/pressure` (a kernel with PSI)";
    Temperature = "temperature", "`/sys/class/hwmon`, `/sys/class/thermal`; that there is none is no error";
    Wear = "wear", "`life_time` of an eMMC; that there is none is no error. NVMe and SATA do not say it in a file";
    Alerts = "alerts", "what the watcher of alerts last found (`/run/aegis/alerts`); that there is nothing yet is no error";
    Workloads = "workloads", "the workloads' cgroups, and how those that came signed are doing; that one is gone is no error";
}
