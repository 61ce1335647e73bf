/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The decision: every rule that matches is folded by one order; what wins is recorded as it was.
 */
#ifndef AEGIS_RULES_BPF_H
#define AEGIS_RULES_BPF_H

/* Beats all effects of rules: what guards Aegis itself. Denied or audited as the features say. In maps only. */
#define EFFECT_SELF 6

/* One operation of an access, and the rule that weighs most. */
struct decision {
	__u64 weight; /* effect << 32 | ~rule; 0: none */
	__u64 where;  /* match << 32 | device */
	__u64 inode;
	__u8 operation;
	__u8 verdict;
	bool passed; /* audited, but a denial were the glass whole */
	bool fallen; /* audited, but a denial had the deadman not fallen */
	__u32 reserved;
};

static __always_inline __u32 rule_of(const struct decision *decision)
{
	return decision->weight >> 32 ? ~(__u32)decision->weight : 0;
}

/* Greater effect wins; among equals the rule that stands first in the policy. The order of calls does not matter. No rule
 * has no effect, and weighs less than any. Without a branch: the verifier follows each with all it knows, and a fold of many
 * is beyond its patience. */
static __always_inline void take(struct decision *decision, __u32 rule, __u8 effect, __u8 match, __u32 device,
				 __u64 inode)
{
	__u64 weight = (__u64)effect << 32 | (__u32)~rule;
	__u64 where = (__u64)match << 32 | device;
	__u64 wins = (__s64)(decision->weight - weight) >> 63; /* both are below 2^40; all ones, or 0 */

	barrier_var(wins);
	decision->weight ^= (decision->weight ^ weight) & wins;
	decision->where ^= (decision->where ^ where) & wins;
	decision->inode ^= (decision->inode ^ inode) & wins;
}

/* What the winner makes of the access: two bits for each effect, read without a branch. */
static __always_inline void judge(const struct subject *subject, struct decision *decision)
{
	__u32 self = subject->features & AEGIS_SELF_DENY ? AEGIS_DENIED : AEGIS_AUDITED;
	__u32 verdicts = AEGIS_AUDITED << 2 * AEGIS_EFFECT_AUDIT | AEGIS_AUDITED << 2 * AEGIS_EFFECT_TRIAL |
			 AEGIS_DENIED << 2 * AEGIS_EFFECT_DENY | self << 2 * EFFECT_SELF;

	_Static_assert(!AEGIS_ALLOWED, "nothing, allow and override are 0");
	decision->verdict = verdicts >> (2 * (decision->weight >> 32) & 15) & 3;
}

/* Of two operations of one access, each decided: the stricter verdict, and of equals the first that has a rule. */
static __always_inline void take_stricter(struct decision *decision, const struct decision *other)
{
	if (other->verdict > decision->verdict || (other->verdict == decision->verdict && !rule_of(decision)))
		*decision = *other;
}

static __always_inline struct aegis_entry *find_object(__u32 set, __u32 ruleset, __u64 inode, __u32 device)
{
	struct aegis_object_key key = {};

	key.inode = inode;
	key.device = device;
	key.ruleset = ruleset;
	return set ? bpf_map_lookup_elem(&rules_1, &key) : bpf_map_lookup_elem(&rules_0, &key);
}

static __always_inline struct aegis_entry *find_name(__u32 set, __u32 ruleset, __u64 hash, __u32 leaf)
{
	struct aegis_name_key key = {};

	key.hash = hash;
	key.ruleset = ruleset;
	key.leaf = leaf;
	return set ? bpf_map_lookup_elem(&names_1, &key) : bpf_map_lookup_elem(&names_0, &key);
}

/* Denied by Aegis itself, where the policy lets it guard itself. */
static __always_inline void take_self(const struct subject *subject, struct decision *decision, __u8 match,
				      __u64 inode)
{
	if (subject->features & (AEGIS_SELF_AUDIT | AEGIS_SELF_DENY))
		take(decision, AEGIS_RULE_SELF + 1, EFFECT_SELF, match, 0, inode);
}

/* The kernel's own surface. */
static __always_inline void take_surface(const struct subject *subject, struct decision *decision,
					 enum aegis_operation operation)
{
	__u32 index = operation - AEGIS_OP_PTRACE;

	decision->operation = operation;
	if (subject->rules)
		take(decision, subject->rules->surface_rule[index], subject->rules->surface_effect[index],
		     AEGIS_MATCH_SURFACE, 0, 0);
}

