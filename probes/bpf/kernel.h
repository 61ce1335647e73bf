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
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum {
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1 << 0,
	BPF_F_MMAPABLE = 1 << 10,
};

#define EPERM 1   /* include/uapi/asm-generic/errno-base.h */
#define EEXIST 17
#define AF_INET 2 /* include/linux/socket.h */
#define AF_INET6 10
#define FMODE_READ 0x1  /* include/linux/fs.h */
#define FMODE_WRITE 0x2
#define FMODE_EXEC 0x20 /* in f_flags: opened by execve(2) or for it; VALID_OPEN_FLAGS keeps user space from it */
#define SIGNAL_GROUP_EXIT 0x4 /* include/linux/sched/signal.h */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct super_block {
	__u32 s_dev; /* dev_t: major << 20 | minor */
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct qstr {
	__u32 len; /* in an anonymous union */
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount { /* fs/mount.h */
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
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

struct linux_binprm {
	struct file *file;
	const char *filename; /* as given to execve(2) */
	const char *interp;   /* of what `file` is: the script's interpreter, or the same as filename */
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
};

struct signal_struct {
	atomic_t live;
	unsigned int flags;
	int group_exit_code;
};

struct task_struct {
	int pid;
	int tgid;
	int exit_code;
	__u64 start_time;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct signal_struct *signal;
	struct mm_struct *mm;
	struct fs_struct *fs;
};

struct sock {
	__u16 sk_protocol; /* a bit field before 5.6 */
};

struct socket {
	struct sock *sk;
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
