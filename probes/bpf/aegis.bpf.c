// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* The one object: one file per hook family, compiled together, since they share maps.
 * Linux 5.10 or later; which hooks each kernel has: docs/degraded-modes.md. */
#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#include "abi.h"
#include "maps.bpf.h"
#include "dentry.bpf.h"
#include "record.bpf.h"
#include "sip.bpf.h"
#include "rules.bpf.h"
#include "walk.bpf.h"
#include "path.bpf.h"
#include "access.bpf.h"
#include "process.bpf.h"
#include "surface.bpf.h"
#include "mounts.bpf.h"
#include "tasks.bpf.h"
#include "kernelfs.bpf.h"
#include "file.bpf.h"
#include "exec.bpf.h"
#include "inode.bpf.h"
#include "network.bpf.h"
#include "volume.bpf.h"
#include "note.bpf.h"

char LICENSE[] SEC("license") = "GPL";
