/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * What rules say of a file: by the file itself, by every directory above it, by its name.
 *
 * A file is where its dentries are: up to the root of its own file system, whatever part of it is mounted where; then on
 * from the mount point to the root of all. So a bind mount is seen as the place it shows, and a file system mounted below a
 * protected directory is covered too.
 */
#ifndef AEGIS_WALK_BPF_H
#define AEGIS_WALK_BPF_H

#define NO_OPERATION 0xff

/* A question of one file, of one or two operations at once, and how far up it was looked. */
struct inquiry {
	struct decision decisions[2];
	__u64 dentry;
	__u64 mount; /* struct vfsmount; 0: not known */
	__u64 names[AEGIS_NAME_DEPTH_MAX]; /* of the components passed, the last first */
	__u32 depth;
	__u32 set;
	__u32 ruleset;
	bool trees;
	bool naming;
	bool ended;
};

/* 6 and 7 are never asked for, and still within the entry. */
static __always_inline void take_object(struct decision *decision, const struct aegis_entry *entry, __u8 match,
					__u32 device, __u64 inode)
{
	__u32 operation = decision->operation & 7;

	take(decision, entry->rule[operation], entry->effect[operation], match, device, inode);
}

static __always_inline void take_tree(struct decision *decision, const struct aegis_entry *entry, __u8 match,
				      __u32 device, __u64 inode)
{
	__u32 operation = decision->operation & 7;

	take(decision, entry->tree_rule[operation], entry->tree_effect[operation], match, device, inode);
}

/* Any mount of a file system: where no hook says by which one a file was reached. Read without a lock; only what it points
 * to is read, by reads that may fail. */
static __always_inline struct vfsmount *any_mount(struct super_block *sb)
{
	struct mount *mount = NULL;
	void *first;

	first = BPF_CORE_READ(sb, s_mounts.next); /* since 6.18 a plain pointer: at the same place */
	if (!first)
		return NULL;
	if (bpf_core_field_exists(mount->mnt_next_for_sb))
		mount = first;
	else if (first == (void *)sb + bpf_core_field_offset(struct super_block, s_mounts))
		return NULL; /* an empty list */
	else
		mount = first - bpf_core_field_offset(struct mount, mnt_instance);
	return (void *)mount + bpf_core_field_offset(struct mount, mnt);
}

/* Paths by name, at the root of a file system. */
static __always_inline void match_names(struct inquiry *inquiry, __u64 inode, __u32 device)
{
	__u64 hash = sip_pair(device, inode);

#pragma unroll
	for (int at = 0; at < AEGIS_NAME_DEPTH_MAX; at++) {
		struct aegis_entry *entry;

		if ((__u32)at >= inquiry->depth)
			break;
		hash = sip_pair(hash, inquiry->names[at]);
		entry = find_name(inquiry->set, inquiry->ruleset, hash, 0);
		if (!entry)
			continue;
		take_tree(&inquiry->decisions[0], entry, AEGIS_MATCH_NAME, device, inode);
		take_tree(&inquiry->decisions[1], entry, AEGIS_MATCH_NAME, device, inode);
		if ((__u32)at + 1 == inquiry->depth) {
			take_object(&inquiry->decisions[0], entry, AEGIS_MATCH_NAME, device, inode);
			take_object(&inquiry->decisions[1], entry, AEGIS_MATCH_NAME, device, inode);
		}
	}
}

/* One step up from the file; 1: the end. Called by bpf_loop, which the verifier looks at once instead of at every step. */
static long climb(__u32 step, struct inquiry *inquiry)
{
	struct dentry *dentry = (struct dentry *)inquiry->dentry;
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	__u32 device = BPF_CORE_READ(dentry, d_sb, s_dev);
	__u64 number = BPF_CORE_READ(dentry, d_inode, i_ino); /* of what is not there yet: 0 */
	struct vfsmount *mount = (struct vfsmount *)inquiry->mount;
	struct mount *at, *above;

	if (inquiry->trees) {
		struct aegis_entry *entry = find_object(inquiry->set, inquiry->ruleset, number, device);

		if (entry) {
			take_tree(&inquiry->decisions[0], entry, AEGIS_MATCH_TREE, device, number);
			take_tree(&inquiry->decisions[1], entry, AEGIS_MATCH_TREE, device, number);
		}
	}
	if (dentry != parent) {
		if (inquiry->naming) {
#pragma unroll
			for (int i = AEGIS_NAME_DEPTH_MAX - 1; i > 0; i--)
				inquiry->names[i] = inquiry->names[i - 1];
			inquiry->names[0] = sip_component((__u64)dentry);
			inquiry->depth++;
		}
		inquiry->dentry = (__u64)parent;
		return 0;
	}
	/* The root of a file system. */
	if (inquiry->naming)
		match_names(inquiry, number, device);
	inquiry->ended = true;
	if (!mount)
		return 1;
	at = (void *)mount - bpf_core_field_offset(struct mount, mnt);
	above = BPF_CORE_READ(at, mnt_parent);
	if (above == at || !above)
		return 1;
	inquiry->ended = false;
	/* Of a part of a file system names go no further: what is above the part is not above the mount point. */
	if (BPF_CORE_READ(mount, mnt_root) != dentry)
		inquiry->naming = false;
	inquiry->dentry = (__u64)BPF_CORE_READ(at, mnt_mountpoint);
	inquiry->mount = (__u64)above + bpf_core_field_offset(struct mount, mnt);
	return 0;
}

