/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Files: opening one, for reading, writing or execution.
 */

static __noinline int report_file(struct subject *subject, struct decision *decision, __u16 kind, struct file *file,
				  __u32 flags)
{
	struct aegis_access *record;

	count_decision(subject, decision);
	record = begin_access(subject, decision, kind, BPF_CORE_READ(file, f_inode), flags);
	if (record) {
		fill_file_path(&record->head, &record->file, file);
		bpf_ringbuf_submit(record, 0);
	}
	return answer(decision);
}

static __always_inline int try_open(struct file *file, bool enforce)
{
	struct subject subject = {};
	struct inquiry inquiry = {};
	struct decision *decision = &inquiry.decisions[0];
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	__u16 type = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	__u32 mode = file->f_mode;
	bool exec = file->f_flags & FMODE_EXEC;
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);

	if (!subject_of_current(&subject, AEGIS_HOOK_FILE_OPEN))
		return 0;
	/* A device opened for ioctl(2) only is read and written by that. */
	if (!exec && !(mode & (FMODE_READ | FMODE_WRITE)) && (type == S_IFBLK || type == S_IFCHR))
		mode |= FMODE_READ | FMODE_WRITE;
	/* execve(2) opening the program, its script interpreter or its ELF loader (PT_INTERP). The loader comes to no
	 * other hook, and any program can be named as one: what may not be executed is denied here. Everything else
	 * about exec is bprm_check's and sched_process_exec's to say. (With the glass broken both report: a loader has only
	 * this one, and a hook does not know whether the other is attached.) */
	if (exec) {
		decision->operation = AEGIS_OP_EXEC;
		inquiry.decisions[1].operation = NO_OPERATION;
	} else {
		decision->operation = mode & FMODE_READ ? AEGIS_OP_OPEN_READ : AEGIS_OP_OPEN_WRITE;
		inquiry.decisions[1].operation = mode & FMODE_WRITE ? AEGIS_OP_OPEN_WRITE : NO_OPERATION;
	}
	inquire(&inquiry, &subject, (__u64)dentry, (__u64)BPF_CORE_READ(file, f_path.mnt), (__u64)inode);
	RUN(decide(&inquiry));
	if (mode & FMODE_WRITE) {
		take_cgroup(&subject, &inquiry.decisions[1], dentry);
		take_setting(&subject, &inquiry.decisions[1], dentry);
	}
	judge(&subject, decision);
	judge(&subject, &inquiry.decisions[1]);
	if (!exec && mode & FMODE_WRITE)
		take_stricter(decision, &inquiry.decisions[1]);
	/* Neither read nor written (flags 3, for ioctl): no rule speaks of it. */
	if (!exec && !(mode & (FMODE_READ | FMODE_WRITE)))
		__builtin_memset(decision, 0, sizeof(*decision));
	if (exec) {
		/* Where rules by content may still allow it, bprm_check decides, and mmap_file of the loader. */
		if (!enforce || decision->verdict != AEGIS_DENIED || subject.features & AEGIS_HAS_HASH_OVERRIDES)
			return 0;
		RUN(temper(&subject, decision, true));
		return report_file(&subject, decision, AEGIS_EXEC_CHECK, file, 0);
	}
	RUN(temper(&subject, decision, enforce));
	return report_file(&subject, decision, AEGIS_OPEN, file, file->f_flags);
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
