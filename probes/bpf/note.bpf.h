/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Notes: an event of one of Aegis's short-lived commands, sent through the same ring and the same books as all others.
 */

enum { NOTE_SENT = 0, NOTE_LOST = 1, NOTE_INVALID = 2 };

static __always_inline int try_note(void)
{
	struct subject subject = {};
	struct aegis_note *note, *record;
	__u32 zero = 0, length;

	note = bpf_map_lookup_elem(&inbox, &zero);
	subject.counters = bpf_map_lookup_elem(&counters, &subject.slot);
	if (!note || !subject.counters || !read_control(&subject))
		return NOTE_INVALID;
	length = note->note_length;
	if (!length || length > AEGIS_NOTE_MAX)
		return NOTE_INVALID;
	record = reserve_record(&subject, struct aegis_note, false);
	if (!record)
		return NOTE_LOST;
	RUN(fill_head(&record->head, &subject, AEGIS_NOTE, sizeof(*record)));
	record->note_length = length;
	record->reserved = 0;
	bpf_probe_read_kernel(record->note, sizeof(record->note), note->note);
	bpf_ringbuf_submit(record, 0);
	return NOTE_SENT;
}

/* Attached to nothing: run by BPF_PROG_TEST_RUN (raw_tp since 5.10, net/bpf/test_run.c:bpf_prog_test_run_raw_tp). */
SEC("raw_tp")
int note(void *ctx)
{
	return try_note();
}
