/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The one header that kernel and user space agree on: records, maps, counters.
 * `probes/src/abi.rs` says the same in Rust; a test holds every size and offset of one against the other.
 * Everything is little-endian, naturally aligned, without implicit padding.
 */
#ifndef AEGIS_ABI_H
#define AEGIS_ABI_H

/* AEGIS_ABI_NEXT: the ABI after this one, with maps of another layout. Nobody ships it; the tests upgrade a device to it. */
#ifdef AEGIS_ABI_NEXT
#define AEGIS_ABI_VERSION 10
#else
#define AEGIS_ABI_VERSION 9
#endif

/* Bounds (firmware/aegis/src/limits.rs and probes/src/abi.rs have the same). */
#define AEGIS_PATH_MAX 256
#define AEGIS_COMM_MAX 16
#define AEGIS_NOTE_MAX 512
#define AEGIS_TEXT_MAX 64
#define AEGIS_WORKLOADS_MAX 256       /* workload slots; slot 0 is the self-test's */
#define AEGIS_WORKLOAD_NAME_MAX 64
#define AEGIS_RULES_MAX 69632         /* entries of one rule set: a policy's 65,536, the self-test's and self-protection's */
#define AEGIS_NAMES_MAX 208896        /* entries of one set of names: of each of those the path and its last component; a third for what links lead to, and no more */
#define AEGIS_RULE_NAMES_MAX 65540    /* names of one rule set: a policy's 65,536 and our own */
#define AEGIS_RULE_NAME_MAX 32
#define AEGIS_NETS_MAX 4096           /* address prefixes of one rule set, over all workloads */
#define AEGIS_NET_RULES_MAX 16        /* rules that speak of one prefix */
#define AEGIS_HASHES_MAX 4096         /* program digests of one rule set, over all workloads */
#define AEGIS_CGROUP_DEPTH_MAX 8      /* ancestors looked at, from the root down */
#define AEGIS_WALK_MAX 64             /* components and mounts from a file up to the root of all */
#define AEGIS_MOUNTS_MAX 4096         /* mounts of one file system, since 6.18 looked through for the oldest */
#define AEGIS_NAME_DEPTH_MAX 8        /* components of a path that is known by name, below its file system's root */
#define AEGIS_COMMON_MAX 8            /* places that Aegis and workloads share, and nobody mounts over */
#define AEGIS_PLAIN_DEVICES_MAX 8     /* file systems known to have no subtree rule */
#define AEGIS_VOLUMES_MAX 8192        /* open files whose volumes are being summed */
#define AEGIS_FLOWS_MAX 1024          /* sockets whose bytes are being summed: all but TCP */
#define AEGIS_RING_BYTES (1024 * 1024) /* resident in the agent */

#define AEGIS_RULESET_SELFTEST 0 /* the rules of the self-test's cgroup; a policy's workloads count from 1 */
#define AEGIS_RULESET_OTHERS 256 /* workloads that no pattern of the policy covers: self-protection only */
#define AEGIS_RULESETS_MAX 257

/* Record kinds: the numbers of `aegis_event::Kind`. */
enum aegis_kind {
	AEGIS_FORK = 1,
	AEGIS_EXEC = 2,
	AEGIS_EXIT = 3,
	AEGIS_OPEN = 4,
	AEGIS_EXEC_CHECK = 5,    /* a rule matched: a program, script interpreter, ELF loader or mapping as code */
	AEGIS_CONNECT = 6,       /* also a message to an address, where a rule matched */
	AEGIS_CREATE = 7,        /* file, directory, node, symbolic link */
	AEGIS_UNLINK = 8,        /* also rmdir */
	AEGIS_RENAME = 9,
	AEGIS_LINK = 10,
	AEGIS_SETATTR = 11,      /* chmod, chown, truncate, times */
	AEGIS_SOCKET = 12,
	AEGIS_BIND = 13,
	AEGIS_LISTEN = 14,
	AEGIS_ACCEPT = 15,
	AEGIS_UNIX_CONNECT = 16, /* to a socket with a path */
	AEGIS_PTRACE = 17,
	AEGIS_MODULE = 18,
	AEGIS_BPF = 19,
	AEGIS_MOUNT = 20,
	AEGIS_SIGNAL = 21,       /* to the agent */
	AEGIS_ESCAPE = 22,       /* a task on its way out of its workload's cgroup by clone3(CLONE_INTO_CGROUP) */
	AEGIS_PRIVILEGE = 23,
	AEGIS_VOLUME = 24,       /* bytes read from and written to one open file, at its close */
	AEGIS_FLOW = 25,         /* bytes of one socket, at its close */
	AEGIS_NOTE = 32, /* an event encoded by one of Aegis's own commands */
};

