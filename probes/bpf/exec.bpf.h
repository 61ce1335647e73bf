/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Execution: a program or script interpreter about to run, a file mapped as code.
 */

#define HASH_ALGO_SHA256 4 /* include/uapi/linux/hash_info.h */

static __always_inline struct aegis_hash *find_hash(const struct subject *subject, const struct aegis_hash_key *key)
{
	return subject->set ? bpf_map_lookup_elem(&hashes_1, key) : bpf_map_lookup_elem(&hashes_0, key);
}

/* What rules by content say. Without a digest none of them does. */
static __noinline int take_hash(const struct subject *subject, struct decision *decision, struct aegis_hash_key *key)
{
	struct aegis_hash *found;

	key->ruleset = subject->ruleset;
	found = find_hash(subject, key);
	if (found)
		take(decision, found->rule, found->effect, AEGIS_MATCH_HASH, 0, 0);
	return DONE;
}

/* What the other set says of the subject's workload. */
static __always_inline __u32 other_features(const struct subject *subject)
{
	struct aegis_cgroup *cgroup = bpf_map_lookup_elem(&cgroups, &subject->cgroup);
	struct aegis_ruleset *rules;

	if (!cgroup)
		return 0;
	rules = subject->set ? find_rules(0, cgroup->ruleset[0]) : find_rules(1, cgroup->ruleset[1]);
	return rules ? rules->features : 0;
}

/* `key`: where programs are measured; `measured`: all ones, if it has the digest, else 0. No branch depends on that: the verifier
 * of 6.1 looks at one of the ways only and takes the other for dead. `subject` is a place for one. */
static __always_inline int try_bprm_check(struct linux_binprm *bprm, struct subject *subject, bool enforce,
					  struct aegis_hash_key *key, __u64 measured)
{
	struct inquiry inquiry;
	struct decision *decision;
	struct aegis_access *record;
	struct file *file = bprm->file;

	__builtin_memset(subject, 0, sizeof(*subject));
	if (!subject_of_current(subject, AEGIS_HOOK_BPRM_CHECK))
		return 0;
	decision = decide_file(&inquiry, subject, BPF_CORE_READ(file, f_path.dentry), BPF_CORE_READ(file, f_path.mnt), AEGIS_OP_EXEC,
			       false);
	take_shown(&inquiry, subject, file);
	if (key && subject->features & AEGIS_HAS_HASHES)
		RUN(take_hash(subject, decision, key));
	/* It could not be read; or a policy that speaks of content came in the very moment before it was looked at. */
	if (key && subject->features & AEGIS_HAS_HASH_DENIALS)
		take(decision, AEGIS_RULE_DEPTH + 1, AEGIS_EFFECT_DENY & ~measured, AEGIS_MATCH_LIMIT, 0, 0);
	judge(subject, decision);
	if (!rule_of(decision))
		return 0; /* sched_process_exec reports what is allowed and happens */
	RUN(temper(subject, decision, enforce));
	count_decision(subject, decision);
	record = begin_access(subject, decision, AEGIS_EXEC_CHECK, BPF_CORE_READ(file, f_inode), 0);
	if (record) {
		if (enforce)
			fill_file_path(&record->head, &record->file, file);
		else /* bpf_d_path is not for fentry here; as given to execve(2), may be relative */
			fill_path_string(&record->head, &record->file, bprm->interp);
		bpf_ringbuf_submit(record, 0);
	}
	return answer(decision);
}

/* int security_bprm_check(struct linux_binprm *bprm), security/security.c, since 2.6.29.
 * fs/exec.c:search_binary_handler: the program, and again for each script interpreter on the way. It may sleep, which the
 * digest needs (bpf_ima_file_hash, since 5.18, with CONFIG_IMA); where that can't be had its twin without is attached. */
