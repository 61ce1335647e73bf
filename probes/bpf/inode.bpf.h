/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Names and attributes of files: what `change` rules speak of, and truncation. These hooks do not say by which mount a file
 * was reached; any mount of its file system has to do.
 */

static __always_inline struct vfsmount *mount_of(struct dentry *dentry)
{
	return any_mount(BPF_CORE_READ(dentry, d_sb));
}

static __noinline int try_change(struct dentry *dentry, enum aegis_hook hook, __u64 what, __u8 operation, bool enforce)
{
	struct subject subject = {};
	struct inquiry inquiry;
	struct decision *decision;
	struct vfsmount *mount;

	if (!subject_of_current(&subject, hook))
		return 0;
	mount = mount_of(dentry);
	decision = decide_file(&inquiry, &subject, dentry, mount, operation, what & HELD);
	if (hook == AEGIS_HOOK_INODE_CREATE)
		take_cgroup(&subject, decision, dentry);
	judge(&subject, decision);
	RUN(temper(&subject, decision, enforce));
	return report_dentry(&subject, decision, what, dentry, mount);
}

/* int security_inode_create(struct inode *dir, struct dentry *dentry, umode_t mode), security/security.c.
 * fs/namei.c:lookup_open, vfs_create. Likewise mkdir, mknod (devices, pipes, Unix sockets) and symlink. */
