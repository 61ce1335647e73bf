/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * What every probe does first and last: whose task is this, count it, fill the head of its record.
 */
#ifndef AEGIS_RECORD_BPF_H
#define AEGIS_RECORD_BPF_H

/* The workload of the current task, and the rule set in force, read once. */
struct subject {
	struct aegis_counters *counters;
	__u64 policy;
	__u32 slot;
	__u32 ruleset;
	__u32 set;
};

/* Reads which rule set is in force. Once per decision: a swap between two reads would mix two policies. */
static __always_inline bool read_control(struct subject *subject)
{
	__u32 zero = 0;
	struct aegis_control *page = bpf_map_lookup_elem(&control, &zero);

	if (!page)
		return false;
	subject->set = *(volatile __u32 *)&page->active & 1;
	subject->policy = subject->set ? page->policy[1] : page->policy[0];
	return true;
}

/* Finds the deepest registered ancestor of the current task's cgroup. False: not ours, nothing to do. */
static __always_inline bool subject_of_current(struct subject *subject, enum aegis_hook hook)
{
	struct aegis_cgroup *cgroup = NULL;

#pragma unroll
	for (int level = AEGIS_CGROUP_DEPTH_MAX; level >= 1; level--) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			continue; /* not that deep */
		cgroup = bpf_map_lookup_elem(&cgroups, &id);
		if (cgroup)
			break;
	}
	if (!cgroup || !read_control(subject))
		return false;
	subject->slot = cgroup->slot;
	subject->ruleset = subject->set ? cgroup->ruleset[1] : cgroup->ruleset[0];
	subject->counters = bpf_map_lookup_elem(&counters, &subject->slot);
	if (!subject->counters)
		return false; /* slot out of range: user space never registers one */
	__sync_fetch_and_add(&subject->counters->hits[hook], 1);
	return true;
}

/* Room for one record; counts the event, and the loss when there is none. Size is a constant: the verifier wants it so. */
#define reserve_record(subject, type)                                                   \
	({                                                                              \
		type *reserved_ = bpf_ringbuf_reserve(&events, sizeof(type), 0);        \
		__sync_fetch_and_add(&(subject)->counters->seen, 1);                    \
		if (!reserved_)                                                         \
			__sync_fetch_and_add(&(subject)->counters->ring_full, 1);       \
		reserved_;                                                              \
	})

static __always_inline void fill_head(struct aegis_record *head, const struct subject *subject, __u16 kind,
				      __u16 length)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid();

	head->kind = kind;
	head->length = length;
	head->verdict = AEGIS_ALLOWED;
	head->flags = 0;
	head->set = subject->set;
	head->reserved = 0;
	head->time = bpf_ktime_get_boot_ns();
	head->cgroup = bpf_get_current_cgroup_id();
	head->policy = subject->policy;
	head->slot = subject->slot;
	head->rule = 0;
	head->pid = (__u32)id;
	head->tgid = id >> 32;
	head->ppid = BPF_CORE_READ(task, real_parent, tgid);
	head->uid = (__u32)bpf_get_current_uid_gid();
	bpf_get_current_comm(head->comm, sizeof(head->comm));
}

static __always_inline void fill_inode(struct aegis_file *out, struct inode *inode)
{
	out->inode = inode->i_ino;
	out->device = inode->i_sb->s_dev;
	out->flags = 0;
	out->path_length = 0;
	out->argv_length = 0;
	out->reserved = 0;
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
