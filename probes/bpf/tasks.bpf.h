/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * What one task does to another: tracing, signals, limits. `ptrace` rules speak of the first; the rest guards Aegis from those that
 * it watches, and keeps everybody in his cgroup.
 */

/* Aegis's agent, and init, which keeps it. */
static __always_inline bool is_guarded(__u32 tgid)
{
	struct aegis_control *page = control_page();

	return tgid == 1 || (page && tgid && tgid == page->agent);
}

/* 1: a task is in this cgroup, or in one below it. */
__noinline int is_below(__u64 address, __u64 cgroup)
{
	struct task_struct *task = (struct task_struct *)address;
	struct cgroup *own = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	int deepest = BPF_CORE_READ(own, level);
	__u64 found = 0, at, id;

	for (int level = 1; level <= AEGIS_CGROUP_DEPTH_MAX && level <= deepest; level++) {
		id = 0;
		if (bpf_core_field_exists(own->ancestor_ids)) {
			at = (__u64)own + bpf_core_field_offset(struct cgroup, ancestor_ids) + level * sizeof(id);
			bpf_probe_read_kernel(&id, sizeof(id), (void *)at);
		} else {
			struct cgroup *above = NULL;

			at = (__u64)own + bpf_core_field_offset(struct cgroup, ancestors) + level * sizeof(above);
			bpf_probe_read_kernel(&above, sizeof(above), (void *)at);
			id = BPF_CORE_READ(above, kn, id);
		}
		found |= same(id, cgroup);
	}
	return found & 1;
}

/* 1: the agent or init; or a task outside of the subject's own cgroup that runs a program of Aegis's own, which nobody writes to:
 * `aegis load`, `aegis policy apply`, a session. Global, as `decide` is. */
__noinline int is_ours(__u64 address, __u32 set, __u32 ruleset, __u64 cgroup)
{
	struct task_struct *task = (struct task_struct *)address;
	struct inode *program = BPF_CORE_READ(task, mm, exe_file, f_inode);
	struct aegis_entry *entry;

	if (!address)
		return 0;
	if (is_guarded(BPF_CORE_READ(task, tgid)))
		return 1;
	entry = find_object(set, ruleset, BPF_CORE_READ(program, i_ino),
			    BPF_CORE_READ(program, i_sb, s_dev));
	if (!entry || entry->effect[AEGIS_OP_OPEN_WRITE] != EFFECT_SELF)
		return 0;
	return !is_below(address, cgroup);
}

static __always_inline int try_ptrace(struct task_struct *child, unsigned int mode, bool enforce)
{
	__u32 target = BPF_CORE_READ(child, tgid);
	struct saying saying = { .kind = AEGIS_PTRACE, .number = mode, .target = target, .enforce = enforce };
	struct decision decision = {};
	struct subject subject = {};

	/* Reading (ps, top) is no tracing, and what is secret in /proc asks to attach. */
	if (!(mode & PTRACE_MODE_ATTACH) || !subject_of_current(&subject, AEGIS_HOOK_PTRACE))
		return 0;
	/* Nobody asks leave to look at himself. */
	if (target == bpf_get_current_pid_tgid() >> 32)
		return 0;
	take_surface(&subject, &decision, AEGIS_OP_PTRACE);
	/* Who puts code into a task outside of his workload is outside himself: our own commands and sessions are in none. */
	if (is_guarded(target))
		take_self(&subject, &decision, AEGIS_MATCH_SURFACE, 0);
	else if (!is_below(address_of(child), subject.cgroup))
		take_self(&subject, &decision, AEGIS_MATCH_CGROUP, 0);
	return report_surface(&subject, &decision, &saying);
}

/* int security_ptrace_access_check(struct task_struct *child, unsigned int mode), security/security.c.
 * kernel/ptrace.c:__ptrace_may_access: ptrace(2), process_vm_writev(2), pidfd_getfd(2), /proc/PID/mem. */
SEC("lsm/ptrace_access_check")
int BPF_PROG(ptrace_access, struct task_struct *child, unsigned int mode)
{
	return try_ptrace(child, mode, true);
}

SEC("fentry/security_ptrace_access_check")
int BPF_PROG(ptrace_access_watch, struct task_struct *child, unsigned int mode)
{
	try_ptrace(child, mode, false);
	return 0;
}

