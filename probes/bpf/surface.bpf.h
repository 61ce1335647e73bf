/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The kernel's own surface: tracing, modules, bpf(2), mounts. And what guards Aegis from those that it watches: its process
 * is not signalled or traced, nobody has bpf(2), nobody leaves his cgroup.
 */

/* What a record says besides its decision. */
struct saying {
	__u16 kind;
	__u16 length; /* of `text` */
	__u32 number;
	__u32 target;
	bool enforce;
	bool blind; /* what it takes from its place the hook does not say */
	const void *kernel_text; /* instead of `text`; 0: none */
	char text[16];
};

#define TEXT(string) .text = string, .length = sizeof(string) - 1

static __noinline int report_surface(struct subject *subject, struct decision *decision, struct saying *saying)
{
	struct aegis_surface *record;

	judge(subject, decision);
	RUN(temper(subject, decision, saying->enforce));
	count_decision(subject, decision);
	record = reserve_record(subject, struct aegis_surface, !!rule_of(decision));
	if (record) {
		RUN(fill_head(&record->head, subject, saying->kind, sizeof(*record)));
		RUN(fill_decision(&record->head, &record->decision, subject, decision));
		record->number = saying->number;
		record->target = saying->target;
		record->text_length = saying->length;
		__builtin_memset(record->reserved, 0, sizeof(record->reserved));
		__builtin_memcpy(record->text, saying->text, sizeof(saying->text));
		if (saying->kernel_text) {
			long read = bpf_probe_read_kernel_str(record->text, sizeof(record->text), saying->kernel_text);

			record->text_length = read > 0 && read <= sizeof(record->text) ? read - 1 : 0;
		}
		bpf_ringbuf_submit(record, 0);
	}
	return answer(decision);
}

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

static __always_inline int try_module(struct file *file, __u32 id, bool enforce)
{
	struct saying saying = { .kind = AEGIS_MODULE, .number = id, .enforce = enforce, TEXT("memory") };
	struct decision decision = {};
	struct subject subject = {};
	struct dentry *dentry;

	/* The two enumerations are generated from one list (include/linux/kernel_read_file.h). */
	if (id != bpf_core_enum_value(enum kernel_read_file_id, READING_MODULE) &&
	    id != bpf_core_enum_value(enum kernel_read_file_id, READING_KEXEC_IMAGE) &&
	    !(bpf_core_enum_value_exists(enum kernel_read_file_id, READING_MODULE_COMPRESSED) &&
	      id == bpf_core_enum_value(enum kernel_read_file_id, READING_MODULE_COMPRESSED)))
		return 0;
	if (!subject_of_current(&subject, AEGIS_HOOK_MODULE))
		return 0;
	if (file) {
		dentry = BPF_CORE_READ(file, f_path.dentry);
		saying.kernel_text = name_of(dentry);
	}
	take_surface(&subject, &decision, AEGIS_OP_MODULE);
	return report_surface(&subject, &decision, &saying);
}

/* int security_kernel_read_file(struct file *file, enum kernel_read_file_id id, bool contents), security/security.c;
 * contents since 5.10. finit_module(2), kexec_file_load(2). */
SEC("lsm/kernel_read_file")
int BPF_PROG(module_file, struct file *file, unsigned int id)
{
	return try_module(file, id, true);
}

SEC("fentry/security_kernel_read_file")
int BPF_PROG(module_file_watch, struct file *file, unsigned int id)
{
	try_module(file, id, false);
	return 0;
}

/* int security_kernel_load_data(enum kernel_load_data_id id, bool contents), security/security.c, since 4.18.
 * init_module(2), kexec_load(2). */
SEC("lsm/kernel_load_data")
int BPF_PROG(module_data, unsigned int id)
{
	return try_module(NULL, id, true);
}

SEC("fentry/security_kernel_load_data")
int BPF_PROG(module_data_watch, unsigned int id)
{
	try_module(NULL, id, false);
	return 0;
}

/* int security_kernel_module_request(char *kmod_name), security/security.c, since 2.6.30. kernel/module/kmod.c: a module that
 * the kernel wants for what somebody asked (a protocol, a file system). */
