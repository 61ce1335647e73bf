/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The decision: one lookup in the rule set in force.
 */
#ifndef AEGIS_RULES_BPF_H
#define AEGIS_RULES_BPF_H

struct decision {
	__u32 rule; /* name index + 1; 0: no rule matched */
	__u8 verdict;
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
}

static __always_inline void count_denied(const struct subject *subject, struct decision decision)
{
	if (decision.verdict == AEGIS_DENIED)
		__sync_fetch_and_add(&subject->counters->denied, 1);
}

#endif
