/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The one header that kernel and user space agree on: records, maps, counters.
 * `probes/src/abi.rs` says the same in Rust; a test holds every size and offset of one against the other.
 * Everything is little-endian, naturally aligned, without implicit padding.
 */
#ifndef AEGIS_ABI_H
#define AEGIS_ABI_H

#define AEGIS_ABI_VERSION 3

/* Bounds (firmware/aegis/src/limits.rs and probes/src/abi.rs have the same). */
#define AEGIS_PATH_MAX 256
#define AEGIS_COMM_MAX 16
#define AEGIS_NOTE_MAX 512
#define AEGIS_WORKLOADS_MAX 256       /* workload slots; slot 0 is the self-test's */
#define AEGIS_WORKLOAD_NAME_MAX 64
#define AEGIS_RULES_MAX 65536         /* entries of one rule set */
#define AEGIS_RULE_NAMES_MAX 65536    /* names of one rule set */
#define AEGIS_RULE_NAME_MAX 32
#define AEGIS_CGROUP_DEPTH_MAX 8      /* ancestors looked at, from the root down */
#define AEGIS_RING_BYTES (1024 * 1024) /* resident twice over in the agent, which maps it twice in a row */

#define AEGIS_RULESET_SELFTEST 0 /* the rules of the self-test's cgroup; a policy's workloads count from 1 */

/* Record kinds: the numbers of `aegis_event::Kind`. */
enum aegis_kind {
	AEGIS_FORK = 1,
	AEGIS_EXEC = 2,
	AEGIS_EXIT = 3,
	AEGIS_OPEN = 4,
	AEGIS_EXEC_CHECK = 5,
	AEGIS_CONNECT = 6,
	AEGIS_NOTE = 32, /* an event encoded by one of Aegis's own commands */
};

enum aegis_verdict { AEGIS_ALLOWED = 0, AEGIS_AUDITED = 1, AEGIS_DENIED = 2 };

enum aegis_flags {
	AEGIS_PATH_TRUNCATED = 1,
	AEGIS_ARGV_TRUNCATED = 2,
	AEGIS_GLASS_BROKEN = 4, /* audited only because the glass is broken: it would have been denied */
};

/* What a rule can speak of: index into `aegis_rule.verdict`. */
enum aegis_operation { AEGIS_OP_OPEN_READ = 0, AEGIS_OP_OPEN_WRITE = 1, AEGIS_OP_EXEC = 2, AEGIS_OPERATIONS = 4 };

/* Head of every record in the ring buffer, 72 bytes. */
struct aegis_record {
	__u16 kind;    /* enum aegis_kind */
	__u16 length;  /* bytes of the whole record, head included */
	__u8 verdict;  /* enum aegis_verdict */
	__u8 flags;    /* enum aegis_flags */
	__u8 set;      /* rule set (0, 1) that decided */
	__u8 reserved;
	__u64 time;    /* CLOCK_BOOTTIME, ns */
	__u64 cgroup;  /* id of the task's own cgroup */
	__u64 policy;  /* sequence of the policy that decided */
	__u32 slot;    /* workload slot */
	__u32 rule;    /* index into the rule set's names + 1; 0: no rule matched, and the record has no rule name */
	__u32 pid;     /* thread id, initial pid namespace */
	__u32 tgid;
	__u32 ppid;
	__u32 uid;
	__u8 comm[AEGIS_COMM_MAX];
};

struct aegis_fork {
	struct aegis_record head;
	__u32 child_pid;
	__u32 child_tgid;
};

struct aegis_exit {
	struct aegis_record head;
	__u32 code; /* task_struct.exit_code: status << 8 | signal */
	__u32 reserved;
};

struct aegis_file {
	__u64 inode;
	__u32 device; /* major << 20 | minor */
	__u32 flags;  /* f_flags for open, 0 else */
	__u16 path_length; /* without NUL */
	__u16 argv_length; /* exec only */
	__u32 reserved;
	__u8 path[AEGIS_PATH_MAX];
};

/* A rule's name, NUL padded. In the record of a decision it is the name as it was when the kernel decided: part of the
 * evidence, whatever becomes of the rule set afterwards. */
struct aegis_rule_name {
	__u8 name[AEGIS_RULE_NAME_MAX];
} __attribute__((aligned(8))); /* copied in words */

