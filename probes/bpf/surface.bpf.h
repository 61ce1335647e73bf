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

static __always_inline int try_ptrace(struct task_struct *child, unsigned int mode, bool enforce)
{
	__u32 target = BPF_CORE_READ(child, tgid);
	struct saying saying = { .kind = AEGIS_PTRACE, .number = mode, .target = target, .enforce = enforce };
	struct decision decision = {};
	struct subject subject = {};
	bool guarded;

	if (!subject_of_current(&subject, AEGIS_HOOK_PTRACE))
		return 0;
	guarded = is_guarded(target);
	/* Reading (ps, top) is no tracing; of what is guarded it is. Nobody asks leave to look at himself. */
	if (!(mode & PTRACE_MODE_ATTACH) && !guarded)
		return 0;
	if (target == bpf_get_current_pid_tgid() >> 32)
		return 0;
	decision.operation = AEGIS_OP_PTRACE;
	if (mode & PTRACE_MODE_ATTACH)
		take_surface(&subject, &decision, AEGIS_OP_PTRACE);
	if (guarded && mode & PTRACE_MODE_ATTACH)
		take_self(&subject, &decision, AEGIS_MATCH_SURFACE, 0);
	else if (guarded)
		return 0; /* /proc/PID/stat and its like ask too; what is secret there asks to attach */
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
	    id != bpf_core_enum_value(enum kernel_read_file_id, READING_KEXEC_IMAGE))
		return 0;
	if (!subject_of_current(&subject, AEGIS_HOOK_MODULE))
		return 0;
	if (file) {
		dentry = BPF_CORE_READ(file, f_path.dentry);
		saying.kernel_text = BPF_CORE_READ(dentry, d_name.name);
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

static __always_inline int try_mount(struct saying saying)
{
	struct decision decision = {};
	struct subject subject = {};

	if (!subject_of_current(&subject, AEGIS_HOOK_MOUNT))
		return 0;
	take_surface(&subject, &decision, AEGIS_OP_MOUNT);
	saying.kind = AEGIS_MOUNT;
	return report_surface(&subject, &decision, &saying);
}

/* int security_sb_mount(const char *dev_name, const struct path *path, const char *type, unsigned long flags, void *data),
 * security/security.c. fs/namespace.c:path_mount: mount(2) in all its ways. */
SEC("lsm/sb_mount")
int BPF_PROG(mount_call, const char *device, struct path *path, const char *type, unsigned long flags)
{
	return try_mount((struct saying){ .number = flags, .kernel_text = type, .enforce = true, TEXT("mount") });
}

SEC("fentry/security_sb_mount")
int BPF_PROG(mount_call_watch, const char *device, struct path *path, const char *type, unsigned long flags)
{
	try_mount((struct saying){ .number = flags, .kernel_text = type, .enforce = false, TEXT("mount") });
	return 0;
}

/* int security_move_mount(const struct path *from_path, const struct path *to_path), security/security.c, since 5.2. */
SEC("lsm/move_mount")
int BPF_PROG(mount_move, struct path *from, struct path *to)
{
	return try_mount((struct saying){ .number = 0, .kernel_text = NULL, .enforce = true, TEXT("move_mount") });
}

SEC("fentry/security_move_mount")
int BPF_PROG(mount_move_watch, struct path *from, struct path *to)
{
	try_mount((struct saying){ .number = 0, .kernel_text = NULL, .enforce = false, TEXT("move_mount") });
	return 0;
}

/* int security_sb_umount(struct vfsmount *mnt, int flags), security/security.c. */
SEC("lsm/sb_umount")
int BPF_PROG(mount_end, struct vfsmount *mnt, int flags)
{
	return try_mount((struct saying){ .number = flags, .kernel_text = NULL, .enforce = true, TEXT("umount") });
}

SEC("fentry/security_sb_umount")
int BPF_PROG(mount_end_watch, struct vfsmount *mnt, int flags)
{
	try_mount((struct saying){ .number = flags, .kernel_text = NULL, .enforce = false, TEXT("umount") });
	return 0;
}

/* int security_sb_pivotroot(const struct path *old_path, const struct path *new_path), security/security.c. */
SEC("lsm/sb_pivotroot")
int BPF_PROG(mount_pivot, struct path *old, struct path *new)
{
	return try_mount((struct saying){ .number = 0, .kernel_text = NULL, .enforce = true, TEXT("pivot_root") });
}

SEC("fentry/security_sb_pivotroot")
int BPF_PROG(mount_pivot_watch, struct path *old, struct path *new)
{
	try_mount((struct saying){ .number = 0, .kernel_text = NULL, .enforce = false, TEXT("pivot_root") });
	return 0;
}

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