SEC("lsm/kernel_module_request")
int BPF_PROG(module_request, char *name)
{
	struct saying saying = { .kind = AEGIS_MODULE, .kernel_text = name, .enforce = true };
	struct decision decision = {};
	struct subject subject = {};

	if (!subject_of_current(&subject, AEGIS_HOOK_MODULE))
		return 0;
	take_surface(&subject, &decision, AEGIS_OP_MODULE);
	return report_surface(&subject, &decision, &saying);
}

static __always_inline int try_bpf(int command, bool enforce)
{
	struct saying saying = { .kind = AEGIS_BPF, .number = command, .enforce = enforce };
	struct decision decision = {};
	struct subject subject = {};

	if (!subject_of_current(&subject, AEGIS_HOOK_BPF))
		return 0;
	take_surface(&subject, &decision, AEGIS_OP_BPF);
	take_self(&subject, &decision, AEGIS_MATCH_SURFACE, 0);
	return report_surface(&subject, &decision, &saying);
}

/* int security_bpf(int cmd, union bpf_attr *attr, unsigned int size), security/security.c, since 4.15; more arguments
 * behind these since 6.15. */
SEC("lsm/bpf")
int BPF_PROG(bpf_call, int command)
{
	return try_bpf(command, true);
}

SEC("fentry/security_bpf")
int BPF_PROG(bpf_call_watch, int command)
{
	try_bpf(command, false);
	return 0;
}

/* A way up, to see whether it leads through a place of Aegis's own. */
struct ascent {
	__u64 dentry;
	__u64 mount; /* struct vfsmount; 0: not known */
	__u64 found; /* that place's inode */
	__u32 set;
	__u32 ruleset;
};

/* One step; 1: no more. At the first a place on the way to Aegis's own counts too. */
static long ascend(__u32 step, struct ascent *ascent)
{
	struct dentry *dentry = (struct dentry *)ascent->dentry;
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	__u64 number = BPF_CORE_READ(dentry, d_inode, i_ino);
	struct aegis_entry *entry =
		find_object(ascent->set, ascent->ruleset, number, BPF_CORE_READ(dentry, d_sb, s_dev));

	if (entry && (entry->tree_effect[AEGIS_OP_CHANGE] == EFFECT_SELF ||
		      (!step && entry->effect[AEGIS_OP_HOLD] == EFFECT_SELF))) {
		ascent->found = number;
		return 1;
	}
	if (dentry != parent) {
		ascent->dentry = (__u64)parent;
		return 0;
	}
	return leave_mount(&ascent->dentry, &ascent->mount) ? 0 : 1;
}

/* The inode of a place of Aegis's own at or above this one, or of this one, if it is on the way to such a place; 0: none. */
__noinline __u64 own_place(__u64 dentry, __u64 mount, __u32 set, __u32 ruleset)
{
	struct ascent ascent = { .dentry = dentry, .mount = mount, .set = set, .ruleset = ruleset };

	/* Before 5.17 only the place itself is looked at. */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop))
		bpf_loop(AEGIS_WALK_MAX, ascend, &ascent, 0);
	else
		ascend(0, &ascent);
	return ascent.found;
}

/* What this task mounts and unmounts, Aegis and init see. */
static __always_inline bool shares_mounts(const struct aegis_control *page)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return page->namespace && BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum) == page->namespace;
}

#define WHOLE (~0ULL)

/* 1: a place that Aegis shares with all (`/`, /proc, /sys, /dev, ...): what is seen there it believes. With WHOLE all that lies
 * on their file systems is one: a cgroup's directory, a program of the image. */
__noinline int is_common(__u64 address, __u64 whole)
{
	struct dentry *dentry = (struct dentry *)address;
	struct aegis_control *page = control_page();
	__u64 number = BPF_CORE_READ(dentry, d_inode, i_ino), found = 0;
	__u32 device = BPF_CORE_READ(dentry, d_sb, s_dev);

	if (!page || !device)
		return 0;
#pragma unroll
	for (int i = 0; i < AEGIS_COMMON_MAX; i++)
		found |= same(page->common_device[i], device) & (same(page->common_inode[i], number) | whole);
	return found & 1;
}