/* While the glass is broken a denial is a report. Its end is a time, kept where the rules are: it comes by itself, with or
 * without anybody of ours alive. The self-test's own rules stay denials: they are on its own files for its own cgroup, and
 * what it proves of the hooks is true whatever the glass is. The clock is read for a would-be denial only. */
static __always_inline bool glass_is_broken(void)
{
	struct aegis_control *page = control_page();
	__u64 until;

	if (!page)
		return false;
	until = *(volatile __u64 *)&page->broken_until;
	return until && bpf_ktime_get_boot_ns() < until;
}

/* The deadman: more denials within its window than the policy bears, and this rule set only audits until the next policy.
 * Two CPUs that begin a window together may count a few denials too little. */
static __always_inline bool deadman_falls(struct aegis_ruleset *rules)
{
	__u64 now;

	if (!rules->deadman_denials)
		return false;
	if (rules->deadman_fell)
		return true;
	now = bpf_ktime_get_boot_ns();
	if (now - rules->deadman_begun > rules->deadman_window) {
		rules->deadman_begun = now;
		rules->deadman_count = 0;
	}
	__sync_fetch_and_add(&rules->deadman_count, 1);
	if (rules->deadman_count <= rules->deadman_denials)
		return false;
	rules->deadman_fell = now;
	return true;
}

/* What becomes of a denial; what no rule set may deny any more is a report. `enforce` is false where a program can only
 * watch: nothing it says is a denial. What guards Aegis itself does not fall with the deadman. */
static __noinline int temper(const struct subject *subject, struct decision *decision, bool enforce)
{
	if (decision->verdict != AEGIS_DENIED)
		return DONE;
	if (!enforce) {
		decision->verdict = AEGIS_AUDITED;
		return DONE;
	}
	if (subject->ruleset == AEGIS_RULESET_SELFTEST)
		return DONE;
	if (glass_is_broken()) {
		decision->verdict = AEGIS_AUDITED;
		decision->passed = true;
	} else if (decision->weight >> 32 != EFFECT_SELF && subject->rules && deadman_falls(subject->rules)) {
		decision->verdict = AEGIS_AUDITED;
		decision->fallen = true;
	}
	return DONE;
}

/* What a hook returns. The constant is kept apart: of one that the compiler makes from the verdict by shifts the verifier
 * (6.12) can't see that it is no other number. */
static __always_inline int answer(const struct decision *decision)
{
	int denial = -EPERM;

	barrier_var(denial);
	return decision->verdict == AEGIS_DENIED ? denial : 0;
}

/* Puts the decision into its record, with the rule's name. The set can't be refilled meanwhile: policy apply waits for
 * running programs before it touches an idle one. */
static __noinline int fill_decision(struct aegis_record *head, struct aegis_decision *out,
				    const struct subject *subject, const struct decision *decision)
{
	__u32 rule = rule_of(decision), index = rule - 1; /* no rule: beyond the array, no name */
	struct aegis_control *page = control_page();
	struct aegis_rule_name *found;

	found = subject->set ? bpf_map_lookup_elem(&rule_names_1, &index) : bpf_map_lookup_elem(&rule_names_0, &index);
	if (found)
		out->rule = *found;
	else
		__builtin_memset(&out->rule, 0, sizeof(out->rule));
	out->operation = decision->operation;
	out->hook = subject->hook;
	out->match = rule ? decision->where >> 32 : 0;
	out->reserved = 0;
	out->device = rule ? (__u32)decision->where : 0;
	out->inode = rule ? decision->inode : 0;
	__builtin_memset(out->policy_hash, 0, sizeof(out->policy_hash));
	if (page && found)
		__builtin_memcpy(out->policy_hash, subject->set ? page->policy_hash[1] : page->policy_hash[0],
				 sizeof(out->policy_hash));
	head->verdict = decision->verdict;
	head->rule = rule;
	if (decision->passed)
		head->flags |= AEGIS_GLASS_BROKEN;
	if (decision->fallen)
		head->flags |= AEGIS_DEADMAN;
	return DONE;
}

static __always_inline void count_decision(const struct subject *subject, const struct decision *decision)
{
	if (decision->verdict == AEGIS_DENIED)
		__sync_fetch_and_add(&subject->counters->denied, 1);
	else if (decision->passed)
		__sync_fetch_and_add(&subject->counters->passed, 1);
	else if (decision->fallen)
		__sync_fetch_and_add(&subject->counters->fallen, 1);
}

#endif
