/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The hash of `bpf/sip.bpf.h`, as it is, for this machine instead of the kernel's: `sip.rs` compiles it, hands it names, and
 * holds its answers against the standard library's. Stands in for the kernel's helpers.
 */
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define bpf_core_enum_value_exists(type, value) 1

#include "abi.h"

static struct aegis_control *control_page(void)
{
	return NULL; /* the key is 0 */
}
static long bpf_probe_read_kernel(void *to, __u32 bytes, const void *from)
{
	memcpy(to, from, bytes);
	return 0;
}
static long bpf_loop(__u32 most, void *step, void *context, __u64 flags)
{
	for (__u32 at = 0; at < most; at++)
		if (((long (*)(__u32, void *))step)(at, context))
			return at + 1;
	return most;
}

#include "sip.bpf.h"

#define PAGE 4096

/* In: length (u8), the name; again. Out, of each: component(name), and sip(its length, that). Behind a name is nothing: who reads
 * there is ended. */
int main(void)
{
	unsigned char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED || mprotect(pages + PAGE, PAGE, PROT_NONE))
		return 2;
	for (int length; (length = getchar()) != EOF;) {
		unsigned char *name = pages + PAGE - length;
		__u64 said[2];

		if (fread(name, 1, length, stdin) != (size_t)length)
			return 2;
		said[0] = sip_component((__u64)name, length);
		said[1] = sip_pair(length, said[0]);
		fwrite(said, sizeof(said), 1, stdout);
	}
	return 0;
}
