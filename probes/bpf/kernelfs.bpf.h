/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Files that are not what they hold but what they do: those of cgroup2, procfs, sysfs and their kin by which a workload would
 * leave its cgroup, take our programs out of the kernel, or have one of its own run outside of every workload.
 */

#define CGROUP_ROOT 1 /* its inode: kernfs counts from there (fs/kernfs/dir.c:__kernfs_new_node) */

/* Whose is this file, or what would be one, of the cgroup file system? 0: of none, or of `own` or what is below it. Else the number
 * of another workload's cgroup, or of the topmost. Global, as `decide` is. */
__noinline __u64 foreign_cgroup(__u64 address, __u64 own)
{
	struct dentry *dentry = (struct dentry *)address;
	__u64 number = CGROUP_ROOT;

	if (BPF_CORE_READ(dentry, d_sb, s_magic) != CGROUP2_SUPER_MAGIC)
		return 0;
	for (int step = 0; step < 16; step++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

		if (parent == dentry)
			break;
		dentry = parent;
		number = BPF_CORE_READ(dentry, d_inode, i_ino);
		if (number == own)
			return 0;
		if (bpf_map_lookup_elem(&cgroups, &number))
			break; /* another workload's, be it below ours */
	}
	/* 0 would be nobody's. */
	return number ? number : CGROUP_ROOT;
}

/* A file of the cgroup file system, to be written, made or removed: nobody moves himself, or anybody, into a cgroup that is
 * not below his own workload's, nor changes its limits, nor makes or removes one there. */
static __always_inline void take_cgroup(const struct subject *subject, struct decision *decision, const struct dentry *dentry)
{
	__u64 number = foreign_cgroup(address_of(dentry), subject->cgroup);

	if (number)
		take_self(subject, decision, AEGIS_MATCH_CGROUP, number);
}

/* The first eight characters of a name, as they are read: little-endian. */
#define FTRACE_E 0x655f656361727466ULL
#define CORE_PAT 0x7461705f65726f63ULL
#define MODPROBE 0x65626f7270646f6dULL
#define POWEROFF 0x66666f7265776f70ULL
#define USERMODE 0x65646f6d72657375ULL
#define HOTPLUG 0x0067756c70746f68ULL /* with its end */
#define SYSRQ_TR 0x72742d7172737973ULL
#define UEVENT_H 0x685f746e65766575ULL

static __always_inline __u64 name_begin(struct dentry *dentry, __u32 length)
{
	__u64 name = 0;

	bpf_probe_read_kernel(&name, length, name_of(dentry));
	return name;
}

/* A file of procfs: below /proc/sys/kernel the one that takes our programs out of the kernel's functions (ftrace_enabled), and
 * those that have the kernel run a program of one's choice (core_pattern, modprobe, poweroff_cmd, hotplug, usermodehelper);
 * sysrq-trigger, which kills everybody. And all of a process that is guarded: oom_score_adj, among others. */
static __always_inline bool is_kernels(struct dentry *dentry)
{
	struct dentry *above = BPF_CORE_READ(dentry, d_parent);
	__u64 name = name_begin(dentry, 8);

	if (name == SYSRQ_TR)
		return above == BPF_CORE_READ(above, d_parent);
	if (name_begin(above, 8) == USERMODE) {
		above = BPF_CORE_READ(above, d_parent);
		name = USERMODE;
	}
	if (name_begin(above, 7) != 0x6c656e72656b || /* "kernel", "sys" */
	    name_begin(BPF_CORE_READ(above, d_parent), 4) != 0x737973)
		return 0;
	return name == FTRACE_E || name == CORE_PAT || name == MODPROBE || name == POWEROFF || name == HOTPLUG ||
	       name == USERMODE;
}

/* A file of a process in procfs: whose? 0: of none. */
static __always_inline __u64 task_of(struct dentry *dentry)
{
	__u64 inode = (__u64)BPF_CORE_READ(dentry, d_inode);
	struct proc_inode *proc = (struct proc_inode *)(inode - bpf_core_field_offset(struct proc_inode, vfs_inode));
	struct pid *pid = BPF_CORE_READ(proc, pid);
	__u64 first = (__u64)BPF_CORE_READ(pid, tasks[0].first);

	return first ? first - bpf_core_field_offset(struct task_struct, pid_links) : 0;
}

/* 1: whoever writes to this file sets something of the kernel's, or of a guarded process. By whichever mount of these file systems it
 * is opened. The others have the kernel run a program, too: /sys/kernel/uevent_helper, `release_agent` of cgroup v1, and whatever is
 * told to binfmt_misc. Global, as `decide` is. */
__noinline int is_setting(__u64 address, __u32 set, __u32 ruleset, __u64 cgroup)
{
	struct dentry *dentry = (struct dentry *)address;
	__u64 magic = BPF_CORE_READ(dentry, d_sb, s_magic);

	if (magic == PROC_SUPER_MAGIC)
		return is_kernels(dentry) || is_ours(task_of(dentry), set, ruleset, cgroup);
	if (magic == SYSFS_MAGIC)
		return name_begin(dentry, 8) == UEVENT_H;
	if (magic == CGROUP_SUPER_MAGIC)
		return name_begin(dentry, 8) == RELEASE_;
	return magic == BINFMTFS_MAGIC;
}

static __always_inline void take_setting(const struct subject *subject, struct decision *decision, struct dentry *dentry)
{
	if (is_setting(address_of(dentry), subject->set, subject->ruleset, subject->cgroup))
		take_self(subject, decision, AEGIS_MATCH_SURFACE, BPF_CORE_READ(dentry, d_inode, i_ino));
}