enum aegis_verdict { AEGIS_ALLOWED = 0, AEGIS_AUDITED = 1, AEGIS_DENIED = 2 };

enum aegis_flags {
	AEGIS_PATH_TRUNCATED = 1,
	AEGIS_ARGV_TRUNCATED = 2,
	AEGIS_GLASS_BROKEN = 4, /* audited only because the glass is broken: it would have been denied */
	AEGIS_DEADMAN = 8,      /* audited only because the deadman fell: it would have been denied */
};

/* What a rule can speak of, and which of several rules decides: the numbers of `aegis_policy::{Operation, Effect}`. */
enum aegis_operation {
	/* of files: index into `aegis_entry` */
	AEGIS_OP_OPEN_READ = 0,
	AEGIS_OP_OPEN_WRITE = 1,
	AEGIS_OP_EXEC = 2,
	AEGIS_OP_CHANGE = 3,
	AEGIS_OP_UNIX_CONNECT = 4,
	AEGIS_OP_HOLD = 5, /* no rule speaks of it: a directory on the way to what is denied is not moved or removed */
	AEGIS_FILE_OPERATIONS = 6,
	/* of addresses */
	AEGIS_OP_CONNECT = 8,
	AEGIS_OP_BIND = 9,
	/* of the kernel: index into `aegis_ruleset.surface`, less 16 */
	AEGIS_OP_PTRACE = 16,
	AEGIS_OP_MODULE = 17,
	AEGIS_OP_BPF = 18,
	AEGIS_OP_MOUNT = 19,
	AEGIS_OP_SIGNAL = 20, /* self-protection's alone, as the next */
	AEGIS_OP_ESCAPE = 21,
	AEGIS_SURFACE_OPERATIONS = 6,
};

/* Greater beats lesser; among equals the rule with the lower index. */
enum aegis_effect {
	AEGIS_NO_EFFECT = 0,
	AEGIS_EFFECT_AUDIT = 1,
	AEGIS_EFFECT_ALLOW = 2,
	AEGIS_EFFECT_TRIAL = 3,    /* a deny rule in audit mode: audited */
	AEGIS_EFFECT_DENY = 4,
	AEGIS_EFFECT_OVERRIDE = 5, /* an allow rule that says it beats deny */
};

/* By what a rule matched. */
enum aegis_match {
	AEGIS_MATCH_NONE = 0,
	AEGIS_MATCH_OBJECT = 1,  /* device and inode of the file itself */
	AEGIS_MATCH_TREE = 2,    /* of a directory above it */
	AEGIS_MATCH_NAME = 3,    /* its path in its file system */
	AEGIS_MATCH_NODE = 4,    /* number of a device node */
	AEGIS_MATCH_HASH = 5,    /* digest of its content */
	AEGIS_MATCH_NET = 6,     /* address, port, protocol */
	AEGIS_MATCH_SURFACE = 7, /* the kernel's own surface */
	AEGIS_MATCH_CGROUP = 8,  /* a cgroup that is not the workload's own */
	AEGIS_MATCH_LIMIT = 9,   /* deeper than AEGIS_WALK_MAX, in a workload that subtree rules deny something to */
};

