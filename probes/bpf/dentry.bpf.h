/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Dentries and inodes: what lies together in the kernel's memory is read at once, for each read costs as much as the
 * rest of a step up. Where a kernel has it elsewhere, it is read one by one; which of the two is settled when the probes are
 * loaded, and the verifier does not look at the other.
 */
#ifndef AEGIS_DENTRY_BPF_H
#define AEGIS_DENTRY_BPF_H

/* The address of something the verifier has a type for, as a number: what is handed to a global function, or walked on from,
 * is no longer what the hook was given. */
static __always_inline __u64 address_of(const void *thing)
{
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &thing);
	return address;
}

/* A dentry's name, by either of its two names. */
static __always_inline const unsigned char *name_of(struct dentry *dentry)
{
	struct dentry___aliased *aliased = (void *)dentry;

	if (bpf_core_field_exists(aliased->__d_name))
		return BPF_CORE_READ(aliased, __d_name.name);
	return BPF_CORE_READ(dentry, d_name.name);
}

static __always_inline __u32 name_length(struct dentry *dentry)
{
	struct dentry___aliased *aliased = (void *)dentry;

	if (bpf_core_field_exists(aliased->__d_name))
		return BPF_CORE_READ(aliased, __d_name.len);
	return BPF_CORE_READ(dentry, d_name.len);
}

/* A dentry's place: include/linux/dcache.h has it so, 5.10 to 6.18. */
struct place {
	__u64 parent; /* struct dentry */
	__u32 name_hash;
	__u32 name_length; /* bytes */
	__u64 name;
	__u64 inode; /* 0: there is none yet */
};

/* How far a field lies behind the first of what is read at once. */
#define BEHIND(type, first, field) (bpf_core_field_offset(type, field) - bpf_core_field_offset(type, first))

/* The branches stay branches: of the name that a kernel does not have the loader makes an instruction that nobody may come to. */
static __always_inline bool place_is_together(void)
{
	struct dentry___aliased *aliased = NULL;
	struct qstr *name = NULL;
	__u64 at;

	if (bpf_core_field_exists(aliased->__d_name)) {
		at = BEHIND(struct dentry___aliased, d_parent, __d_name);
		barrier_var(at);
	} else {
		at = BEHIND(struct dentry, d_parent, d_name);
		barrier_var(at);
	}
	return at == __builtin_offsetof(struct place, name_hash) &&
	       at + bpf_core_field_offset(name->len) == __builtin_offsetof(struct place, name_length) &&
	       at + bpf_core_field_offset(name->name) == __builtin_offsetof(struct place, name) &&
	       BEHIND(struct dentry, d_parent, d_inode) == __builtin_offsetof(struct place, inode);
}

static __always_inline void read_place(struct place *place, __u64 address)
{
	struct dentry *dentry = (struct dentry *)address;

	if (place_is_together()) {
		bpf_probe_read_kernel(place, sizeof(*place), (void *)address + bpf_core_field_offset(struct dentry, d_parent));
		return;
	}
	place->parent = (__u64)BPF_CORE_READ(dentry, d_parent);
	place->name_hash = 0;
	place->name_length = name_length(dentry);
	place->name = (__u64)name_of(dentry);
	place->inode = (__u64)BPF_CORE_READ(dentry, d_inode);
}

/* Which inode: include/linux/fs.h. What lies between means nothing here. */
struct identity {
	__u64 sb; /* struct super_block */
	__u64 between[2];
	__u64 number;
};

static __always_inline void read_identity(struct identity *identity, __u64 address)
{
	struct inode *inode = (struct inode *)address;

	if (BEHIND(struct inode, i_sb, i_ino) == __builtin_offsetof(struct identity, number)) {
		bpf_probe_read_kernel(identity, sizeof(*identity),
				      (void *)address + bpf_core_field_offset(struct inode, i_sb));
		return;
	}
	identity->sb = (__u64)BPF_CORE_READ(inode, i_sb);
	identity->number = BPF_CORE_READ(inode, i_ino);
}

/* Of an inode's address its number, of a file system's (struct super_block) and a dentry's the device number. (As functions: what
 * stands within BPF_CORE_READ is taken for the kernel's, whole.) */
static __always_inline __u64 number_of(__u64 inode)
{
	return BPF_CORE_READ((struct inode *)inode, i_ino);
}

static __always_inline __u32 device_of(__u64 sb)
{
	return BPF_CORE_READ((struct super_block *)sb, s_dev);
}

static __always_inline __u32 device_around(__u64 dentry)
{
	return BPF_CORE_READ((struct dentry *)dentry, d_sb, s_dev);
}

#endif