/* What would end, stop or starve one of Aegis's own; `number` and `text` are the event's. */
static __noinline int try_signal(struct task_struct *task, struct saying *saying)
{
	struct subject subject = {};

	if (!subject_of_current(&subject, AEGIS_HOOK_TASK_KILL) || !is_ours(address_of(task), subject.set, subject.ruleset, subject.cgroup))
		return 0;
	saying->kind = AEGIS_SIGNAL;
	saying->target = BPF_CORE_READ(task, tgid);
	saying->enforce = true;
	return report_self(&subject, AEGIS_OP_SIGNAL, AEGIS_MATCH_SURFACE, saying);
}

/* int security_task_kill(struct task_struct *p, struct kernel_siginfo *info, int sig, const struct cred *cred),
 * security/security.c. kernel/signal.c:check_kill_permission: every signal from user space. */
SEC("lsm/task_kill")
int BPF_PROG(task_kill, struct task_struct *task, void *info, int sig)
{
	struct saying saying = { .number = sig };

	return try_signal(task, &saying);
}

/* int security_file_send_sigiotask(struct task_struct *tsk, struct fown_struct *fown, int sig), security/security.c.
 * fs/fcntl.c:sigio_perm: a signal that a descriptor sends (F_SETOWN, F_SETSIG), which is not asked for as one. Whoever runs
 * now need not be who set it up, and an interrupt may send it: it is decided by the rules of those that no pattern covers, and
 * there is no event, which would accuse the wrong one. */
SEC("lsm/file_send_sigiotask")
int BPF_PROG(descriptor_signal, struct task_struct *task)
{
	__u32 others = AEGIS_RULESET_OTHERS;
	struct decision decision = { .operation = AEGIS_OP_SIGNAL };
	struct subject subject = { .ruleset = AEGIS_RULESET_OTHERS };

	if (!is_guarded(BPF_CORE_READ(task, tgid)) || !read_control(&subject))
		return 0;
	if (subject.set)
		subject.rules = bpf_map_lookup_elem(&rulesets_1, &others);
	else
		subject.rules = bpf_map_lookup_elem(&rulesets_0, &others);
	if (!subject.rules)
		return 0;
	subject.features = subject.rules->features;
	take_self(&subject, &decision, AEGIS_MATCH_SURFACE, 0);
	judge(&subject, &decision);
	RUN(temper(&subject, &decision, true));
	return answer(&decision);
}

#define STARVES(hook, program, word)                                   \
	SEC("lsm/task_" #hook)                                         \
	int BPF_PROG(program, struct task_struct *task)                \
	{                                                              \
		struct saying saying = { TEXT(word) };                 \
		return try_signal(task, &saying);                      \
	}

/* int security_task_setrlimit(struct task_struct *p, unsigned int resource, struct rlimit *new_rlim), security/security.c.
 * kernel/sys.c:do_prlimit: a limit on processor time is a signal that comes later. */
STARVES(setrlimit, task_limit, "prlimit")

/* int security_task_setnice(struct task_struct *p, int nice), security/security.c. kernel/sys.c:set_one_prio. */
STARVES(setnice, task_nice, "setpriority")

/* int security_task_setscheduler(struct task_struct *p), security/security.c: how it is scheduled, and on which processors. */
STARVES(setscheduler, task_schedule, "sched_setattr")

/* int security_task_movememory(struct task_struct *p), security/security.c. mm/migrate.c, mm/mempolicy.c: move_pages(2),
 * migrate_pages(2). */
STARVES(movememory, task_memory, "move_pages")

/* int security_task_setioprio(struct task_struct *p, int ioprio), security/security.c. block/ioprio.c:set_task_ioprio. */
STARVES(setioprio, task_ioprio, "ioprio_set")

/* int security_task_alloc(struct task_struct *task, unsigned long clone_flags), security/security.c, since 4.16.
 * kernel/fork.c:copy_process. clone3(2) can put the child into any cgroup whose directory is at hand as an O_PATH
 * descriptor, which no hook sees. */
SEC("lsm/task_alloc")
int BPF_PROG(task_alloc, struct task_struct *task, unsigned long clone_flags)
{
	struct saying saying = { .kind = AEGIS_ESCAPE, .enforce = true, TEXT("clone3") };
	struct subject subject = {};

	if (!(clone_flags & CLONE_INTO_CGROUP) || !subject_of_current(&subject, AEGIS_HOOK_TASK_ALLOC))
		return 0;
	return report_self(&subject, AEGIS_OP_ESCAPE, AEGIS_MATCH_CGROUP, &saying);
}
