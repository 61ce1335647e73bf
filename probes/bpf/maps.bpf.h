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
 * costs its buckets (1 MiB) only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AEGIS_RULES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct aegis_rule_key);
	__type(value, struct aegis_rule);
} rules_0 SEC(".maps"), rules_1 SEC(".maps");

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

#endif