/* No tree rule can be on or above this file system. */
static __always_inline bool is_plain(const struct subject *subject, __u32 device)
{
#pragma unroll
	for (int i = 0; i < AEGIS_PLAIN_DEVICES_MAX; i++)
		if (subject->rules->plain_devices[i] == device)
			return true;
	return false;
}

static __noinline int decide_both(const struct subject *subject, struct inquiry *inquiry, struct inode *inode)
{
	struct dentry *dentry = (struct dentry *)inquiry->dentry;
	struct decision *first = &inquiry->decisions[0], *second = &inquiry->decisions[1];
	__u32 device = BPF_CORE_READ(dentry, d_sb, s_dev);
	__u64 number = BPF_CORE_READ(inode, i_ino);
	__u16 type = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	struct aegis_entry *entry = NULL;
	bool look = false;

	if (inode)
		entry = find_object(subject->set, subject->ruleset, number, device);
	if (entry) {
		take_object(first, entry, AEGIS_MATCH_OBJECT, device, number);
		take_object(second, entry, AEGIS_MATCH_OBJECT, device, number);
	}
	if (!subject->rules)
		return 0;
	if (type == S_IFBLK || type == S_IFCHR) {
		/* A device is its number, whatever its node is called and whoever made it. */
		__u32 node = BPF_CORE_READ(inode, i_rdev);

		entry = find_object(subject->set, subject->ruleset, node,
				    type == S_IFBLK ? AEGIS_DEVICE_BLOCK : AEGIS_DEVICE_CHARACTER);
		if (entry) {
			take_object(first, entry, AEGIS_MATCH_NODE, 0, node);
			take_object(second, entry, AEGIS_MATCH_NODE, 0, node);
		}
	}
	/* Before 5.17 nothing is known above a file, nor by name: policy apply says so (AEGIS_CAN_WALK). */
	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop))
		return 0;
	if (subject->features & (AEGIS_HAS_TREES | AEGIS_HAS_NAME_TREES))
		look = !is_plain(subject, device);
	if (!look && subject->features & AEGIS_HAS_NAMES)
		look = find_name(subject->set, subject->ruleset, sip_component((__u64)dentry), 1);
	if (!look)
		return 0;
	inquiry->set = subject->set;
	inquiry->ruleset = subject->ruleset;
	inquiry->trees = subject->features & AEGIS_HAS_TREES;
	inquiry->naming = subject->features & (AEGIS_HAS_NAMES | AEGIS_HAS_NAME_TREES);
	bpf_loop(AEGIS_WALK_MAX, climb, inquiry, 0);
	/* Too deep; or, opened by handle, it hangs in the air: what is above it can't be known. */
	if ((!inquiry->ended || BPF_CORE_READ(dentry, d_flags) & DCACHE_DISCONNECTED) &&
	    subject->features & AEGIS_HAS_DENY_TREES) {
		take(first, AEGIS_RULE_DEPTH + 1, AEGIS_EFFECT_DENY, AEGIS_MATCH_LIMIT, device, number);
		take(second, AEGIS_RULE_DEPTH + 1, AEGIS_EFFECT_DENY, AEGIS_MATCH_LIMIT, device, number);
	}
	return 0;
}

/* What the rules in force say of one operation on a file, or on a name where there is none yet (`inode` NULL). */
static __noinline int decide_file(const struct subject *subject, struct dentry *dentry, struct vfsmount *mount,
				  struct decision *decision)
{
	struct inquiry inquiry = {
		.dentry = (__u64)dentry,
		.mount = (__u64)mount,
		.decisions = { { .operation = decision->operation }, { .operation = NO_OPERATION } },
	};

	decide_both(subject, &inquiry, BPF_CORE_READ(dentry, d_inode));
	*decision = inquiry.decisions[0];
	judge(subject, decision);
	return 0;
}

#endif
