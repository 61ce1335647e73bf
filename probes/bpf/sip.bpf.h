/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * SipHash-1-3 (Aumasson, Bernstein, "SipHash: a fast short-input PRF") over whole 64-bit words, under the key of this load.
 * What is hashed: abi.h, `struct aegis_name_key`. Global functions: the verifier looks at each once, not at each call.
 */
#ifndef AEGIS_SIP_BPF_H
#define AEGIS_SIP_BPF_H

struct sip {
	__u64 a, b, c, d;
};

#define ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))

static __always_inline void sip_round(struct sip *s)
{
	s->a += s->b;
	s->b = ROTATE(s->b, 13) ^ s->a;
	s->a = ROTATE(s->a, 32);
	s->c += s->d;
	s->d = ROTATE(s->d, 16) ^ s->c;
	s->a += s->d;
	s->d = ROTATE(s->d, 21) ^ s->a;
	s->c += s->b;
	s->b = ROTATE(s->b, 17) ^ s->c;
	s->c = ROTATE(s->c, 32);
}

static __always_inline void sip_word(struct sip *s, __u64 word)
{
	s->d ^= word;
	sip_round(s);
	s->a ^= word;
}

static __always_inline struct sip sip_begin(void)
{
	struct aegis_control *page = control_page();
	__u64 k0 = page ? page->name_key[0] : 0, k1 = page ? page->name_key[1] : 0;
	struct sip s = {
		.a = k0 ^ 0x736f6d6570736575ULL,
		.b = k1 ^ 0x646f72616e646f6dULL,
		.c = k0 ^ 0x6c7967656e657261ULL,
		.d = k1 ^ 0x7465646279746573ULL,
	};
	return s;
}

static __always_inline __u64 sip_end(struct sip *s, __u64 words)
{
	sip_word(s, words * 8 << 56);
	s->c ^= 0xff;
	sip_round(s);
	sip_round(s);
	sip_round(s);
	return s->a ^ s->b ^ s->c ^ s->d;
}

/* sip(a, b) */
__noinline __u64 sip_pair(__u64 a, __u64 b)
{
	struct sip s = sip_begin();

	sip_word(&s, a);
	sip_word(&s, b);
	return sip_end(&s, 2);
}

struct component {
	struct sip sip;
	__u64 name;
	__u32 length;
	__u32 reserved;
};

/* One word of a name; 1: the last. A name's room is a multiple of 8 only by chance: not a byte behind its end is read. */
static long sip_name_word(__u32 index, struct component *component)
{
	__u32 at = index * 8, left = component->length - at;
	__u64 word = 0;

	if (at >= component->length)
		return 1;
	bpf_probe_read_kernel(&word, left < 8 ? left & 7 : 8, (void *)component->name + at);
	sip_word(&component->sip, word);
	return 0;
}

__noinline __u64 sip_long_name(__u64 name, __u32 length)
{
	struct component component = { .sip = sip_begin(), .name = name, .length = length };

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop))
		return 0; /* nobody asks */
	sip_word(&component.sip, length);
	bpf_loop(AEGIS_PATH_MAX / 8, sip_name_word, &component, 0);
	return sip_end(&component.sip, 1 + (length + 7) / 8);
}

/* Words of a name that are read at once: most have no more. */
#define NAME_WORDS 4

__noinline __u64 sip_short_name(__u64 name, __u32 length)
{
	__u64 words[NAME_WORDS] = {};
	struct sip sip = sip_begin();

	bpf_probe_read_kernel(words, length < sizeof(words) ? length & (sizeof(words) - 1) : sizeof(words), (void *)name);
	sip_word(&sip, length);
#pragma unroll
	for (int i = 0; i < NAME_WORDS; i++)
		if (length > i * 8)
			sip_word(&sip, words[i]);
	return sip_end(&sip, 1 + (length + 7) / 8);
}

/* component(name of so many bytes at this address): sip(length, the name in words) */
static __always_inline __u64 sip_component(__u64 name, __u32 length)
{
	return length > NAME_WORDS * 8 ? sip_long_name(name, length) : sip_short_name(name, length);
}

#endif
