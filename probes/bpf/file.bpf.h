/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Files: opening one, and executing one. Decided here, by inode.
 *
 * Every decision has two entries: the `lsm/` one denies; its fentry twin only watches, and is attached instead when
 * `bpf` is not in the kernel's LSM list. (LSM programs have one more argument, what an earlier BPF program returned;
 * the trampoline does not call ours unless that was 0, arch/x86/net/bpf_jit_comp.c:invoke_bpf_mod_ret.)
 */

static __always_inline void fill_file_path(struct aegis_record *head, struct aegis_file *out, struct file *file)
{
	long length = bpf_d_path(&file->f_path, (char *)out->path, sizeof(out->path));

	if (length > 0 && length <= sizeof(out->path)) {
		out->path_length = length - 1;
		return;
	}
	/* Longer than the record: its last component is worth more than its beginning. */
	fill_path_string(head, out, file->f_path.dentry->d_name.name);
	head->flags |= AEGIS_PATH_TRUNCATED;
}

/* One access, decided. The decision comes first and stands when its record is lost: a full ring costs evidence,
 * counted, never a denial. */
static __always_inline int report_access(struct subject *subject, struct decision decision, __u16 kind,
					 struct file *file)
{
	struct aegis_access *record;

	count_decision(subject, decision);
	record = reserve_record(subject, struct aegis_access);
	if (record) {
		fill_head(&record->head, subject, kind, sizeof(*record));
		fill_decision(&record->head, &record->rule, subject, decision);
		fill_inode(&record->file, file->f_inode);
		if (kind == AEGIS_OPEN)
			record->file.flags = file->f_flags;
		fill_file_path(&record->head, &record->file, file);
		bpf_ringbuf_submit(record, 0);
	}
	return answer(decision);
}

static __always_inline int try_open(struct file *file, bool enforce)
{
	struct subject subject = {};
	struct decision decision;
	__u32 operations = 0;

	if (!subject_of_current(&subject, AEGIS_HOOK_FILE_OPEN))
		return 0;
	/* execve(2) opening the program, its script interpreter or its ELF loader (PT_INTERP). The loader comes to no
	 * other hook, and any program can be named as one: what may not be executed is denied here. Everything else
	 * about exec is bprm_check's and sched_process_exec's to say. (With the glass broken both report: a loader has only
	 * this one, and a hook does not know whether the other is attached.) */
	if (file->f_flags & FMODE_EXEC) {
		decision = decide(&subject, file->f_inode, 1 << AEGIS_OP_EXEC);
		if (!enforce || decision.verdict != AEGIS_DENIED)
			return 0;
		return report_access(&subject, unless_broken(&subject, decision), AEGIS_EXEC_CHECK, file);
	}
	if (file->f_mode & FMODE_READ)
		operations |= 1 << AEGIS_OP_OPEN_READ;
	if (file->f_mode & FMODE_WRITE)
		operations |= 1 << AEGIS_OP_OPEN_WRITE;
	decision = decide(&subject, file->f_inode, operations);
	decision = enforce ? unless_broken(&subject, decision) : only_observed(decision);
	return report_access(&subject, decision, AEGIS_OPEN, file);
}

/* int security_file_open(struct file *file), security/security.c, since 4.20 (before: also a cred).
 * fs/open.c:do_dentry_open, before the file system's open. Directories too; O_PATH never comes here. */
SEC("lsm/file_open")
int BPF_PROG(file_open, struct file *file)
{
	return try_open(file, true);
}

SEC("fentry/security_file_open")
int BPF_PROG(file_open_watch, struct file *file)
{
	try_open(file, false);
	return 0;
}

static __always_inline int try_bprm_check(struct linux_binprm *bprm, bool enforce)
{
	struct subject subject = {};
	struct decision decision;
	struct aegis_access *record;

	if (!subject_of_current(&subject, AEGIS_HOOK_BPRM_CHECK))
		return 0;
	decision = decide(&subject, bprm->file->f_inode, 1 << AEGIS_OP_EXEC);
	if (!decision.rule)
		return 0; /* sched_process_exec reports what is allowed and happens */
	decision = enforce ? unless_broken(&subject, decision) : only_observed(decision);
	count_decision(&subject, decision);

	record = reserve_record(&subject, struct aegis_access);
	if (record) {
		fill_head(&record->head, &subject, AEGIS_EXEC_CHECK, sizeof(*record));
		fill_decision(&record->head, &record->rule, &subject, decision);
		fill_inode(&record->file, bprm->file->f_inode);
		if (enforce)
			fill_file_path(&record->head, &record->file, bprm->file);
		else /* bpf_d_path is not for fentry here; as given to execve(2), may be relative */
			fill_path_string(&record->head, &record->file, bprm->interp);
		bpf_ringbuf_submit(record, 0);
	}
	return answer(decision);
}

/* int security_bprm_check(struct linux_binprm *bprm), security/security.c, since 2.6.29.
 * fs/exec.c:search_binary_handler: the program, and again for each script interpreter on the way. */
SEC("lsm/bprm_check_security")
int BPF_PROG(bprm_check, struct linux_binprm *bprm)
{
	return try_bprm_check(bprm, true);
}

SEC("fentry/security_bprm_check")
int BPF_PROG(bprm_check_watch, struct linux_binprm *bprm)
{
	try_bprm_check(bprm, false);
	return 0;
}