/* What a decision was made at: `aegis_event::Hook`. */
enum aegis_hook {
	AEGIS_HOOK_PROCESS = 0,
	AEGIS_HOOK_FILE_OPEN = 1,
	AEGIS_HOOK_BPRM_CHECK = 2,
	AEGIS_HOOK_SOCKET_CONNECT = 3,
	AEGIS_HOOK_NOTE = 4,
	AEGIS_HOOK_MMAP_FILE = 5,
	AEGIS_HOOK_FILE_MPROTECT = 6,
	AEGIS_HOOK_INODE_CREATE = 7, /* also mkdir, mknod, symlink */
	AEGIS_HOOK_INODE_UNLINK = 8, /* also rmdir */
	AEGIS_HOOK_INODE_RENAME = 9,
	AEGIS_HOOK_INODE_LINK = 10,
	AEGIS_HOOK_INODE_SETATTR = 11,
	AEGIS_HOOK_INODE_COPY_UP = 12,
	AEGIS_HOOK_SOCKET_CREATE = 13,
	AEGIS_HOOK_SOCKET_BIND = 14,
	AEGIS_HOOK_SOCKET_LISTEN = 15,
	AEGIS_HOOK_SOCKET_ACCEPT = 16,
	AEGIS_HOOK_SOCKET_SENDMSG = 17,
	AEGIS_HOOK_UNIX_STREAM_CONNECT = 18,
	AEGIS_HOOK_UNIX_MAY_SEND = 19,
	AEGIS_HOOK_PTRACE = 20,
	AEGIS_HOOK_MODULE = 21, /* kernel_read_file, kernel_load_data */
	AEGIS_HOOK_BPF = 22,
	AEGIS_HOOK_MOUNT = 23,  /* sb_mount, move_mount, sb_umount, sb_pivotroot */
	AEGIS_HOOK_TASK_KILL = 24,
	AEGIS_HOOK_TASK_ALLOC = 25,
	AEGIS_HOOK_PRIVILEGE = 26,
	AEGIS_HOOK_VOLUME = 27,
	AEGIS_HOOK_FLOW = 28,
	AEGIS_HOOK_PATH_NOTIFY = 29,
};

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

struct aegis_rule_name {
	__u8 name[AEGIS_RULE_NAME_MAX]; /* NUL padded */
} __attribute__((aligned(8))); /* copied in words */

/* What was decided and by what, as the kernel had it then: part of the evidence, whatever becomes of the rule set
 * afterwards. Behind the head of every record that can carry a decision. */
struct aegis_decision {
	struct aegis_rule_name rule; /* NULs: no rule matched, and all below is 0 but for `hook` and `operation` */
	__u8 operation;      /* enum aegis_operation */
	__u8 hook;           /* enum aegis_hook */
	__u8 match;          /* enum aegis_match */
	__u8 reserved;
	__u32 device;        /* of the matched key: device number of an object or tree; 0 else */
	__u64 inode;         /* its inode; a device node's number; the cgroup's id */
	__u8 policy_hash[8]; /* the first bytes of the bundle's SHA-256 */
};

