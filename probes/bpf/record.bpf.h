/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * What every probe does first and last: whose task is this, count it, fill the head of its record. What many programs do is
 * a function of its own, which the kernel links to each: inlined, the object was six times as large.
 */
#ifndef AEGIS_RECORD_BPF_H
#define AEGIS_RECORD_BPF_H

/* The workload of the current task, and the rules in force for it, read once. */
struct subject {
	struct aegis_counters *counters;
	struct aegis_ruleset *rules; /* NULL: none */
	__u64 cgroup; /* the registered one it belongs to */
	__u32 slot;
	__u32 ruleset;
	__u32 features; /* enum aegis_feature */
	__u8 set;
	__u8 hook; /* enum aegis_hook */
};

/* The answer of a function that has none, and how it is called. Were it a constant, or not used, the compiler would leave
 * anything in its place, and where that is a pointer to the stack the verifier refuses it. */
#define DONE                                            \
	({                                              \
		int done_ = 0;                          \
		barrier_var(done_);                     \
		done_;                                  \
	})
#define RUN(call)                                       \
	({                                              \
		int answer_ = (call);                   \
		asm volatile("" : : "r"(answer_));      \
	})

static __always_inline struct aegis_control *control_page(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

/* Reads which rule set is in force. Once per decision: a swap between two reads would mix two policies. */
static __always_inline bool read_control(struct subject *subject)
{
	struct aegis_control *page = control_page();

	if (!page)
		return false;
	subject->set = *(volatile __u32 *)&page->active & 1;
	return true;
}

/* The ids of the cgroups that the current task is in, from the root down; 0: it is not that deep. Before 6.1 they are in the cgroup;
 * the helper is for tracing programs since 5.14 only. */
static __noinline int read_ancestors(__u64 *ids)
{
	struct cgroup *own = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), cgroups, dfl_cgrp);
	int deepest = BPF_CORE_READ(own, level);

#pragma unroll
	for (int level = 1; level <= AEGIS_CGROUP_DEPTH_MAX; level++)
		if (level <= deepest)
			bpf_core_read(&ids[level - 1], sizeof(*ids), &own->ancestor_ids[level]);
	return DONE;
}

static __always_inline struct aegis_ruleset *find_rules(__u32 set, __u32 ruleset)
{
	return set ? bpf_map_lookup_elem(&rulesets_1, &ruleset) : bpf_map_lookup_elem(&rulesets_0, &ruleset);
}

/* Finds the deepest registered ancestor of the current task's cgroup. False: not ours, nothing to do. */
static __noinline bool subject_of_current(struct subject *subject, enum aegis_hook hook)
{
	__u64 ids[AEGIS_CGROUP_DEPTH_MAX] = {};
	struct aegis_cgroup *cgroup = NULL;
	struct cgroup *own = NULL;

	if (bpf_core_field_exists(own->ancestor_ids)) {
		RUN(read_ancestors(ids));
	} else {
#pragma unroll
		for (int level = 1; level <= AEGIS_CGROUP_DEPTH_MAX; level++)
			ids[level - 1] = bpf_get_current_ancestor_cgroup_id(level);
	}
#pragma unroll
	for (int level = AEGIS_CGROUP_DEPTH_MAX; level >= 1; level--) {
		if (!ids[level - 1])
			continue; /* not that deep */
		cgroup = bpf_map_lookup_elem(&cgroups, &ids[level - 1]);
		if (cgroup) {
			subject->cgroup = ids[level - 1];
			break;
		}
	}
	if (!cgroup || !read_control(subject))
		return false;
	subject->slot = cgroup->slot;
	subject->ruleset = subject->set ? cgroup->ruleset[1] : cgroup->ruleset[0];
	subject->counters = bpf_map_lookup_elem(&counters, &subject->slot);
	if (!subject->counters)
		return false; /* slot out of range: user space never registers one */
	subject->rules = find_rules(subject->set, subject->ruleset);
	if (subject->rules)
		subject->features = subject->rules->features;
	subject->hook = hook;
	return true;
}

/* Over its workload's rate; `decided`: a rule matched. Two CPUs that begin a second together may let a few more through. */
static __noinline bool over_rate(const struct subject *subject, bool decided)
{
	struct aegis_counters *counters = subject->counters;
	__u64 now, rate;

	if (!subject->rules)
		return false;
	rate = subject->rules->rate;
	if (!rate)
		return false;
	now = bpf_ktime_get_boot_ns();
	if (now - counters->rate_begun[decided] >= 1000000000ULL) {
		counters->rate_begun[decided] = now;
		counters->rate_count[decided] = 0;
	}
	if (counters->rate_count[decided] >= rate)
		return true;
	__sync_fetch_and_add(&counters->rate_count[decided], 1);
	return false;
}

/* Room for one record; counts the event, and the loss when there is none. Size is a constant: the verifier wants it so. */
#define reserve_record(subject, type, decided)                                                  \
	({                                                                                      \
		type *reserved_ = NULL;                                                         \
		__sync_fetch_and_add(&(subject)->counters->seen, 1);                            \
		if (over_rate(subject, decided)) {                                              \
			__sync_fetch_and_add(&(subject)->counters->limited, 1);                 \
		} else {                                                                        \
			reserved_ = bpf_ringbuf_reserve(&events, sizeof(type), 0);              \
			if (!reserved_)                                                         \
				__sync_fetch_and_add(&(subject)->counters->ring_full, 1);       \
		}                                                                               \
		reserved_;                                                                      \
	})

static __noinline int fill_head(struct aegis_record *head, const struct subject *subject, __u16 kind, __u16 length)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct aegis_control *page = control_page();
	__u64 id = bpf_get_current_pid_tgid();

	head->kind = kind;
	head->length = length;
	head->verdict = AEGIS_ALLOWED;
	head->flags = 0;
	head->set = subject->set;
	head->reserved = 0;
	head->time = bpf_ktime_get_boot_ns();
	head->cgroup = bpf_get_current_cgroup_id();
	/* Its sequence stays what it was: an idle set is refilled only when no program is left that read it as active. */
	head->policy = page ? page->policy[subject->set & 1] : 0;
	head->slot = subject->slot;
	head->rule = 0;
	head->pid = (__u32)id;
	head->tgid = id >> 32;
	head->ppid = BPF_CORE_READ(task, real_parent, tgid);
	head->uid = (__u32)bpf_get_current_uid_gid();
	bpf_get_current_comm(head->comm, sizeof(head->comm));
	return DONE;
}

/* `inode`: the address of one. */
static __noinline int fill_object(struct aegis_file *out, __u64 inode, __u32 flags)
{
	struct identity identity;

	read_identity(&identity, inode);
	out->inode = identity.number;
	out->device = device_of(identity.sb);
	out->flags = flags;
	out->path_length = 0;
	out->argv_length = 0;
	out->reserved = 0;
	return DONE;
}

/* A NUL-terminated kernel string into `out->path`. */
static __always_inline void fill_path_string(struct aegis_record *head, struct aegis_file *out, const void *string)
{
	long length = bpf_probe_read_kernel_str(out->path, sizeof(out->path), string);

	if (length <= 0)
		head->flags |= AEGIS_PATH_TRUNCATED;
	else
		out->path_length = length - 1;
	if (length == sizeof(out->path))
		head->flags |= AEGIS_PATH_TRUNCATED; /* exactly full: cut, or 255 bytes long; the former is likelier */
}

#endif
