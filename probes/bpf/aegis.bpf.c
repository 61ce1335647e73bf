// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* The one object: one file per hook family, compiled together, since they share maps.
 * Linux 5.14 or later (bpf_get_current_ancestor_cgroup_id in tracing programs); seen to work on 6.1 and 6.12. */
#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#include "abi.h"
#include "maps.bpf.h"
#include "record.bpf.h"
#include "rules.bpf.h"
#include "path.bpf.h"
#include "process.bpf.h"
#include "file.bpf.h"
#include "network.bpf.h"
#include "note.bpf.h"

char LICENSE[] SEC("license") = "GPL";
