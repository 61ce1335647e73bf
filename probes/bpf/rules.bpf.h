/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The decision: one lookup in the rule set in force.
 */
#ifndef AEGIS_RULES_BPF_H
#define AEGIS_RULES_BPF_H

struct decision {
	__u32 rule; /* name index + 1; 0: no rule matched */
	__u8 verdict;
	bool passed; /* audited, but a denial were the glass whole */
};

static __always_inline void take_stricter(struct decision *decision, const struct aegis_rule *rule,
					  enum aegis_operation operation)
{
	if (!rule->rule[operation])
		return;
	if (decision->rule && rule->verdict[operation] <= decision->verdict)
		return;
	decision->rule = rule->rule[operation];
	decision->verdict = rule->verdict[operation];
}

/* What the rule set in force says of this file; the strictest of the operations in the bit set `operations`. */
static __always_inline struct decision decide(const struct subject *subject, struct inode *inode, __u32 operations)
{
	struct decision decision = {};
	struct aegis_rule_key key = {};
	struct aegis_rule *rule;

	key.inode = inode->i_ino;
	key.device = inode->i_sb->s_dev;
	key.ruleset = subject->ruleset;
	rule = subject->set ? bpf_map_lookup_elem(&rules_1, &key) : bpf_map_lookup_elem(&rules_0, &key);
	if (!rule)
		return decision;
	if (operations & (1 << AEGIS_OP_OPEN_READ))
		take_stricter(&decision, rule, AEGIS_OP_OPEN_READ);
	if (operations & (1 << AEGIS_OP_OPEN_WRITE))
		take_stricter(&decision, rule, AEGIS_OP_OPEN_WRITE);
	if (operations & (1 << AEGIS_OP_EXEC))
		take_stricter(&decision, rule, AEGIS_OP_EXEC);
	return decision;
}

/* Where a program can only watch, nothing it says is a denial. */
static __always_inline struct decision only_observed(struct decision decision)
{
	if (decision.verdict == AEGIS_DENIED)
		decision.verdict = AEGIS_AUDITED;
	return decision;
}

/* While the glass is broken a denial is a report. Its end is a time, kept where the rules are: it comes by itself, with or
 * without anybody of ours alive. The self-test's own rules stay denials: they are on its own files for its own cgroup, and
 * what it proves of the hooks is true whatever the glass is. The clock is read for a would-be denial only. */
static __always_inline struct decision unless_broken(const struct subject *subject, struct decision decision)
{
	struct aegis_control *page;
	__u32 zero = 0;
	__u64 until;

	if (decision.verdict != AEGIS_DENIED || subject->ruleset == AEGIS_RULESET_SELFTEST)
		return decision;
	page = bpf_map_lookup_elem(&control, &zero);
	if (!page)
		return decision;
	until = *(volatile __u64 *)&page->broken_until;
	if (until && bpf_ktime_get_boot_ns() < until) {
		decision.verdict = AEGIS_AUDITED;
		decision.passed = true;
	}
	return decision;
}

/* What a hook returns. The constant is kept apart: of one that the compiler makes from the verdict by shifts the verifier
 * (6.12) can't see that it is no other number. */
static __always_inline int answer(struct decision decision)
{
	int denial = -EPERM;

	barrier_var(denial);
	return decision.verdict == AEGIS_DENIED ? denial : 0;
}

/* Puts the decision into its record, with the rule's name. The set can't be refilled meanwhile: policy apply waits for
 * running programs before it touches an idle one. */
static __always_inline void fill_decision(struct aegis_record *head, struct aegis_rule_name *name,
					  const struct subject *subject, struct decision decision)
{
	__u32 index = decision.rule - 1; /* no rule: beyond the array, no name */
	struct aegis_rule_name *found;

	found = subject->set ? bpf_map_lookup_elem(&rule_names_1, &index) : bpf_map_lookup_elem(&rule_names_0, &index);
	if (found)
		*name = *found;
	else
		__builtin_memset(name, 0, sizeof(*name));
	head->verdict = decision.verdict;
	head->rule = decision.rule;
	if (decision.passed)
		head->flags |= AEGIS_GLASS_BROKEN;
}

static __always_inline void count_decision(const struct subject *subject, struct decision decision)
{
	if (decision.verdict == AEGIS_DENIED)
		__sync_fetch_and_add(&subject->counters->denied, 1);
	else if (decision.passed)
		__sync_fetch_and_add(&subject->counters->passed, 1);
}

#endif