struct aegis_file {
	__u64 inode;
	__u32 device; /* major << 20 | minor */
	__u32 flags;  /* open: f_flags; create: mode; setattr: ia_valid; 0 else */
	__u16 path_length; /* without NUL */
	__u16 argv_length; /* exec only */
	__u32 reserved;
	__u8 path[AEGIS_PATH_MAX];
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

/* kinds AEGIS_OPEN, AEGIS_EXEC_CHECK, AEGIS_CREATE, AEGIS_UNLINK, AEGIS_SETATTR, AEGIS_UNIX_CONNECT */
struct aegis_access {
	struct aegis_record head;
	struct aegis_decision decision;
	struct aegis_file file;
};

/* kinds AEGIS_RENAME, AEGIS_LINK */
struct aegis_rename {
	struct aegis_record head;
	struct aegis_decision decision;
	struct aegis_file file; /* as it was called before */
	__u32 reserved;
	__u16 to_truncated;     /* 1: `to` is its last component, or cut */
	__u16 to_length;
	__u8 to[AEGIS_PATH_MAX]; /* its new name */
};

struct aegis_exec {
	struct aegis_record head;
	struct aegis_file file;
	__u8 argv[AEGIS_PATH_MAX];
};

/* kinds AEGIS_CONNECT, AEGIS_BIND, AEGIS_LISTEN, AEGIS_ACCEPT, AEGIS_SOCKET. Of a socket being made: port 0 and zeros. */
struct aegis_network {
	struct aegis_record head;
	struct aegis_decision decision;
	__u16 family;
	__u16 port;     /* host order; connect, accept: the remote's, bind, listen: our own */
	__u8 protocol;
	__u8 type;      /* SOCK_* */
	__u8 reserved[2];
	__u8 address[16]; /* network order; first 4 bytes for AF_INET; zeros for another family */
};

/* kinds AEGIS_PTRACE, AEGIS_MODULE, AEGIS_BPF, AEGIS_MOUNT, AEGIS_SIGNAL, AEGIS_ESCAPE */
struct aegis_surface {
	struct aegis_record head;
	struct aegis_decision decision;
	__u32 number; /* ptrace: mode; module: enum kernel_read_file_id or kernel_load_data_id; bpf: command; mount: flags; signal */
	__u32 target; /* process id of who is traced or signalled; 0 else */
	__u16 text_length;
	__u8 reserved[6];
	__u8 text[AEGIS_TEXT_MAX]; /* module: last component of its file; mount: type, or what was called */
};

struct aegis_privilege {
	struct aegis_record head;
	__u32 old_uid;  /* effective, initial user namespace */
	__u32 new_uid;
	__u64 old_caps; /* effective */
	__u64 new_caps;
};

struct aegis_volume {
	struct aegis_record head;
	struct aegis_file file; /* path: the last component */
	__u64 read;             /* bytes */
	__u64 written;
};

struct aegis_flow {
	struct aegis_record head;
	__u16 family;
	__u16 local_port;
	__u16 remote_port;
	__u8 protocol;
	__u8 reserved;
	__u8 local[16];
	__u8 remote[16];
	__u64 received; /* bytes of payload */
	__u64 sent;
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
	__u32 ruleset[2]; /* which of the rules apply, per rule set: AEGIS_RULESET_* or a policy's workload */
	__u32 reserved;
};

/* Rules come in two sets: the idle one is filled, then swapped. Each set has six maps.
 *
 * `rules_0`, `rules_1`: HASH, struct aegis_object_key -> struct aegis_entry. */
struct aegis_object_key {
	__u64 inode;   /* of a device node: its number, as `device` has them */
	__u32 device;  /* major << 20 | minor; of a device node: AEGIS_DEVICE_BLOCK or AEGIS_DEVICE_CHARACTER */
	__u32 ruleset;
};
#define AEGIS_DEVICE_BLOCK 0xffffffff
#define AEGIS_DEVICE_CHARACTER 0xfffffffe

/* What rules say of one object: for itself, and, when it is a directory, for it and all that lies below it. */
struct aegis_entry {
	__u32 rule[AEGIS_FILE_OPERATIONS];        /* name index + 1, per operation; 0: none */
	__u32 tree_rule[AEGIS_FILE_OPERATIONS];
	__u8 effect[AEGIS_FILE_OPERATIONS];       /* enum aegis_effect, per operation */
	__u8 tree_effect[AEGIS_FILE_OPERATIONS];
	__u32 reserved;
};

/* `names_0`, `names_1`: HASH, struct aegis_name_key -> struct aegis_entry. Paths, whether there or not, below the root
 * of their file system; so a file made or put there later is covered from its first instant.
 *
 * Hashes are SipHash-1-3 (Aumasson, Bernstein; finalisation of 3 rounds) under `aegis_control.name_key` over 64-bit words:
 *   component(name) = sip(length, the name in words, little-endian, zero padded)
 *   path(0)         = sip(device, inode) of the file system's root
 *   path(n)         = sip(path(n-1), component(n)) */
struct aegis_name_key {
	__u64 hash;
	__u32 ruleset;
	/* 1: `hash` is component(last); there is a path, of a file or of a subtree, that ends so. The entry says nothing else. 0: a path */
	__u32 leaf;
};

/* `rulesets_0`, `rulesets_1`: ARRAY, AEGIS_RULESETS_MAX x struct aegis_ruleset. */
struct aegis_ruleset {
	__u32 features;  /* enum aegis_feature */
	__u32 rate;      /* events a second, of each kind (matched by a rule or not); 0: no limit */
	__u32 plain_devices[AEGIS_PLAIN_DEVICES_MAX]; /* no tree rule can be on or above these file systems; 0: none */
	__u32 surface_rule[AEGIS_SURFACE_OPERATIONS]; /* name index + 1 */
	__u8 surface_effect[AEGIS_SURFACE_OPERATIONS];
	__u8 reserved[2];
	/* The deadman: so many denials within so long, and this rule set only audits until the next policy. 0: none. */
	__u64 deadman_denials;
	__u64 deadman_window; /* ns */
	/* written by the programs */
	__u64 deadman_begun;  /* CLOCK_BOOTTIME ns of the window that runs */
	__u64 deadman_count;
	__u64 deadman_fell;   /* when it fell, CLOCK_BOOTTIME ns; 0: it did not */
};

enum aegis_feature {
	AEGIS_HAS_TREES = 1,        /* subtree rules on directories that exist */
	AEGIS_HAS_NAMES = 2,        /* paths by name */
	AEGIS_HAS_NAME_TREES = 4,   /* subtrees by name */
	AEGIS_HAS_NETS = 8,
	AEGIS_HAS_HASHES = 16,
	AEGIS_HAS_DENY_TREES = 32,  /* of the subtree rules, one denies: too deep is denied */
	AEGIS_HAS_DENIALS = 256,    /* of the rules on files, one denies */
	AEGIS_HAS_HASH_OVERRIDES = 512, /* a rule by content may allow what another denies */
	AEGIS_SELF_AUDIT = 64,      /* self-protection reports */
	AEGIS_SELF_DENY = 128,      /* self-protection denies */
	AEGIS_HAS_HASH_DENIALS = 1024, /* of the rules by content, one denies: what can't be measured is denied */
};

/* `nets_0`, `nets_1`: LPM_TRIE, struct aegis_net_key -> struct aegis_net: every rule that speaks of all of the prefix. */
struct aegis_net_key {
	__u32 prefix; /* bits that count: 64 + the address's */
	__u32 ruleset;
	__u32 family; /* AF_INET, AF_INET6; an IPv4 address in IPv6 clothes is AF_INET */
	__u8 address[16];
};

struct aegis_net_rule {
	__u32 rule;      /* name index + 1; 0: the end */
	__u16 first_port;
	__u16 last_port;
	__u8 protocol;   /* IPPROTO_*; 0: any */
	__u8 effect;
	__u8 operations; /* 1: connect, 2: bind */
	__u8 reserved;
};

struct aegis_net {
	struct aegis_net_rule rules[AEGIS_NET_RULES_MAX];
};

/* `hashes_0`, `hashes_1`: HASH, struct aegis_hash_key -> struct aegis_hash. */
struct aegis_hash_key {
	__u8 digest[32]; /* SHA-256 */
	__u32 ruleset;
	__u32 reserved;
};

struct aegis_hash {
	__u32 rule;
	__u8 effect;
	__u8 reserved[3];
};

/* `rule_names_0`, `rule_names_1`: ARRAY, AEGIS_RULE_NAMES_MAX x struct aegis_rule_name. Copied into records.
 * `workload_names`: ARRAY, mmapable, AEGIS_WORKLOADS_MAX x char[AEGIS_WORKLOAD_NAME_MAX].
 * `inbox`: ARRAY of one struct aegis_note.
 * `events`: RINGBUF of AEGIS_RING_BYTES.
 */

/* Our own names in every set, behind a policy's. */
#define AEGIS_RULE_SELFTEST 65536
#define AEGIS_RULE_SELF 65537 /* `aegis-self`: self-protection */
#define AEGIS_RULE_DEPTH 65538 /* `aegis-depth`: AEGIS_MATCH_LIMIT */

enum aegis_ability {
	AEGIS_CAN_HASH = 1, /* rules by content */
	AEGIS_CAN_WALK = 2, /* subtrees and names: bpf_loop, since 5.17 */
};

/* `control`: ARRAY of one, mmapable. `active` is the pointer that a swap flips: one aligned 32-bit store. */
struct aegis_control {
	/* These three stay where they are, whatever the ABI: who loads another one takes them over. */
	__u32 abi_version;
	__u32 agent;      /* process id of the agent; 0: none. Protected from workloads' signals and tracing */
	/* Break-glass: until then (CLOCK_BOOTTIME, ns) nothing is denied, the self-test's own rules excepted. Ends by
	 * itself, whoever is alive. 0: not broken in this boot; in the past: when the last break ended. */
	__u64 broken_until;
	__u32 active;     /* rule set in force: 0 or 1 */
	__u32 abilities;  /* enum aegis_ability: what this kernel can (docs/degraded-modes.md); user space's to read */
	__u64 policy[2];  /* sequence of the policy in each set */
	__u64 epoch[2];   /* epoch of the policy in each set */
	__u32 mode;       /* aegis_event::Mode, as proven by the self-test */
	__u32 reason;     /* aegis_event::ModeReason */
	__u32 rules[2];   /* rules of the policy in each set */
	__u32 entries[2]; /* entries filled for them */
	__u32 unresolved[2]; /* paths of the policy that are not there, and known by name only */
	__u32 uncovered[2];  /* paths of the policy that it can't be held on, or not all of it */
	__u8 policy_hash[2][32]; /* SHA-256 of the bundle in each set */
	__u64 loaded_at;  /* CLOCK_BOOTTIME ns when the probes were loaded */
	__u64 name_key[2]; /* random, of this load: who can't read it can't make names that collide */
	/* Where Aegis lives: its mount namespace (inode number of it in nsfs), and the places there that it shares with
	 * workloads, `/` first; 0: none. */
	__u64 namespace;
	__u64 common_inode[AEGIS_COMMON_MAX];
	__u32 common_device[AEGIS_COMMON_MAX];
	/* Programs that may sleep count themselves while they decide, in the half that this names. Who is to refill a set
	 * turns it and waits until nobody is left in the other half, twice: RCU does not wait for them. */
	__u32 half;
	__u8 argv[2];     /* aegis_policy::Argv of the policy in each set: user space's to read */
	__u16 reserved;
	__u64 deciding[2];
};

/* `counters`: ARRAY, mmapable, AEGIS_WORKLOADS_MAX x struct aegis_counters, updated atomically. */
struct aegis_counters {
#ifdef AEGIS_ABI_NEXT
	__u64 next;
#endif
	__u64 seen;      /* events made: reserved in the ring buffer or lost */
	__u64 ring_full; /* lost: the ring buffer had no room */
	__u64 limited;   /* lost: over the workload's rate */
	__u64 denied;
	__u64 passed;    /* decisions that would have been denials, had the glass been whole */
	__u64 fallen;    /* decisions that would have been denials, had the deadman not fallen */
	__u64 volumes_full; /* reads and writes that are not summed: of too many open files at once */
	__u64 flows_full;   /* messages that are not summed: of too many sockets at once */
	__u64 rate_begun[2]; /* the second that runs, by whether a rule matched: CLOCK_BOOTTIME ns */
	__u64 rate_count[2]; /* events made in it */
};

#endif
