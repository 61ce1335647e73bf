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

/* A question of one file, of one or two operations at once, with its answers; and how far up it was looked. Numbers only,
 * and no gaps: it is handed to a global function. */
struct inquiry {
	struct decision decisions[2];
	__u64 dentry;
	__u64 mount; /* struct vfsmount; 0: not known */
	__u64 inode;
	__u64 names[AEGIS_NAME_DEPTH_MAX]; /* of the components passed, the last first */
	__u64 hash;
	__u32 device; /* of the file system that `dentry` is on */
	__u32 depth;
	__u32 set;
	__u32 ruleset;
	__u32 features; /* NAMING is taken out where names end */
	__u32 named; /* 1: of the components passed, one is the last of a path that is known by name */
};

#define NAMING (AEGIS_HAS_NAMES | AEGIS_HAS_NAME_TREES)

/* All ones where both are the same, else 0: reckoned without a branch, as in take(). */
static __always_inline __u64 same(__u64 one, __u64 other)
{
	__u64 difference = one ^ other;

	difference |= -difference;
	barrier_var(difference);
	return (difference >> 63) - 1;
}

/* 6 and 7 are never asked for, and still within the entry. */
static __always_inline void take_object(struct decision *decision, const struct aegis_entry *entry, __u8 match,
					__u32 device, __u64 inode, __u64 mask)
{
	__u32 operation = decision->operation & 7;

	take(decision, entry->rule[operation], entry->effect[operation] & mask, match, device, inode);
}

static __always_inline void take_tree(struct decision *decision, const struct aegis_entry *entry, __u8 match,
				      __u32 device, __u64 inode)
{
	__u32 operation = decision->operation & 7;

	take(decision, entry->tree_rule[operation], entry->tree_effect[operation], match, device, inode);
}

/* A look through the mounts of a file system, the newest first. */
struct seek {
	__u64 mount; /* struct mount: the next to be looked at; 0: no more */
	__u64 oldest;
	__u64 home; /* the oldest where Aegis lives; 0: none */
	__u64 namespace; /* that mount namespace */
};

/* One of them; 1: no more. */
static long seek_mount(__u32 step, struct seek *seek)
{
	struct mount *mount = (struct mount *)seek->mount;

	if (!mount)
		return 1;
	seek->oldest = (__u64)mount;
	if (BPF_CORE_READ(mount, mnt_ns, ns.inum) == seek->namespace)
		seek->home = (__u64)mount;
	seek->mount = (__u64)BPF_CORE_READ(mount, mnt_next_for_sb);
	return 0;
}

/* Instead of a mount: there are too many to find the one. No address, and what is read there is 0. */
#define MOUNT_LOST 1

/* The mount by which a file is looked at where no hook says by which one it was reached (struct vfsmount; 0: there is none):
 * the oldest of its file system where Aegis lives, else the oldest of all. Whoever mounts it once more, wherever, makes a
 * newer one, and does not choose. Read without a lock; only what it points to is read, by reads that may fail. */
__noinline __u64 oldest_mount(__u64 address)
{
	struct super_block *sb = (struct super_block *)address;
	struct super_block___listed *listed = (void *)sb;
	struct aegis_control *page = control_page();
	struct mount *mount = NULL;
	struct seek seek = {};
	__u64 first;

	if (bpf_core_field_exists(mount->mnt_next_for_sb)) {
		seek.mount = (__u64)BPF_CORE_READ(listed, s_mounts);
		seek.namespace = page && page->namespace ? page->namespace : ~0ULL;
		bpf_loop(AEGIS_MOUNTS_MAX, seek_mount, &seek, 0);
		if (seek.mount)
			return MOUNT_LOST;
		first = seek.home ? seek.home : seek.oldest;
	} else {
		/* Before 6.18 the oldest comes first. */
		first = (__u64)BPF_CORE_READ(sb, s_mounts.next);
		if (first == address + bpf_core_field_offset(struct super_block, s_mounts))
			return 0; /* an empty list */
		first -= bpf_core_field_offset(struct mount, mnt_instance);
	}
	return first ? first + bpf_core_field_offset(struct mount, mnt) : 0;
}

static __always_inline struct vfsmount *any_mount(struct super_block *sb)
{
	return (struct vfsmount *)oldest_mount(address_of(sb));
}

/* One component down from the root of a file system: is there a path by this name? Called by bpf_loop, which the verifier
 * looks at once instead of at every step. */
