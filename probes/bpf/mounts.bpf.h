/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Mounts: what `mount` rules speak of. And what is mounted over the places that Aegis believes, or taken from under them.
 */

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
	struct aegis_entry *entry;
	struct place place;
	__u64 number;

	read_place(&place, ascent->dentry);
	number = number_of(place.inode);
	entry = find_object(ascent->set, ascent->ruleset, number, device_around(ascent->dentry));

	if (entry && (entry->tree_effect[AEGIS_OP_CHANGE] == EFFECT_SELF ||
		      (!step && entry->effect[AEGIS_OP_HOLD] == EFFECT_SELF))) {
		ascent->found = number;
		return 1;
	}
	if (ascent->dentry != place.parent) {
		ascent->dentry = place.parent;
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

/* 1: there is something in a list whose head is there. An empty one leads to itself, or, with one end, nowhere. */
static __always_inline bool has_members(__u64 head)
{
	__u64 first = 0;

	bpf_probe_read_kernel(&first, sizeof(first), (void *)head);
	return first && first != head;
}

/* 1: what is mounted on this, or taken from it, is so in other namespaces, too: it has peers (MS_SHARED) or slaves. */
static __always_inline bool has_peers(struct mount *mount)
{
	return mount && (has_members((__u64)mount + bpf_core_field_offset(struct mount, mnt_share)) ||
			 has_members((__u64)mount + bpf_core_field_offset(struct mount, mnt_slave_list)));
}

/* 1: what is mounted by this stays, since it is on such a file system, or is one. A mount that is attached nowhere, or
 * elsewhere, is the business of who is there, unless it goes from a place that is shared. */
__noinline int is_kept(__u64 address)
{
	struct mount *mount = mount_around(address), *above = BPF_CORE_READ(mount, mnt_parent);
	struct aegis_control *page = control_page();

	if (!page || !page->namespace)
		return 0;
	if (BPF_CORE_READ(mount, mnt_ns, ns.inum) != page->namespace && (above == mount || !has_peers(above)))
		return 0;
	return is_common((__u64)BPF_CORE_READ(mount, mnt.mnt_root), 0) ||
	       is_common((__u64)BPF_CORE_READ(mount, mnt_mountpoint), WHOLE);
}

/* What a call on mounts asks about: a place, and a mount that goes from where it is. */
struct asked {
	__u64 dentry; /* 0: no place */
	__u64 mount;
	__u64 gone; /* struct vfsmount; 0: none */
	/* As mount(2) has them. They are asked here and not where they come from: of a constant that is one of several the verifier
	 * of 6.1 follows one, and takes what hangs on the others for dead. */
	__u64 flags;
};

/* What is mounted over a place of Aegis's own or one that it believes, or taken from under it, is a matter of its own safety. */
static __noinline int take_asked(const struct subject *subject, struct decision *decision, const struct asked *asked)
{
	struct vfsmount *gone = (struct vfsmount *)asked->gone, *mount = (struct vfsmount *)asked->mount;
	struct aegis_control *page = control_page();
	__u64 own = 0, kept = 0, flags = asked->flags;

	if (gone) {
		own = own_place((__u64)BPF_CORE_READ(gone, mnt_root), asked->gone, subject->set, subject->ruleset);
		kept = is_kept(asked->gone);
	}
	if (!own && asked->dentry)
		own = own_place(asked->dentry, asked->mount, subject->set, subject->ruleset);
	/* About the file system as such, by whichever mount. */
	if ((flags & (MS_REMOUNT | MS_BIND)) == MS_REMOUNT)
		kept |= is_common(asked->dentry, WHOLE);
	/* What this very mount is like is nobody else's business, whoever its peers are: they are what is made private first in a
	 * new namespace. */
	if (!kept && asked->dentry && page &&
	    (shares_mounts(page) || (!(flags & (MS_REMOUNT | MS_PROPAGATION)) && has_peers(mount_around(asked->mount))))) {
		/* Of a move the hook does not say what it takes from its place. */
		kept = (flags & MS_MOVE && shares_mounts(page)) || is_common(asked->dentry, WHOLE);
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
	RUN(take_asked(&subject, &decision, asked));
	saying->kind = AEGIS_MOUNT;
	return report_surface(&subject, &decision, saying);
}

#define MOUNTS(hook, program, arguments, flags, type, word, asks)                                                      \
	SEC("lsm/" #hook)                                                                                                        \
	int BPF_PROG(program, arguments)                                                                                         \
	{                                                                                                                        \
		struct saying saying = { .number = flags, .kernel_text = type, .enforce = true, TEXT(word) };                    \
		struct asked asked = { asks };                                                                                   \
		return try_mount(&saying, &asked);                                                                               \
	}                                                                                                                        \
	SEC("fentry/security_" #hook)                                                                                            \
	int BPF_PROG(program##_watch, arguments)                                                                                 \
	{                                                                                                                        \
		struct saying saying = { .number = flags, .kernel_text = type, TEXT(word) };                                     \
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
       "mount", WITH(AT(path), .flags = flags))

/* int security_move_mount(const struct path *from_path, const struct path *to_path), security/security.c, since 5.2. */
MOUNTS(move_mount, mount_move, WITH(struct path *from, struct path *to), 0, NULL, "move_mount",
       WITH(AT(to), .gone = (__u64)BPF_CORE_READ(from, mnt)))

/* int security_sb_umount(struct vfsmount *mnt, int flags), security/security.c. */
MOUNTS(sb_umount, mount_end, WITH(struct vfsmount *mnt, int flags), flags, NULL, "umount", WITH(.gone = address_of(mnt)))

/* int security_sb_pivotroot(const struct path *old_path, const struct path *new_path), security/security.c. It moves every
 * process whose root is the old one. */
MOUNTS(sb_pivotroot, mount_pivot, WITH(struct path *old, struct path *new), 0, NULL, "pivot_root",
       WITH(AT(old), .gone = (__u64)BPF_CORE_READ(new, mnt), .flags = MS_MOVE))

/* int security_sb_remount(struct super_block *sb, void *mnt_opts), security/security.c: fsconfig(2), and mount(2) once more. */
MOUNTS(sb_remount, mount_again, WITH(struct super_block *sb), 0, NULL, "remount",
       WITH(.dentry = (__u64)BPF_CORE_READ(sb, s_root), .mount = (__u64)any_mount(sb), .flags = MS_REMOUNT))

/* A file system that is frozen, or shut down, by any file on it: whoever writes there waits for whoever did that. As remounting
 * it read-only is. */
static __always_inline int try_freeze(struct file *file, unsigned int command)
{
	struct saying saying = { .number = command, .enforce = true, TEXT("freeze") };
	struct asked asked = { .flags = MS_REMOUNT };
	struct super_block *sb;

	if (command != FIFREEZE && command != FITHAW && command != FS_IOC_SHUTDOWN)
		return 0;
	sb = BPF_CORE_READ(file, f_inode, i_sb);
	asked.dentry = (__u64)BPF_CORE_READ(sb, s_root);
	asked.mount = (__u64)any_mount(sb);
	return try_mount(&saying, &asked);
}

/* int security_file_ioctl(struct file *file, unsigned int cmd, unsigned long arg), security/security.c. */
SEC("lsm/file_ioctl")
int BPF_PROG(file_system_freeze, struct file *file, unsigned int command)
{
	return try_freeze(file, command);
}

/* int security_file_ioctl_compat(struct file *file, unsigned int cmd, unsigned long arg), security/security.c, since 6.8, and in
 * later releases of those before: the call of 32-bit programs, which else comes to the other hook. */
SEC("lsm/file_ioctl_compat")
int BPF_PROG(file_system_freeze_compat, struct file *file, unsigned int command)
{
	return try_freeze(file, command);
}

/* int security_fs_context_parse_param(struct fs_context *fc, struct fs_parameter *param), security/security.c, since 5.1.
 * fs/fs_context.c:vfs_parse_fs_param: an option of a mount, by mount(2) or fsconfig(2). `release_agent` of cgroup v1 is a program
 * that the kernel runs: denied as its file is (kernelfs.bpf.h). Who says nothing here lets the next one speak. */
SEC("lsm/fs_context_parse_param")
int BPF_PROG(mount_option, struct fs_context *context, struct fs_parameter *option)
{
	struct saying saying = { .kind = AEGIS_MOUNT, .enforce = true, TEXT("release_agent") };
	struct subject subject = {};
	__u64 key = 0, type = 0;

	bpf_probe_read_kernel(&key, sizeof(key), BPF_CORE_READ(option, key));
	bpf_probe_read_kernel(&type, 7, BPF_CORE_READ(context, fs_type, name));
	if (key != RELEASE_ || type != 0x70756f726763 /* "cgroup" */ || !subject_of_current(&subject, AEGIS_HOOK_MOUNT))
		return 0;
	return report_self(&subject, AEGIS_OP_MOUNT, AEGIS_MATCH_SURFACE, &saying);
}

/* int security_path_notify(const struct path *path, u64 mask, unsigned int obj_type), security/security.c, since 5.4.
 * fs/notify/fanotify: who is asked before a file is opened, and never answers, holds whoever opens it, Aegis too: on a file, a
 * mount or a file system. As bpf(2), that is nobody's who is watched. */
SEC("lsm/path_notify")
int BPF_PROG(path_notify, struct path *path, __u64 mask)
{
	struct saying saying = { .kind = AEGIS_MOUNT, .number = mask, .enforce = true, TEXT("fanotify_mark") };
	struct subject subject = {};

	if (!(mask & FS_PERMISSION_EVENTS) || !subject_of_current(&subject, AEGIS_HOOK_PATH_NOTIFY))
		return 0;
	return report_self(&subject, AEGIS_OP_MOUNT, AEGIS_MATCH_SURFACE, &saying);
}
