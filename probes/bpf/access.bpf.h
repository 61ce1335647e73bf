/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * One access to a file, decided and reported. The decision comes first and stands when its record is lost: a full ring
 * costs evidence, counted, never a denial.
 *
 * Every decision has two entries: the `lsm/` one denies; its fentry twin only watches, and is attached instead when
 * `bpf` is not in the kernel's LSM list. (LSM programs have one more argument, what an earlier BPF program returned;
 * the trampoline does not call ours unless that was 0, arch/x86/net/bpf_jit_comp.c:invoke_bpf_mod_ret.)
 */
#ifndef AEGIS_ACCESS_BPF_H
#define AEGIS_ACCESS_BPF_H

/* Reserves an access record of a decision and fills all but its path. */
static __always_inline struct aegis_access *begin_access(struct subject *subject, const struct decision *decision,
							 __u16 kind, struct inode *inode, __u32 flags)
{
	struct aegis_access *record = reserve_record(subject, struct aegis_access, !!rule_of(decision));

	if (!record)
		return NULL;
	RUN(fill_head(&record->head, subject, kind, sizeof(*record)));
	RUN(fill_decision(&record->head, &record->decision, subject, decision));
	RUN(fill_object(&record->file, (__u64)inode, flags));
	return record;
}

/* Kind and flags of a record in one: functions have five arguments. */
#define WHAT(kind, flags) ((__u64)(kind) | (__u64)(__u32)(flags) << 32)

/* In between: what holds directories on the way to what is denied has a say. */
#define HELD (1ULL << 16)

/* An access of which the hook knows the dentry. */
static __noinline int report_dentry(struct subject *subject, struct decision *decision, __u64 what,
				    struct dentry *dentry, struct vfsmount *mount)
{
	struct aegis_access *record;

	count_decision(subject, decision);
	record = begin_access(subject, decision, what, BPF_CORE_READ(dentry, d_inode), what >> 32);
	if (record) {
		fill_path(&record->head, &record->file, dentry, mount);
		bpf_ringbuf_submit(record, 0);
	}
	return answer(decision);
}

#endif