#define CREATES(hook, mode_of, held)                                                                                       \
	SEC("lsm/inode_" #hook)                                                                                      \
	int BPF_PROG(inode_##hook, struct inode *dir, struct dentry *dentry, unsigned long mode)                     \
	{                                                                                                            \
		return try_change(dentry, AEGIS_HOOK_INODE_CREATE, WHAT(AEGIS_CREATE, mode_of) | held, AEGIS_OP_CHANGE, true); \
	}                                                                                                            \
	SEC("fentry/security_inode_" #hook)                                                                          \
	int BPF_PROG(inode_##hook##_watch, struct inode *dir, struct dentry *dentry, unsigned long mode)             \
	{                                                                                                            \
		try_change(dentry, AEGIS_HOOK_INODE_CREATE, WHAT(AEGIS_CREATE, mode_of) | held, AEGIS_OP_CHANGE, false); \
		return 0;                                                                                            \
	}

CREATES(create, (__u16)mode | S_IFREG, 0)
CREATES(mkdir, (__u16)(mode & ~S_IFMT) | S_IFDIR, 0)
CREATES(mknod, (__u16)mode, 0)
/* A link in the place of a directory on the way to what is denied leads elsewhere. */
CREATES(symlink, 0120777, HELD)

static __noinline int try_unlink(struct dentry *dentry, bool directory, bool enforce)
{
	struct subject subject = {};
	struct inquiry inquiry;
	struct decision *decision;
	struct vfsmount *mount;

	if (!subject_of_current(&subject, AEGIS_HOOK_INODE_UNLINK))
		return 0;
	mount = mount_of(dentry);
	decision = decide_file(&inquiry, &subject, dentry, mount, AEGIS_OP_CHANGE, directory);
	if (directory)
		take_cgroup(&subject, decision, dentry);
	judge(&subject, decision);
	RUN(temper(&subject, decision, enforce));
	return report_dentry(&subject, decision, AEGIS_UNLINK, dentry, mount);
}

/* int security_inode_unlink(struct inode *dir, struct dentry *dentry), security/security.c. fs/namei.c:vfs_unlink.
 * Likewise rmdir. */
#define UNLINKS(hook, directory)                                                              \
	SEC("lsm/inode_" #hook)                                                               \
	int BPF_PROG(inode_##hook, struct inode *dir, struct dentry *dentry)                  \
	{                                                                                     \
		return try_unlink(dentry, directory, true);                                   \
	}                                                                                     \
	SEC("fentry/security_inode_" #hook)                                                   \
	int BPF_PROG(inode_##hook##_watch, struct inode *dir, struct dentry *dentry)          \
	{                                                                                     \
		try_unlink(dentry, directory, false);                                         \
		return 0;                                                                     \
	}

UNLINKS(unlink, false)
UNLINKS(rmdir, true)

static __noinline int report_move(struct subject *subject, struct decision *decision, __u16 kind, struct dentry *from,
				  struct dentry *to)
{
	struct aegis_rename *record;
	struct vfsmount *mount = mount_of(from);

	count_decision(subject, decision);
	record = reserve_record(subject, struct aegis_rename, !!rule_of(decision));
	if (record) {
		RUN(fill_head(&record->head, subject, kind, sizeof(*record)));
		RUN(fill_decision(&record->head, &record->decision, subject, decision));
		RUN(fill_object(&record->file, (__u64)BPF_CORE_READ(from, d_inode), 0));
		fill_path(&record->head, &record->file, from, mount);
		record->reserved = 0;
		record->to_truncated = 0;
		record->to_length = 0;
		if (!put_path(record->to, &record->to_length, to, mount)) {
			long length = bpf_probe_read_kernel_str(record->to, sizeof(record->to),
								name_of(to));

			record->to_truncated = 1;
			record->to_length = length > 0 ? length - 1 : 0;
		}
		bpf_ringbuf_submit(record, 0);
	}
	return answer(decision);
}

/* From one name to another: both have a say, and so has a directory's own keep. */
static __always_inline int try_move(struct dentry *from, struct dentry *to, enum aegis_hook hook, __u16 kind, bool enforce)
{
	bool held = kind == AEGIS_RENAME;
	struct subject subject = {};
	struct inquiry inquiry;
	struct decision decision, *other;

	if (!subject_of_current(&subject, hook))
		return 0;
	decision = *decide_file(&inquiry, &subject, from, mount_of(from), AEGIS_OP_CHANGE, held);
	other = decide_file(&inquiry, &subject, to, mount_of(to), AEGIS_OP_CHANGE, held);
	judge(&subject, &decision);
	judge(&subject, other);
	take_stricter(&decision, other);
	RUN(temper(&subject, &decision, enforce));
	return report_move(&subject, &decision, kind, from, to);
}

/* int security_inode_rename(struct inode *old_dir, struct dentry *old_dentry, struct inode *new_dir,
 * struct dentry *new_dentry, unsigned int flags), security/security.c; an exchange calls the hook twice, once each way.
 * fs/namei.c:vfs_rename. */
SEC("lsm/inode_rename")
int BPF_PROG(inode_rename, struct inode *old_dir, struct dentry *old_dentry, struct inode *new_dir,
	     struct dentry *new_dentry)
{
	return try_move(old_dentry, new_dentry, AEGIS_HOOK_INODE_RENAME, AEGIS_RENAME, true);
}

SEC("fentry/security_inode_rename")
int BPF_PROG(inode_rename_watch, struct inode *old_dir, struct dentry *old_dentry, struct inode *new_dir,
	     struct dentry *new_dentry)
{
	try_move(old_dentry, new_dentry, AEGIS_HOOK_INODE_RENAME, AEGIS_RENAME, false);
	return 0;
}

/* int security_inode_link(struct dentry *old_dentry, struct inode *dir, struct dentry *new_dentry), security/security.c.
 * fs/namei.c:vfs_link. */
SEC("lsm/inode_link")
int BPF_PROG(inode_link, struct dentry *old_dentry, struct inode *dir, struct dentry *new_dentry)
{
	return try_move(old_dentry, new_dentry, AEGIS_HOOK_INODE_LINK, AEGIS_LINK, true);
}

SEC("fentry/security_inode_link")
int BPF_PROG(inode_link_watch, struct dentry *old_dentry, struct inode *dir, struct dentry *new_dentry)
{
	try_move(old_dentry, new_dentry, AEGIS_HOOK_INODE_LINK, AEGIS_LINK, false);
	return 0;
}

/* What a write does by the way (the end of set-uid, times) is no business of rules. */
#define ATTR_CHANGES (ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME_SET | ATTR_MTIME_SET | ATTR_TOUCH)

static __always_inline int try_setattr(struct dentry *dentry, struct iattr *attr, bool enforce)
{
	__u32 valid = BPF_CORE_READ(attr, ia_valid);

	if (valid & ATTR_SIZE) /* truncate(2), ftruncate(2), O_TRUNC: as writing to it */
		return try_change(dentry, AEGIS_HOOK_INODE_SETATTR, WHAT(AEGIS_SETATTR, valid),
				  AEGIS_OP_OPEN_WRITE, enforce);
	if (valid & ATTR_CHANGES)
		return try_change(dentry, AEGIS_HOOK_INODE_SETATTR, WHAT(AEGIS_SETATTR, valid), AEGIS_OP_CHANGE,
				  enforce);
	return 0;
}

/* int security_inode_setattr(struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr), security/security.c.
 * fs/attr.c:notify_change. The hook has the idmap since 6.9, the function since 6.0 (by other names); where the hook has
 * none yet the loader takes the other program. */
SEC("lsm/inode_setattr")
int BPF_PROG(inode_setattr, void *idmap, struct dentry *dentry, struct iattr *attr)
{
	return try_setattr(dentry, attr, true);
}

SEC("lsm/inode_setattr")
int BPF_PROG(inode_setattr_old, struct dentry *dentry, struct iattr *attr)
{
	return try_setattr(dentry, attr, true);
}

/* Overlayfs is about to copy a lower file up, since it is opened for writing or changed. The copy is another inode: what may
 * not be written below is not written by way of its copy. (Its content is read through file_open, which knows the lower
 * file.) Where `shown_by` does not know that file, this is not attached. */
static __always_inline int try_copy_up(struct dentry *src, bool enforce)
{
	struct subject subject = {};
	struct inquiry inquiry;
	struct decision *decision;
	struct dentry *lower;

	if (!subject_of_current(&subject, AEGIS_HOOK_INODE_COPY_UP))
		return 0;
	lower = real_of(src, true);
	if (!lower)
		return 0;
	decision = decide_file(&inquiry, &subject, lower, mount_of(lower), AEGIS_OP_OPEN_WRITE, false);
	judge(&subject, decision);
	if (!rule_of(decision))
		return 0; /* the opening itself is reported */
	RUN(temper(&subject, decision, enforce));
	return report_dentry(&subject, decision, AEGIS_OPEN, lower, mount_of(lower));
}

/* int security_inode_copy_up(struct dentry *src, struct cred **new), security/security.c, since 4.10.
 * fs/overlayfs/copy_up.c. */
SEC("lsm/inode_copy_up")
int BPF_PROG(inode_copy_up, struct dentry *src, struct cred **new)
{
	return try_copy_up(src, true);
}
