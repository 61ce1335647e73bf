/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The fold of `bpf/rules.bpf.h`, as it is, for this machine instead of the kernel's: `precedence.rs` compiles it, hands it
 * cases and holds its answers against the sentence of docs/policy-semantics.md. Stands in for the kernel's helpers and maps.
 */
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#undef EPERM
#define EPERM 1
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define barrier_var(var) asm volatile("" : "=r"(var) : "0"(var))
#define DONE 0

#include "abi.h"

struct subject { /* as in record.bpf.h */
	struct aegis_counters *counters;
	struct aegis_ruleset *rules;
	__u64 cgroup;
	__u32 slot;
	__u32 ruleset;
	__u32 features;
	__u8 set;
	__u8 hook;
};

static int rules_0, rules_1, names_0, names_1, rule_names_0, rule_names_1;
static struct aegis_control page;
static __u64 now;

static void *bpf_map_lookup_elem(void *map, const void *key)
{
	(void)map, (void)key;
	return NULL;
}
static __u64 bpf_ktime_get_boot_ns(void)
{
	return now;
}
static struct aegis_control *control_page(void)
{
	return &page;
}

#pragma clang diagnostic ignored "-Wunused-function"
#include "rules.bpf.h"

#define MOST 4

/* The same in `precedence.rs`. */
struct one {
	__u32 rule; /* index + 1 */
	__u8 effect;
	__u8 match;
	__u8 reserved[2];
};
struct query {
	struct one first[MOST], second[MOST]; /* of two operations of one access; in the order of the calls */
	__u64 broken_until, deadman_denials, deadman_fell;
	__u8 lengths[2]; /* the second's 0: one operation */
	__u8 self_deny, enforce, selftest;
	__u8 reserved[3];
};
struct reply {
	__u32 rule;
	__u8 effect, match, decided, verdict, passed, fallen, denied;
	__u8 reserved;
};

static void fold(const struct subject *subject, struct decision *decision, const struct one *of, int length)
{
	for (int i = 0; i < length; i++)
		take(decision, of[i].rule, of[i].effect, of[i].match, 7, of[i].rule);
	judge(subject, decision);
}

int main(void)
{
	struct query query;

	while (fread(&query, sizeof(query), 1, stdin) == 1) {
		struct aegis_ruleset rules = { .deadman_denials = query.deadman_denials, .deadman_window = 1000,
					       .deadman_fell = query.deadman_fell };
		struct subject subject = { .rules = &rules, .ruleset = query.selftest ? AEGIS_RULESET_SELFTEST : 1,
					   .features = query.self_deny ? AEGIS_SELF_DENY : AEGIS_SELF_AUDIT };
		struct decision decision = { 0 }, second = { 0 };
		struct reply reply = { 0 };

		now = 100;
		page.broken_until = query.broken_until;
		fold(&subject, &decision, query.first, query.lengths[0]);
		if (query.lengths[1]) {
			fold(&subject, &second, query.second, query.lengths[1]);
			take_stricter(&decision, &second);
		}
		reply.decided = decision.verdict;
		temper(&subject, &decision, query.enforce);
		reply.rule = rule_of(&decision);
		reply.effect = reply.rule ? decision.weight >> 32 : 0;
		reply.match = reply.rule ? decision.where >> 32 : 0;
		reply.verdict = decision.verdict;
		reply.passed = decision.passed;
		reply.fallen = decision.fallen;
		reply.denied = answer(&decision) == -EPERM;
		/* What is recorded is of the rule that won, all of it. */
		if (reply.rule && (decision.inode != reply.rule || (__u32)decision.where != 7))
			return 1;
		if (fwrite(&reply, sizeof(reply), 1, stdout) != 1)
			return 1;
	}
	return 0;
}