/* 1: what is mounted by this stays, since it is on such a file system, or is one. A mount that is attached nowhere, or
 * elsewhere, is the business of who is there. */
__noinline int is_kept(__u64 address)
{
	struct mount *mount = (struct mount *)(address - bpf_core_field_offset(struct mount, mnt));
	struct aegis_control *page = control_page();

	if (!page || !page->namespace || BPF_CORE_READ(mount, mnt_ns, ns.inum) != page->namespace)
		return 0;
	return is_common((__u64)BPF_CORE_READ(mount, mnt.mnt_root), 0) ||
	       is_common((__u64)BPF_CORE_READ(mount, mnt_mountpoint), WHOLE);
}

/* What a call on mounts asks about: a place, and a mount that goes from where it is. */
struct asked {
	__u64 dentry; /* 0: no place */
	__u64 mount;
	__u64 gone; /* struct vfsmount; 0: none */
};

/* What is mounted over a place of Aegis's own or one that it believes, or taken from under it, is a matter of its own safety. */
static __noinline int take_asked(const struct subject *subject, struct decision *decision, const struct asked *asked,
				 bool blind)
{
	struct vfsmount *gone = (struct vfsmount *)asked->gone, *mount = (struct vfsmount *)asked->mount;
	struct aegis_control *page = control_page();
	__u64 own = 0, kept = 0;

	if (gone) {
		own = own_place((__u64)BPF_CORE_READ(gone, mnt_root), asked->gone, subject->set, subject->ruleset);
		kept = is_kept(asked->gone);
	}
	if (!own && asked->dentry)
		own = own_place(asked->dentry, asked->mount, subject->set, subject->ruleset);
	if (!kept && asked->dentry && page && shares_mounts(page)) {
		kept = blind || is_common(asked->dentry, WHOLE);
		/* Over a mount is over the place that it is mounted on. */
		if (!kept && asked->dentry == (__u64)BPF_CORE_READ(mount, mnt_root))
			kept = is_kept(asked->mount);
	}
	if (own)
		take_self(subject, decision, AEGIS_MATCH_OBJECT, own);
	if (kept)
		take_self(subject, decision, AEGIS_MATCH_SURFACE, 0);
	return DONE;
}

static __noinline int try_mount(struct saying *saying, const struct asked *asked)
{
	struct decision decision = {};
	struct subject subject = {};

	if (!subject_of_current(&subject, AEGIS_HOOK_MOUNT))
		return 0;
	take_surface(&subject, &decision, AEGIS_OP_MOUNT);
	RUN(take_asked(&subject, &decision, asked, saying->blind));
	saying->kind = AEGIS_MOUNT;
	return report_surface(&subject, &decision, saying);
}