/* kinds AEGIS_OPEN and AEGIS_EXEC_CHECK */
struct aegis_access {
	struct aegis_record head;
	struct aegis_rule_name rule;
	struct aegis_file file;
};

struct aegis_exec {
	struct aegis_record head;
	struct aegis_file file;
	__u8 argv[AEGIS_PATH_MAX];
};

/* No rule speaks of it yet; when one can, a struct aegis_rule_name goes behind the head as in aegis_access. */
struct aegis_connect {
	struct aegis_record head;
	__u16 family;
	__u16 port;     /* host order */
	__u8 protocol;
	__u8 reserved[3];
	__u8 address[16]; /* network order; first 4 bytes for AF_INET */
};

/* An event of `aegis load`, `aegis policy apply`, …: put into map `inbox`, sent by running program `note`. */
struct aegis_note {
	struct aegis_record head;
	__u32 note_length;
	__u32 reserved;
	__u8 note[AEGIS_NOTE_MAX]; /* CBOR (docs/formats/event.cddl) */
};

/* --- maps -------------------------------------------------------------------------------------- */

/* `cgroups`: HASH, cgroup id (u64) -> struct aegis_cgroup. A task belongs to its deepest registered ancestor. */
struct aegis_cgroup {
	__u32 slot;
	__u32 ruleset[2]; /* which of the rules apply, per rule set */
	__u32 reserved;
};

/* `rules_0`, `rules_1`: HASH, struct aegis_rule_key -> struct aegis_rule. The idle one is filled, then swapped. */
struct aegis_rule_key {
	__u64 inode;
	__u32 device;  /* major << 20 | minor */
	__u32 ruleset; /* AEGIS_RULESET_SELFTEST, or a policy's workload */
};

struct aegis_rule {
	__u32 rule[AEGIS_OPERATIONS];   /* name index + 1, per operation; 0: none */
	__u8 verdict[AEGIS_OPERATIONS]; /* enum aegis_verdict, per operation */
	__u32 reserved;
};

/* `rule_names_0`, `rule_names_1`: ARRAY, AEGIS_RULE_NAMES_MAX x struct aegis_rule_name. Copied into records.
 * `workload_names`: ARRAY, mmapable, AEGIS_WORKLOADS_MAX x char[AEGIS_WORKLOAD_NAME_MAX].
 * `inbox`: ARRAY of one struct aegis_note.
 * `events`: RINGBUF of AEGIS_RING_BYTES.
 */

/* `control`: ARRAY of one, mmapable. `active` is the pointer that a swap flips: one aligned 32-bit store. */
struct aegis_control {
	__u32 abi_version;
	__u32 active;     /* rule set in force: 0 or 1 */
	__u64 policy[2];  /* sequence of the policy in each set */
	__u64 epoch[2];   /* epoch of the policy in each set */
	__u32 mode;       /* aegis_event::Mode, as proven by the self-test */
	__u32 reason;     /* aegis_event::ModeReason */
	__u32 rules[2];   /* rules of the policy in each set */
	__u32 entries[2]; /* entries filled for them */
	__u32 unresolved[2]; /* paths of the policy that do not exist on this host */
	__u8 policy_hash[2][32]; /* SHA-256 of the bundle in each set */
	__u64 loaded_at;  /* CLOCK_BOOTTIME ns when the probes were loaded */
	/* Break-glass: until then (CLOCK_BOOTTIME, ns) nothing is denied, the self-test's own rules excepted. Ends by
	 * itself, whoever is alive. 0: not broken in this boot; in the past: when the last break ended. */
	__u64 broken_until;
};

/* `counters`: ARRAY, mmapable, AEGIS_WORKLOADS_MAX x struct aegis_counters, updated atomically. */
struct aegis_counters {
	__u64 seen;      /* events made: reserved in the ring buffer or lost */
	__u64 ring_full; /* lost: the ring buffer had no room */
	__u64 denied;
	__u64 passed;    /* decisions that would have been denials, had the glass been whole */
	__u64 hits[5];   /* hook invocations on this workload's tasks: enum aegis_hook */
};

enum aegis_hook { AEGIS_HOOK_PROCESS = 0, AEGIS_HOOK_FILE_OPEN = 1, AEGIS_HOOK_BPRM_CHECK = 2, AEGIS_HOOK_CONNECT = 3, AEGIS_HOOK_NOTE = 4 };

#endif
