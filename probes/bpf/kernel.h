/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The kernel types the probes read, and only the fields they read. Offsets are relocated at load time against the
 * running kernel's BTF (CO-RE), so order and padding here mean nothing; names and types must be the kernel's.
 */
#ifndef AEGIS_KERNEL_H
#define AEGIS_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __le16;
typedef __u32 __le32;
typedef __u64 __le64;
typedef __u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

/* include/uapi/linux/bpf.h */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum {
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1 << 0,
	BPF_F_MMAPABLE = 1 << 10,
};

#define EPERM 1   /* include/uapi/asm-generic/errno-base.h */
#define EEXIST 17
#define AF_UNIX 1 /* include/linux/socket.h */
#define AF_UNSPEC 0
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6   /* include/uapi/linux/in.h */
#define IPPROTO_UDP 17
#define IPPROTO_MPTCP 262
#define TCP_ESTABLISHED 1 /* include/net/tcp_states.h */
#define TCPF_OPEN (1 << 1 | 1 << 8) /* established, close-wait: more can be sent */
#define TCPF_FIN (1 << 4 | 1 << 9 | 1 << 11) /* fin-wait-1, last-ack, closing: our own FIN is the last */
#define SOCK_DONE 1 /* enum sock_flags, include/net/sock.h */
#define FMODE_READ 0x1  /* include/linux/fs.h */
#define FMODE_WRITE 0x2
#define FMODE_EXEC 0x20 /* in f_flags: opened by execve(2) or for it; VALID_OPEN_FLAGS keeps user space from it */
#define ATTR_MODE (1 << 0) /* include/linux/fs.h */
#define ATTR_UID (1 << 1)
#define ATTR_GID (1 << 2)
#define ATTR_SIZE (1 << 3)
#define ATTR_ATIME_SET (1 << 7)
#define ATTR_MTIME_SET (1 << 8)
#define ATTR_TOUCH (1 << 17)
#define S_IFMT 00170000 /* include/uapi/linux/stat.h */
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define DCACHE_DISCONNECTED 0x20 /* include/linux/dcache.h */
#define PROT_EXEC 0x4 /* include/uapi/asm-generic/mman-common.h */
#define VM_EXEC 0x4   /* include/linux/mm.h */
#define PTRACE_MODE_ATTACH 0x2 /* include/linux/ptrace.h */
#define MS_REMOUNT 32 /* include/uapi/linux/mount.h */
#define MS_BIND 4096
#define MS_MOVE 8192
#define MS_PROPAGATION (1 << 17 | 1 << 18 | 1 << 19 | 1 << 20) /* unbindable, private, slave, shared */
#define MSG_PEEK 2 /* include/linux/socket.h */
#define MSG_ERRQUEUE 0x2000
#define CLONE_INTO_CGROUP 0x200000000ULL /* include/uapi/linux/sched.h */
#define CGROUP2_SUPER_MAGIC 0x63677270 /* include/uapi/linux/magic.h */
#define PROC_SUPER_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572
#define CGROUP_SUPER_MAGIC 0x27e0eb
#define BINFMTFS_MAGIC 0x42494e4d
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#define FIFREEZE 0xc0045877 /* include/uapi/linux/fs.h */
#define FITHAW 0xc0045878
#define FS_IOC_SHUTDOWN 0x8004587d
#define FS_PERMISSION_EVENTS (0x10000 | 0x20000 | 0x40000 | 0x100000) /* include/linux/fsnotify_backend.h: open, access, open
	to execute; before access, since 6.14 */
#define IPPROTO_SMC 256 /* include/uapi/linux/in.h, since 6.11 */
#define AF_SMC 43
#define SIGNAL_GROUP_EXIT 0x4 /* include/linux/sched/signal.h */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct list_head {
	struct list_head *next;
};

struct super_block {
	__u32 s_dev; /* dev_t: major << 20 | minor */
	unsigned long s_magic;
	struct dentry *s_root;
	struct list_head s_mounts; /* of struct mount, by mnt_instance */
};