#define MOUNTS(hook, program, arguments, flags, type, word, asks, is_blind)                                                      \
	SEC("lsm/" #hook)                                                                                                        \
	int BPF_PROG(program, arguments)                                                                                         \
	{                                                                                                                        \
		struct saying saying = { .number = flags, .kernel_text = type, .enforce = true, .blind = is_blind, TEXT(word) }; \
		struct asked asked = { asks };                                                                                   \
		return try_mount(&saying, &asked);                                                                               \
	}                                                                                                                        \
	SEC("fentry/security_" #hook)                                                                                            \
	int BPF_PROG(program##_watch, arguments)                                                                                 \
	{                                                                                                                        \
		struct saying saying = { .number = flags, .kernel_text = type, .blind = is_blind, TEXT(word) };                  \
		struct asked asked = { asks };                                                                                   \
		try_mount(&saying, &asked);                                                                                      \
		return 0;                                                                                                        \
	}
#define WITH(...) __VA_ARGS__
#define AT(path) .dentry = (__u64)BPF_CORE_READ(path, dentry), .mount = (__u64)BPF_CORE_READ(path, mnt)

/* int security_sb_mount(const char *dev_name, const struct path *path, const char *type, unsigned long flags, void *data),
 * security/security.c. fs/namespace.c:path_mount: mount(2) in all its ways. Moving a mount so comes to no other hook, and
 * this one does not know which. */
MOUNTS(sb_mount, mount_call, WITH(const char *device, struct path *path, const char *type, unsigned long flags), flags, type,
       "mount", WITH(AT(path)), flags & MS_MOVE)

/* int security_move_mount(const struct path *from_path, const struct path *to_path), security/security.c, since 5.2. */
MOUNTS(move_mount, mount_move, WITH(struct path *from, struct path *to), 0, NULL, "move_mount",
       WITH(AT(to), .gone = (__u64)BPF_CORE_READ(from, mnt)), false)

/* int security_sb_umount(struct vfsmount *mnt, int flags), security/security.c. */
MOUNTS(sb_umount, mount_end, WITH(struct vfsmount *mnt, int flags), flags, NULL, "umount", WITH(.gone = address_of(mnt)), false)

/* int security_sb_pivotroot(const struct path *old_path, const struct path *new_path), security/security.c. It moves every
 * process whose root is the old one. */
MOUNTS(sb_pivotroot, mount_pivot, WITH(struct path *old, struct path *new), 0, NULL, "pivot_root",
       WITH(AT(old), .gone = (__u64)BPF_CORE_READ(new, mnt)), true)

/* int security_sb_remount(struct super_block *sb, void *mnt_opts), security/security.c: fsconfig(2), and mount(2) once more. */
MOUNTS(sb_remount, mount_again, WITH(struct super_block *sb), 0, NULL, "remount",
       WITH(.dentry = (__u64)BPF_CORE_READ(sb, s_root), .mount = (__u64)any_mount(sb)), false)

/* int security_task_kill(struct task_struct *p, struct kernel_siginfo *info, int sig, const struct cred *cred),
 * security/security.c. kernel/signal.c:check_kill_permission: every signal from user space. */
SEC("lsm/task_kill")
int BPF_PROG(task_kill, struct task_struct *task, void *info, int sig)
{
	__u32 target = BPF_CORE_READ(task, tgid);
	struct saying saying = { .kind = AEGIS_SIGNAL, .number = sig, .target = target, .enforce = true };
	struct decision decision = { .operation = AEGIS_OP_SIGNAL };
	struct subject subject = {};

	if (!is_guarded(target) || !subject_of_current(&subject, AEGIS_HOOK_TASK_KILL))
		return 0;
	take_self(&subject, &decision, AEGIS_MATCH_SURFACE, 0);
	return report_surface(&subject, &decision, &saying);
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

/* int security_task_setrlimit(struct task_struct *p, unsigned int resource, struct rlimit *new_rlim), security/security.c.
 * kernel/sys.c:do_prlimit: a limit on processor time is a signal that comes later. */
SEC("lsm/task_setrlimit")
int BPF_PROG(task_limit, struct task_struct *task, unsigned int resource)
{
	__u32 target = BPF_CORE_READ(task, tgid);
	struct saying saying = { .kind = AEGIS_SIGNAL, .target = target, .enforce = true, TEXT("prlimit") };
	struct decision decision = { .operation = AEGIS_OP_SIGNAL };
	struct subject subject = {};

	if (!is_guarded(target) || !subject_of_current(&subject, AEGIS_HOOK_TASK_KILL))
		return 0;
	take_self(&subject, &decision, AEGIS_MATCH_SURFACE, 0);
	return report_surface(&subject, &decision, &saying);
}

/* int security_task_alloc(struct task_struct *task, unsigned long clone_flags), security/security.c, since 4.16.
 * kernel/fork.c:copy_process. clone3(2) can put the child into any cgroup whose directory is at hand as an O_PATH
 * descriptor, which no hook sees. */
SEC("lsm/task_alloc")
int BPF_PROG(task_alloc, struct task_struct *task, unsigned long clone_flags)
{
	struct saying saying = { .kind = AEGIS_ESCAPE, .enforce = true, TEXT("clone3") };
	struct decision decision = { .operation = AEGIS_OP_ESCAPE };
	struct subject subject = {};

	if (!(clone_flags & CLONE_INTO_CGROUP) || !subject_of_current(&subject, AEGIS_HOOK_TASK_ALLOC))
		return 0;
	take_self(&subject, &decision, AEGIS_MATCH_CGROUP, 0);
	return report_surface(&subject, &decision, &saying);
}
