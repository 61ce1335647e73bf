/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The path of a program, where bpf_d_path is not allowed (tracepoints): from its dentry up to the task's root.
 */

#define PATH_DEPTH 40 /* components and mount points looked at */

/* Builds the path from the end of `record->path` towards its beginning, then moves it to the front. A name is written
 * where it belongs by its end, and the verifier can't see that both together fit: it may think of 255 bytes more, so
 * the room behind, `argv`, has to be there and filled later. False: the path does not fit, or there is none. */
static __always_inline bool walk_path(struct aegis_exec *record, struct task_struct *task, struct path *from)
{
	__u8 *buffer = record->file.path;
	struct dentry *dentry = BPF_CORE_READ(from, dentry);
	struct vfsmount *vfsmount = BPF_CORE_READ(from, mnt);
	struct dentry *root = BPF_CORE_READ(task, fs, root.dentry);
	struct vfsmount *root_mount = BPF_CORE_READ(task, fs, root.mnt);
	__u64 position = AEGIS_PATH_MAX;
	bool whole = false;
	__u64 length;

	_Static_assert(__builtin_offsetof(struct aegis_exec, argv) ==
			       __builtin_offsetof(struct aegis_exec, file) + sizeof(struct aegis_file),
		       "argv is the room behind path");
	for (int step = 0; step < PATH_DEPTH; step++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

		if (dentry == root && vfsmount == root_mount) {
			whole = true;
			break;
		}
		if (dentry == parent || dentry == BPF_CORE_READ(vfsmount, mnt_root)) {
			struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
			struct mount *above = BPF_CORE_READ(mount, mnt_parent);

			if (above == mount || !above) {
				whole = true; /* the root of all, or a file system without a place (memfd) */
				break;
			}
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			vfsmount = (void *)above + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		length = BPF_CORE_READ(dentry, d_name.len);
		if (length + 1 > position)
			break;
		position -= length + 1;
		barrier_var(position);
		position &= AEGIS_PATH_MAX - 1;
		buffer[position] = '/';
		length &= AEGIS_PATH_MAX - 1;
		bpf_probe_read_kernel(buffer + position + 1, length, BPF_CORE_READ(dentry, d_name.name));
		dentry = parent;
	}
	length = AEGIS_PATH_MAX - position;
	if (!whole || !length)
		return false;
	record->file.path_length = length;
	barrier_var(length);
	length &= AEGIS_PATH_MAX - 1;
	if (length) /* 0: it fills the buffer exactly and is in place */
		bpf_probe_read_kernel(buffer, length, buffer + position);
	return true;
}

/* The path of `bprm->file`: the program, or the script's interpreter. */
static __always_inline void fill_exec_path(struct aegis_exec *record, struct task_struct *task,
					   struct linux_binprm *bprm)
{
	struct file *file = bprm->file;

	if (walk_path(record, task, &file->f_path))
		return;
	/* Without a place in the tree (memfd), or too long: its name as it was given to execve(2). */
	fill_path_string(&record->head, &record->file, bprm->interp);
	record->head.flags |= AEGIS_PATH_TRUNCATED;
}