static long match_name(__u32 at, struct inquiry **which)
{
	struct inquiry *inquiry = *which;
	struct aegis_entry *entry;
	__u64 whole; /* this is the last component: the path itself */

	if (at >= inquiry->depth)
		return 1;
	inquiry->hash = sip_pair(inquiry->hash, inquiry->names[at & (AEGIS_NAME_DEPTH_MAX - 1)]);
	entry = find_name(inquiry->set, inquiry->ruleset, inquiry->hash, 0);
	if (!entry)
		return 0;
	take_tree(&inquiry->decisions[0], entry, AEGIS_MATCH_NAME, inquiry->device, 0);
	take_tree(&inquiry->decisions[1], entry, AEGIS_MATCH_NAME, inquiry->device, 0);
	whole = same(at + 1, inquiry->depth);
	take_object(&inquiry->decisions[0], entry, AEGIS_MATCH_NAME, inquiry->device, 0, whole);
	take_object(&inquiry->decisions[1], entry, AEGIS_MATCH_NAME, inquiry->device, 0, whole);
	return 0;
}

/* A subtree rule on this directory (struct inode; 0: of what is not there yet). Apart from its caller for the sake of the stack. */
static __noinline int match_tree(struct inquiry *inquiry, __u64 inode)
{
	__u32 device = inquiry->device;
	__u64 number = number_of(inode);
	struct aegis_entry *entry = find_object(inquiry->set, inquiry->ruleset, number, device);

	if (entry) {
		take_tree(&inquiry->decisions[0], entry, AEGIS_MATCH_TREE, device, number);
		take_tree(&inquiry->decisions[1], entry, AEGIS_MATCH_TREE, device, number);
	}
	return DONE;
}

/* What a struct vfsmount is the outer side of; none of none. */
static __always_inline struct mount *mount_around(__u64 address)
{
	return address ? (struct mount *)(address - bpf_core_field_offset(struct mount, mnt)) : NULL;
}

/* From the root of what is mounted to the place that it is mounted on, and that place's own mount. False: it is the root of all,
 * or mounted nowhere. */
static __always_inline bool leave_mount(__u64 *dentry, __u64 *mount)
{
	struct mount *at = mount_around(*mount), *above = BPF_CORE_READ(at, mnt_parent);

	if (above == at || !above)
		return false;
	*dentry = (__u64)BPF_CORE_READ(at, mnt_mountpoint);
	*mount = (__u64)above + bpf_core_field_offset(struct mount, mnt);
	return true;
}

/* The next component is above this one. Apart from its caller for the sake of the stack. */
static __noinline int pass_component(struct inquiry *inquiry, __u64 component)
{
#pragma unroll
	for (int i = AEGIS_NAME_DEPTH_MAX - 1; i > 0; i--)
		inquiry->names[i] = inquiry->names[i - 1];
	inquiry->names[0] = component;
	inquiry->depth++;
	if (find_name(inquiry->set, inquiry->ruleset, component, 1))
		inquiry->named = 1;
	return DONE;
}

/* One step up from the file; 1: the end. Called by bpf_loop, too. */
static long climb(__u32 step, struct inquiry **which)
{
	struct inquiry *inquiry = *which;
	__u64 dentry = inquiry->dentry;
	struct vfsmount *mount = (struct vfsmount *)inquiry->mount;
	struct place place;

	read_place(&place, dentry);
	if (inquiry->features & AEGIS_HAS_TREES)
		RUN(match_tree(inquiry, place.inode));
	if (dentry != place.parent) {
		if (inquiry->features & NAMING)
			RUN(pass_component(inquiry, sip_component(place.name, place.name_length)));
		inquiry->dentry = place.parent;
		return 0;
	}
	/* The root of a file system. Where no component ends a path, none is asked for. */
	if (inquiry->features & NAMING && inquiry->named) {
		inquiry->hash = sip_pair(inquiry->device, number_of(place.inode));
		bpf_loop(AEGIS_NAME_DEPTH_MAX, match_name, which, 0);
	}
	if (!leave_mount(&inquiry->dentry, &inquiry->mount))
		return 1;
	inquiry->device = device_around(inquiry->dentry);
	/* Of a part of a file system names go no further: what is above the part is not above the mount point. */
	inquiry->features &= ~NAMING | same((__u64)BPF_CORE_READ(mount, mnt_root), dentry);
	return 0;
}

