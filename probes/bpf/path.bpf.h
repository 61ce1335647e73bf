/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The path of a file, where bpf_d_path is not to be had: from its dentry up to the task's root.
 */
#ifndef AEGIS_PATH_BPF_H
#define AEGIS_PATH_BPF_H

#define PATH_DEPTH 40 /* components and mount points looked at */

/* A path being put together, from its end. */
struct trail {
	struct scratch *scratch;
	__u64 dentry;
	__u64 mount;
	__u64 root; /* the task's */
	__u64 root_mount;
	__u64 mark; /* the scratch is this one's as long as it says so */
	__u64 position; /* where it begins in the scratch; AEGIS_PATH_MAX: there is nothing yet, or it does not fit */
};

/* One component or mount point; 1: no more. A name is written where it belongs by its end, and the verifier can't see that
 * both together fit: it may think of 255 bytes more, which is what the scratch's second half is for. */
static long put_component(__u32 step, struct trail *trail)
{
	struct dentry *dentry = (struct dentry *)trail->dentry;
	struct vfsmount *vfsmount = (struct vfsmount *)trail->mount;
	__u64 parent = (__u64)BPF_CORE_READ(dentry, d_parent), position, length;

	if (trail->dentry == trail->root && trail->mount == trail->root_mount)
		return 1;
	/* The end: the root of all, or a file system without a place (memfd). */
	if (trail->dentry == parent || dentry == BPF_CORE_READ(vfsmount, mnt_root))
		return leave_mount(&trail->dentry, &trail->mount) ? 0 : 1;
	length = name_length(dentry);
	if (length + 1 > trail->position || *(volatile __u64 *)&trail->scratch->owner != trail->mark) {
		trail->position = AEGIS_PATH_MAX;
		return 1;
	}
	position = trail->position - (length + 1);
	barrier_var(position);
	position &= AEGIS_PATH_MAX - 1;
	trail->scratch->path[position] = '/';
	length &= AEGIS_PATH_MAX - 1;
	bpf_probe_read_kernel(trail->scratch->path + position + 1, length, name_of(dentry));
	trail->position = position;
	trail->dentry = parent;
	return 0;
}

/* Where the path begins in the scratch's first half; AEGIS_PATH_MAX when it does not fit or there is none. */
static __noinline __u64 walk_path(struct scratch *scratch, struct dentry *dentry, struct vfsmount *mount, __u64 mark)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct trail trail = {
		.scratch = scratch, .dentry = address_of(dentry), .mount = address_of(mount), .mark = mark
	};

	/* Before 5.17 paths are their last component here. */
	if (!scratch || !bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop))
		return AEGIS_PATH_MAX;
	trail.root = (__u64)BPF_CORE_READ(task, fs, root.dentry);
	trail.root_mount = (__u64)BPF_CORE_READ(task, fs, root.mnt);
	trail.position = AEGIS_PATH_MAX;
	return bpf_loop(PATH_DEPTH, put_component, &trail, 0) < PATH_DEPTH ? trail.position : AEGIS_PATH_MAX;
}

/* The path of a dentry into `out`; false: there is none. The scratch is this CPU's: a task that takes the CPU meanwhile
 * leaves its mark there, and then what was put together is not believed. */
static __always_inline bool put_path(__u8 *out, __u16 *out_length, struct dentry *dentry, struct vfsmount *mount)
{
	__u64 mark = bpf_get_current_pid_tgid() ^ bpf_ktime_get_boot_ns() << 16;
	__u32 zero = 0;
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &zero);
	__u64 position, length;

	if (!scratch)
		return false;
	*(volatile __u64 *)&scratch->owner = mark;
	barrier();
	position = walk_path(scratch, dentry, mount, mark);
	if (position >= AEGIS_PATH_MAX)
		return false;
	length = AEGIS_PATH_MAX - position;
	barrier_var(position);
	position &= AEGIS_PATH_MAX - 1;
	/* Whatever lies behind the path comes along: what is behind `path_length` means nothing. */
	bpf_probe_read_kernel(out, AEGIS_PATH_MAX, scratch->path + position);
	barrier();
	if (*(volatile __u64 *)&scratch->owner != mark)
		return false;
	*out_length = length;
	return true;
}

/* The last component of a path, marked as cut. */
static __always_inline void fill_last(struct aegis_record *head, struct aegis_file *out, struct dentry *dentry)
{
	out->path_length = 0;
	fill_path_string(head, out, name_of(dentry));
	head->flags |= AEGIS_PATH_TRUNCATED;
}

/* The path of a file, or its last component, marked as cut. */
static __always_inline void fill_path(struct aegis_record *head, struct aegis_file *out, struct dentry *dentry,
				      struct vfsmount *mount)
{
	if (!put_path(out->path, &out->path_length, dentry, mount))
		fill_last(head, out, dentry);
}

/* As fill_path, where the kernel itself may be asked: since 5.11, before which LSM programs may not. */
static __always_inline void fill_file_path(struct aegis_record *head, struct aegis_file *out, struct file *file)
{
	long length;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) {
		fill_last(head, out, BPF_CORE_READ(file, f_path.dentry));
		return;
	}
	length = bpf_d_path(&file->f_path, (char *)out->path, sizeof(out->path));
	if (length > 0 && length <= sizeof(out->path)) {
		out->path_length = length - 1;
		return;
	}
	/* Longer than the record: its last component is worth more than its beginning. */
	fill_last(head, out, BPF_CORE_READ(file, f_path.dentry));
}

#endif
