/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Processes: fork, exec with its arguments, exit with its code, privileges gained and dropped.
 */

static __always_inline void try_fork(struct task_struct *child)
{
	struct subject subject = {};
	struct aegis_fork *record;

	if (!subject_of_current(&subject, AEGIS_HOOK_PROCESS))
		return;
	record = reserve_record(&subject, struct aegis_fork, false);
	if (!record)
		return;
	RUN(fill_head(&record->head, &subject, AEGIS_FORK, sizeof(*record)));
	record->child_pid = child->pid;
	record->child_tgid = child->tgid;
	bpf_ringbuf_submit(record, 0);
}

/* TP_PROTO(struct task_struct *parent, struct task_struct *child), include/trace/events/sched.h, since 2.6.30.
 * kernel/fork.c:kernel_clone, in the parent. The child is in the parent's cgroup, CLONE_INTO_CGROUP excepted. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	try_fork(child);
	return 0;
}

static __always_inline void fill_argv(struct aegis_exec *record, struct task_struct *task)
{
	unsigned long start = BPF_CORE_READ(task, mm, arg_start);
	unsigned long end = BPF_CORE_READ(task, mm, arg_end);
	__u64 length = end > start ? end - start : 0;

	if (length > sizeof(record->argv)) {
		length = sizeof(record->argv);
		record->head.flags |= AEGIS_ARGV_TRUNCATED;
	}
	/* The stack pages were written a moment ago by execve itself, so this does not fault; if it does, say so. */
	if (bpf_probe_read_user(record->argv, length, (const void *)start)) {
		length = 0;
		record->head.flags |= AEGIS_ARGV_TRUNCATED;
	}
	record->file.argv_length = length;
}

/* The path of `bprm->file`: the program, or the script's interpreter. */
static __always_inline void fill_exec_path(struct aegis_exec *record, struct linux_binprm *bprm)
{
	struct dentry *dentry = BPF_CORE_READ(bprm, file, f_path.dentry);
	struct vfsmount *mount = BPF_CORE_READ(bprm, file, f_path.mnt);

	if (put_path(record->file.path, &record->file.path_length, dentry, mount) &&
	    record->file.path_length)
		return;
	/* Without a place in the tree (memfd), or too long: its name as it was given to execve(2). */
	fill_path_string(&record->head, &record->file, BPF_CORE_READ(bprm, interp));
	record->head.flags |= AEGIS_PATH_TRUNCATED;
}

static __always_inline void try_exec(struct task_struct *task, struct linux_binprm *bprm)
{
	struct subject subject = {};
	struct aegis_exec *record;

	if (!subject_of_current(&subject, AEGIS_HOOK_PROCESS))
		return;
	record = reserve_record(&subject, struct aegis_exec, false);
	if (!record)
		return;
	RUN(fill_head(&record->head, &subject, AEGIS_EXEC, sizeof(*record)));
	RUN(fill_object(&record->file, (__u64)BPF_CORE_READ(bprm, file, f_inode), 0));
	fill_exec_path(record, bprm);
	fill_argv(record, task);
	bpf_ringbuf_submit(record, 0);
}

/* TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm), include/trace/events/sched.h, since 3.4.
 * fs/exec.c:exec_binprm, after the point of no return. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	try_exec(task, bprm);
	return 0;
}

static __always_inline void try_exit(struct task_struct *task)
{
	struct subject subject = {};
	struct process_id process = {};
	struct aegis_exit *record;
	__u32 code, one = 1;

	/* do_exit() has counted this thread out already: 0 is left when it was the last. */
	if (BPF_CORE_READ(task, signal, live.counter) != 0)
		return;
	if (!subject_of_current(&subject, AEGIS_HOOK_PROCESS))
		return;
	process.start_time = BPF_CORE_READ(task, group_leader, start_time);
	process.tgid = task->tgid;
	/* Before 6.4 the map's own function, which the verifier puts in the helper's place, returns an int: the upper half
	 * of the register is not its sign. */
	if ((int)bpf_map_update_elem(&exited, &process, &one, BPF_NOEXIST) == -EEXIST)
		return; /* another last thread said it */
	/* The code that wait(2) returns: kernel/exit.c:wait_task_zombie. */
	if (BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT)
		code = BPF_CORE_READ(task, signal, group_exit_code);
	else
		code = BPF_CORE_READ(task, group_leader, exit_code);
	record = reserve_record(&subject, struct aegis_exit, false);
	if (!record)
		return;
	RUN(fill_head(&record->head, &subject, AEGIS_EXIT, sizeof(*record)));
	record->code = code;
	record->reserved = 0;
	bpf_ringbuf_submit(record, 0);
}

/* TP_PROTO(struct task_struct *p), include/trace/events/sched.h, since 2.6.30; (…, bool group_dead) since 6.16.
 * kernel/exit.c:do_exit, for every thread: one record per process, by its last thread. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	try_exit(task);
	return 0;
}

static __always_inline void try_privilege(const struct cred *old, const struct cred *new)
{
	struct subject subject = {};
	struct aegis_privilege *record;
	__u32 old_uid = BPF_CORE_READ(old, euid.val), new_uid = BPF_CORE_READ(new, euid.val);
	__u64 old_caps = 0, new_caps = 0;

	bpf_core_read(&old_caps, sizeof(old_caps), &old->cap_effective);
	bpf_core_read(&new_caps, sizeof(new_caps), &new->cap_effective);
	if (old_uid == new_uid && old_caps == new_caps)
		return;
	if (!subject_of_current(&subject, AEGIS_HOOK_PRIVILEGE))
		return;
	record = reserve_record(&subject, struct aegis_privilege, false);
	if (!record)
		return;
	RUN(fill_head(&record->head, &subject, AEGIS_PRIVILEGE, sizeof(*record)));
	record->old_uid = old_uid;
	record->new_uid = new_uid;
	record->old_caps = old_caps;
	record->new_caps = new_caps;
	bpf_ringbuf_submit(record, 0);
}

/* int commit_creds(struct cred *new), kernel/cred.c, since 2.6.29: setuid(2) and its kin, capset(2), execve(2) of a program
 * with privileges of its own. Before it the task has the old ones. */
SEC("fentry/commit_creds")
int BPF_PROG(privilege_change, struct cred *new)
{
	try_privilege(BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), cred), new);
	return 0;
}
