/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The maps. What they hold is in abi.h; who writes them is here.
 */
#ifndef AEGIS_MAPS_BPF_H
#define AEGIS_MAPS_BPF_H

/* Written by `aegis workload` and by policy apply. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AEGIS_WORKLOADS_MAX);
	__type(key, __u64);
	__type(value, struct aegis_cgroup);
} cgroups SEC(".maps");

/* Two rule sets: programs read the active one, policy apply fills the idle one. Not preallocated: an empty set
 * costs its buckets only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AEGIS_RULES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct aegis_object_key);
	__type(value, struct aegis_entry);
} rules_0 SEC(".maps"), rules_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AEGIS_NAMES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct aegis_name_key);
	__type(value, struct aegis_entry);
} names_0 SEC(".maps"), names_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, AEGIS_RULESETS_MAX);
	__type(key, __u32);
	__type(value, struct aegis_ruleset);
} rulesets_0 SEC(".maps"), rulesets_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, AEGIS_NETS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct aegis_net_key);
	__type(value, struct aegis_net);
} nets_0 SEC(".maps"), nets_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AEGIS_HASHES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct aegis_hash_key);
	__type(value, struct aegis_hash);
} hashes_0 SEC(".maps"), hashes_1 SEC(".maps");

/* Names of the rules, beside each set and filled with it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, AEGIS_RULE_NAMES_MAX);
	__type(key, __u32);
	__type(value, struct aegis_rule_name);
} rule_names_0 SEC(".maps"), rule_names_1 SEC(".maps");

struct aegis_workload_name {
	char name[AEGIS_WORKLOAD_NAME_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, AEGIS_WORKLOADS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct aegis_workload_name);
} workload_names SEC(".maps");

/* Written by user space; `active` is read once per decision. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct aegis_control);
} control SEC(".maps");

/* Written by the programs only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, AEGIS_WORKLOADS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct aegis_counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct aegis_note);
} inbox SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, AEGIS_RING_BYTES);
} events SEC(".maps");

/* Processes whose end was reported a moment ago: two last threads that exit together both see no thread left.
 * Preallocated, evicts the oldest; internal, nobody else reads it. */
struct process_id {
	__u64 start_time;
	__u32 tgid;
	__u32 reserved;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct process_id);
	__type(value, __u32);
} exited SEC(".maps");

/* Open files whose volumes are being summed, by the kernel's pointer to them; internal. Who uses the file is as of its
 * first read or write. */
struct volume {
	__u64 read;
	__u64 written;
	__u64 inode;
	__u64 cgroup;
	__u32 device;
	__u32 slot;
	__u32 pid;
	__u32 tgid;
	__u32 ppid;
	__u32 uid;
	__u8 comm[AEGIS_COMM_MAX];
	__u8 name[AEGIS_TEXT_MAX]; /* NUL-terminated */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AEGIS_VOLUMES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct volume);
} volumes SEC(".maps");

/* Bytes of sockets that do not count them themselves (all but TCP), by the kernel's pointer to them; internal. */
struct traffic {
	__u64 received;
	__u64 sent;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AEGIS_FLOWS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct traffic);
} traffics SEC(".maps");

/* Room to put a path together (path.bpf.h); internal. */
struct scratch {
	__u64 owner;
	__u8 path[2 * AEGIS_PATH_MAX];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

#endif