/* No tree rule can be on or above this file system. */
static __always_inline bool is_plain(const struct aegis_ruleset *rules, __u32 device)
{
	__u64 found = 0;

#pragma unroll
	for (int i = 0; i < AEGIS_PLAIN_DEVICES_MAX; i++)
		found |= same(rules->plain_devices[i], device);
	return found;
}

/* By the object itself, and by its number where it is a device node: a device is that, whatever its node is called and
 * whoever made it. */
static __noinline int decide_object(struct inquiry *inquiry)
{
	struct inode *inode = (struct inode *)inquiry->inode;
	struct identity identity;
	struct aegis_entry *entry;
	__u64 number;
	__u32 device;
	__u16 type = BPF_CORE_READ(inode, i_mode) & S_IFMT;

	read_identity(&identity, inquiry->inode);
	device = device_of(identity.sb);
	number = identity.number;
	entry = find_object(inquiry->set, inquiry->ruleset, number, device);
	if (entry) {
		take_object(&inquiry->decisions[0], entry, AEGIS_MATCH_OBJECT, device, number, ~0ULL);
		take_object(&inquiry->decisions[1], entry, AEGIS_MATCH_OBJECT, device, number, ~0ULL);
	}
	if (type != S_IFBLK && type != S_IFCHR)
		return DONE;
	number = BPF_CORE_READ(inode, i_rdev);
	device = type == S_IFBLK ? AEGIS_DEVICE_BLOCK : AEGIS_DEVICE_CHARACTER;
	entry = find_object(inquiry->set, inquiry->ruleset, number, device);
	if (entry) {
		take_object(&inquiry->decisions[0], entry, AEGIS_MATCH_NODE, 0, number, ~0ULL);
		take_object(&inquiry->decisions[1], entry, AEGIS_MATCH_NODE, 0, number, ~0ULL);
	}
	return DONE;
}

/* There is more to ask than the object: subtrees, where the file system can have any, or a path that ends so. What need not be
 * asked on the way up is taken out of the features. */
static __noinline int asks_more(struct inquiry *inquiry)
{
	struct aegis_ruleset *rules = find_rules(inquiry->set, inquiry->ruleset);
	struct place place;

	if (!rules)
		return 0;
	inquiry->device = device_around(inquiry->dentry);
	if (inquiry->features & AEGIS_HAS_NAME_TREES && !is_plain(rules, inquiry->device))
		return 1;
	if (inquiry->features & AEGIS_HAS_NAMES) {
		read_place(&place, inquiry->dentry);
		/* What is mounted is called as the place it is mounted on. */
		if (place.parent == inquiry->dentry ||
		    find_name(inquiry->set, inquiry->ruleset, sip_component(place.name, place.name_length), 1))
			return 1;
	}
	inquiry->features &= ~NAMING;
	return inquiry->features & AEGIS_HAS_TREES && !is_plain(rules, inquiry->device);
}

static __always_inline void take_limit(struct inquiry *inquiry)
{
	take(&inquiry->decisions[0], AEGIS_RULE_DEPTH + 1, AEGIS_EFFECT_DENY, AEGIS_MATCH_LIMIT, 0, 0);
	take(&inquiry->decisions[1], AEGIS_RULE_DEPTH + 1, AEGIS_EFFECT_DENY, AEGIS_MATCH_LIMIT, 0, 0);
}

/* Answers an inquiry, which is used up by that. Global: the kernel verifies it once for each program, whatever the program
 * comes from; being part of it, it would be verified for each of its ways again, and four times as much in all. What is
 * global may be given no pointer before 5.12: before 5.17 it is made static (`for_old_kernels` in probes/src/lib.rs). */
__noinline int decide(struct inquiry *inquiry)
{
	struct dentry *dentry;
	long steps;

	if (!inquiry)
		return DONE;
	dentry = (struct dentry *)inquiry->dentry;
	RUN(decide_object(inquiry));
	/* Opened by handle, it may hang in the air: what is above it, and its name, can't be known. */
	if (inquiry->features & AEGIS_HAS_DENIALS && BPF_CORE_READ(dentry, d_flags) & DCACHE_DISCONNECTED)
		take_limit(inquiry);
	/* Of one with so many mounts nobody knows what is above it. */
	if (inquiry->mount == MOUNT_LOST) {
		inquiry->mount = 0;
		if (inquiry->features & AEGIS_HAS_DENY_TREES)
			take_limit(inquiry);
	}
	/* Before 5.17 nothing is known above a file, nor by name: policy apply says so (AEGIS_CAN_WALK). */
	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop) || !asks_more(inquiry))
		return DONE;
	steps = bpf_loop(AEGIS_WALK_MAX, climb, &inquiry, 0);
	if (steps >= AEGIS_WALK_MAX && inquiry->features & AEGIS_HAS_DENY_TREES)
		take_limit(inquiry);
	return DONE;
}