struct inode {
	__u16 i_mode;
	__u32 i_rdev;
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct qstr {
	__u32 len; /* in an anonymous union */
	const unsigned char *name;
};

struct dentry {
	unsigned int d_flags;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
};

struct dentry___aliased { /* since 6.16: d_name is a constant view of it */
	struct dentry *d_parent;
	struct qstr __d_name;
};

struct super_block___listed { /* since 6.18: of the mounts the first */
	struct mount *s_mounts;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount { /* fs/mount.h */
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
	struct list_head mnt_share; /* of its peers */
	struct list_head mnt_slave_list; /* of those that get what comes to it; a list with one end (hlist_head) since 6.17 */
	struct list_head mnt_instance; /* before 6.18 */
	struct mount *mnt_next_for_sb; /* since */
};

struct file_system_type {
	const char *name;
};

struct fs_context {
	struct file_system_type *fs_type;
};

struct fs_parameter {
	const char *key;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct fs_struct {
	struct path root;
};

struct file {
	unsigned int f_mode;
	unsigned int f_flags;
	struct path f_path;
	struct inode *f_inode;
};

struct vm_area_struct {
	struct file *vm_file;
	unsigned long vm_flags;
};

struct iattr {
	unsigned int ia_valid;
};

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u64 val; /* two words before 6.3: read as a whole */
} kernel_cap_t;

struct cred {
	kuid_t euid;
	kernel_cap_t cap_effective;
};

struct linux_binprm {
	struct file *file;
	struct cred *cred;
	const char *filename; /* as given to execve(2) */
	const char *interp;   /* of what `file` is: the script's interpreter, or the same as filename */
};

struct mm_struct {
	struct file *exe_file;
	unsigned long arg_start;
	unsigned long arg_end;
};

struct signal_struct {
	atomic_t live;
	unsigned int flags;
	int group_exit_code;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	__u64 ancestor_ids[1]; /* before 6.1 */
	struct cgroup *ancestors[1]; /* since */
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct ns_common {
	unsigned int inum;
};

struct mnt_namespace { /* fs/mount.h */
	struct ns_common ns;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct pid {
	struct hlist_head tasks[1]; /* by enum pid_type: PIDTYPE_PID is 0 */
};

struct proc_inode { /* fs/proc/internal.h */
	struct pid *pid; /* NULL: of no process */
	struct inode vfs_inode;
};

struct task_struct {
	int pid;
	int tgid;
	int exit_code;
	unsigned in_execve : 1;
	__u64 start_time;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct signal_struct *signal;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
	struct hlist_node pid_links[1]; /* as struct pid has them */
	const struct cred *cred;
};

struct in6_addr_kernel {
	__u8 bytes[16];
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	unsigned char skc_state;
	unsigned long skc_flags;
	struct in6_addr_kernel skc_v6_daddr;
	struct in6_addr_kernel skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol; /* a bit field before 5.6 */
	__u16 sk_type;
};

struct socket {
	short type;
	struct sock *sk;
};

struct tcp_sock {
	__u64 bytes_received;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u32 write_seq;
	__u32 snd_nxt;
};

struct unix_sock {
	struct path path;
};

struct ovl_path { /* fs/overlayfs/ovl_entry.h; in the kernel's own types only where overlayfs is no module */
	struct dentry *dentry;
};

struct ovl_entry { /* since 6.5 by itself */
	struct ovl_path __lowerstack[1];
};

struct ovl_inode {
	struct dentry *__upperdentry;
	struct inode vfs_inode;
	struct ovl_entry *oe;
};

struct msghdr {
	void *msg_name;
	int msg_namelen;
};

enum bpf_func_id {
	BPF_FUNC_loop = 181, /* since 5.17 */
};

enum kernel_read_file_id {
	READING_FIRMWARE = 1,
	READING_MODULE = 2,
	READING_KEXEC_IMAGE = 3,
	READING_MODULE_COMPRESSED = 8, /* newer kernels */
};

enum kernel_load_data_id {
	LOADING_FIRMWARE = 1,
	LOADING_MODULE = 2,
	LOADING_KEXEC_IMAGE = 3,
};

#pragma clang attribute pop

/* Not relocated: user-space ABI, the layout is fixed (include/uapi/linux/in.h, in6.h). */
struct sockaddr;
struct sockaddr_in {
	__u16 sin_family;
	__be16 sin_port;
	__u8 sin_addr[4];
	__u8 sin_zero[8];
};
struct sockaddr_in6 {
	__u16 sin6_family;
	__be16 sin6_port;
	__u32 sin6_flowinfo;
	__u8 sin6_addr[16];
	__u32 sin6_scope_id;
};
#define SIN6_LEN_MIN 24 /* SIN6_LEN_RFC2133, include/net/ipv6.h: without sin6_scope_id */

#endif
