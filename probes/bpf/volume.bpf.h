/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Volumes: bytes read from and written to each open regular file, summed here and told once, when it is closed. By read(2),
 * write(2) and their kin, in pieces (readv(2), writev(2)) too; not by mmap(2), splice(2), sendfile(2) or io_uring.
 */

static __always_inline void add_volume(struct file *file, long bytes, bool write)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct subject subject = {};
	struct volume *volume;
	__u64 key = (__u64)file, id;

	if (bytes <= 0 || (BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFREG)
		return;
	if (!subject_of_current(&subject, AEGIS_HOOK_VOLUME))
		return;
	volume = bpf_map_lookup_elem(&volumes, &key);
	if (!volume) {
		struct volume fresh = {};
		struct task_struct *task = (void *)bpf_get_current_task();

		id = bpf_get_current_pid_tgid();
		fresh.inode = BPF_CORE_READ(inode, i_ino);
		fresh.device = BPF_CORE_READ(inode, i_sb, s_dev);
		fresh.cgroup = bpf_get_current_cgroup_id();
		fresh.slot = subject.slot;
		fresh.pid = (__u32)id;
		fresh.tgid = id >> 32;
		fresh.ppid = BPF_CORE_READ(task, real_parent, tgid);
		fresh.uid = (__u32)bpf_get_current_uid_gid();
		bpf_get_current_comm(fresh.comm, sizeof(fresh.comm));
		bpf_probe_read_kernel_str(fresh.name, sizeof(fresh.name),
					  name_of(BPF_CORE_READ(file, f_path.dentry)));
		bpf_map_update_elem(&volumes, &key, &fresh, BPF_NOEXIST);
		volume = bpf_map_lookup_elem(&volumes, &key);
	}
	if (!volume) {
		__sync_fetch_and_add(&subject.counters->volumes_full, 1);
		return;
	}
	if (write)
		__sync_fetch_and_add(&volume->written, bytes);
	else
		__sync_fetch_and_add(&volume->read, bytes);
}

/* ssize_t vfs_read(struct file *file, char __user *buf, size_t count, loff_t *pos), fs/read_write.c; what it returns comes
 * last. vfs_write likewise. */
SEC("fexit/vfs_read")
int BPF_PROG(volume_read, struct file *file, char *buf, unsigned long count, void *pos, long read)
{
	add_volume(file, read, false);
	return 0;
}

SEC("fexit/vfs_write")
int BPF_PROG(volume_write, struct file *file, char *buf, unsigned long count, void *pos, long written)
{
	add_volume(file, written, true);
	return 0;
}

/* ssize_t vfs_readv(struct file *file, const struct iovec __user *vec, unsigned long vlen, loff_t *pos, rwf_t flags),
 * fs/read_write.c, since 4.9: static, and by itself where the compiler leaves it so. vfs_writev likewise. */
SEC("fexit/vfs_readv")
int BPF_PROG(volume_readv, struct file *file, void *pieces, unsigned long count, void *pos, unsigned int flags, long read)
{
	add_volume(file, read, false);
	return 0;
}

SEC("fexit/vfs_writev")
int BPF_PROG(volume_writev, struct file *file, void *pieces, unsigned long count, void *pos, unsigned int flags,
	     long written)
{
	add_volume(file, written, true);
	return 0;
}

/* void security_file_free(struct file *file), security/security.c. fs/file_table.c:__fput: the last use of an open file has
 * ended, perhaps in another task; whose it was is kept beside the sums. */
SEC("fentry/security_file_free")
int BPF_PROG(volume_end, struct file *file)
{
	struct subject subject = {};
	struct aegis_volume *record;
	struct volume *volume;
	__u64 key = (__u64)file;

	volume = bpf_map_lookup_elem(&volumes, &key);
	if (!volume)
		return 0;
	subject.slot = volume->slot;
	subject.counters = bpf_map_lookup_elem(&counters, &subject.slot);
	if (!subject.counters || !read_control(&subject))
		return 0;
	record = reserve_record(&subject, struct aegis_volume, false);
	if (record) {
		RUN(fill_head(&record->head, &subject, AEGIS_VOLUME, sizeof(*record)));
		record->head.cgroup = volume->cgroup;
		record->head.pid = volume->pid;
		record->head.tgid = volume->tgid;
		record->head.ppid = volume->ppid;
		record->head.uid = volume->uid;
		__builtin_memcpy(record->head.comm, volume->comm, sizeof(record->head.comm));
		record->file.inode = volume->inode;
		record->file.device = volume->device;
		record->file.flags = 0;
		record->file.argv_length = 0;
		record->file.reserved = 0;
		record->file.path_length = 0;
		fill_path_string(&record->head, &record->file, volume->name);
		record->head.flags |= AEGIS_PATH_TRUNCATED;
		record->read = volume->read;
		record->written = volume->written;
		bpf_ringbuf_submit(record, 0);
	}
	bpf_map_delete_elem(&volumes, &key);
	return 0;
}