/* A question of a file, or of a name where there is none yet, by addresses. */
static __always_inline void inquire(struct inquiry *inquiry, const struct subject *subject, __u64 dentry, __u64 mount,
				    __u64 inode)
{
	inquiry->dentry = dentry;
	inquiry->mount = mount;
	inquiry->inode = inode;
	inquiry->set = subject->set;
	inquiry->ruleset = subject->ruleset;
	inquiry->features = subject->features;
}

/* What the rules in force say of one operation (to be judged). With `held`, a directory on the way to what is denied has a
 * say too: it stays where it is, and the rule with it. */
static __always_inline struct decision *decide_file(struct inquiry *inquiry, const struct subject *subject,
						    struct dentry *dentry, struct vfsmount *mount, __u8 operation,
						    bool held)
{
	struct decision *decision = &inquiry->decisions[0], *keep = &inquiry->decisions[1];

	__builtin_memset(inquiry, 0, sizeof(*inquiry));
	decision->operation = operation;
	keep->operation = held ? AEGIS_OP_HOLD : NO_OPERATION;
	inquire(inquiry, subject, address_of(dentry), (__u64)mount, (__u64)BPF_CORE_READ(dentry, d_inode));
	RUN(decide(inquiry));
	if (held && keep->weight > decision->weight) {
		*decision = *keep;
		decision->operation = AEGIS_OP_CHANGE;
	}
	return decision;
}

static __always_inline bool is_overlay(struct dentry *dentry)
{
	return BPF_CORE_READ(dentry, d_sb, s_magic) == OVERLAYFS_SUPER_MAGIC;
}

/* Of a file that overlayfs shows, the one that it shows: in the upper layer, unless only those below are asked for, else in the
 * lower; NULL: not known. Where overlayfs is a module, and before 6.5, its types are not the kernel's: docs/bypass-catalog.md. */
static __always_inline struct dentry *shown_by(struct dentry *dentry, bool below)
{
	struct ovl_inode *overlay = (void *)BPF_CORE_READ(dentry, d_inode) - bpf_core_field_offset(struct ovl_inode, vfs_inode);
	struct dentry *shown = below ? NULL : BPF_CORE_READ(overlay, __upperdentry);
	struct ovl_entry *entry = BPF_CORE_READ(overlay, oe);

	if (!shown)
		bpf_core_read(&shown, sizeof(shown), &entry->__lowerstack[0].dentry);
	return shown;
}

/* The same, through an overlay upon an overlay, too; more than two there are not (FILESYSTEM_MAX_STACK_DEPTH). */
static __always_inline struct dentry *real_of(struct dentry *dentry, bool below)
{
	struct dentry *shown = shown_by(dentry, below);

	return shown && is_overlay(shown) ? shown_by(shown, false) : shown;
}

/* The file that overlayfs shows as this one; 0: it is no such one, or that is not known. Apart from its caller for the sake of the
 * stack. */
static __noinline __u64 shown_as(struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct ovl_inode *overlay = NULL;

	if (!bpf_core_field_exists(overlay->oe) || !is_overlay(dentry))
		return 0;
	return (__u64)real_of(dentry, false);
}

/* What the rules say of that, folded into what `decide_file` said of this one. */
static __always_inline void take_shown(struct inquiry *inquiry, const struct subject *subject, struct file *file)
{
	__u64 address = shown_as(file);
	struct dentry *shown = (struct dentry *)address;

	if (!address)
		return;
	inquiry->decisions[1].operation = NO_OPERATION;
	inquiry->depth = 0;
	inquiry->named = 0;
	inquire(inquiry, subject, address, (__u64)any_mount(BPF_CORE_READ(shown, d_sb)),
		(__u64)BPF_CORE_READ(shown, d_inode));
	RUN(decide(inquiry));
}

#endif