SEC("lsm.s/bprm_check_security")
int BPF_PROG(bprm_check_hash, struct linux_binprm *bprm)
{
	struct aegis_control *page = control_page();
	struct subject subject = {};
	struct aegis_hash_key key = {};
	__u64 algorithm = 0, others;
	__u32 half;
	int answered;

	if (!page || !subject_of_current(&subject, AEGIS_HOOK_BPRM_CHECK))
		return 0;
	/* Long, if the file is, and as long as who serves its file system likes: nothing is decided yet, and which set is in force
	 * is asked when it is done. */
	if ((subject.features | other_features(&subject)) & AEGIS_HAS_HASHES)
		algorithm = bpf_ima_file_hash(bprm->file, key.digest, sizeof(key.digest));
	half = *(volatile __u32 *)&page->half & 1;
	/* With its old value, it is a full barrier on every architecture. */
	others = __sync_fetch_and_add(&page->deciding[half], 1);
	asm volatile("" : : "r"(others));
	answered = try_bprm_check(bprm, &subject, true, &key, same(algorithm, HASH_ALGO_SHA256));
	others = __sync_fetch_and_add(&page->deciding[half], -1);
	asm volatile("" : : "r"(others));
	return answered;
}

SEC("lsm/bprm_check_security")
int BPF_PROG(bprm_check, struct linux_binprm *bprm)
{
	struct subject subject;

	return try_bprm_check(bprm, &subject, true, NULL, 0);
}

SEC("fentry/security_bprm_check")
int BPF_PROG(bprm_check_watch, struct linux_binprm *bprm)
{
	struct subject subject;

	try_bprm_check(bprm, &subject, false, NULL, 0);
	return 0;
}

static __always_inline bool in_execve(struct task_struct *task)
{
	return bpf_core_field_exists(task->in_execve) && BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
}

/* A file about to be code: reported where a rule speaks of it, as a program is. */
static __noinline int try_map(struct file *file, enum aegis_hook hook, bool enforce)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct subject subject = {};
	struct inquiry inquiry;
	struct decision *decision;

	if (!subject_of_current(&subject, hook))
		return 0;
	/* What execve(2) maps was decided when it was opened and checked; of the loader, where rules by content are, it
	 * is decided here. */
	if (in_execve(task) &&
	    (!(subject.features & AEGIS_HAS_HASH_OVERRIDES) || BPF_CORE_READ(task, mm, exe_file) == file))
		return 0;
	decision = decide_file(&inquiry, &subject, BPF_CORE_READ(file, f_path.dentry), BPF_CORE_READ(file, f_path.mnt),
			       AEGIS_OP_EXEC, false);
	take_shown(&inquiry, &subject, file);
	if (!rule_of(decision))
		return 0;
	judge(&subject, decision);
	RUN(temper(&subject, decision, enforce));
	return report_dentry(&subject, decision, AEGIS_EXEC_CHECK, BPF_CORE_READ(file, f_path.dentry),
			     BPF_CORE_READ(file, f_path.mnt));
}

/* int security_mmap_file(struct file *file, unsigned long prot, unsigned long flags), security/security.c, since 3.5; the
 * hook itself has the asked-for and the granted protection. mm/util.c:vm_mmap_pgoff; `file` is NULL for plain memory. */
SEC("lsm/mmap_file")
int BPF_PROG(mmap_file, struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)
{
	if (!file || !(prot & PROT_EXEC))
		return 0;
	return try_map(file, AEGIS_HOOK_MMAP_FILE, true);
}

SEC("fentry/security_mmap_file")
int BPF_PROG(mmap_file_watch, struct file *file, unsigned long prot)
{
	if (file && prot & PROT_EXEC)
		try_map(file, AEGIS_HOOK_MMAP_FILE, false);
	return 0;
}

static __always_inline int try_mprotect(struct vm_area_struct *vma, unsigned long prot, bool enforce)
{
	struct file *file = BPF_CORE_READ(vma, vm_file);

	if (!file || !(prot & PROT_EXEC) || BPF_CORE_READ(vma, vm_flags) & VM_EXEC)
		return 0;
	return try_map(file, AEGIS_HOOK_FILE_MPROTECT, enforce);
}

/* int security_file_mprotect(struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot), security/security.c,
 * since 2.6. mm/mprotect.c:do_mprotect_pkey. */
SEC("lsm/file_mprotect")
int BPF_PROG(file_mprotect, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot)
{
	return try_mprotect(vma, prot, true);
}

SEC("fentry/security_file_mprotect")
int BPF_PROG(file_mprotect_watch, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot)
{
	try_mprotect(vma, prot, false);
	return 0;
}
