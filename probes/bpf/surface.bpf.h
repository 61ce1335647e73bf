/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * The kernel's own surface: modules and bpf(2), which nobody has whom Aegis guards itself from. (Mounts: mounts.bpf.h; other
 * tasks: tasks.bpf.h.)
 */

/* The first eight characters of `release_agent`, as they are read: little-endian. */
#define RELEASE_ 0x5f657361656c6572ULL

/* What a record says besides its decision. */
struct saying {
	__u16 kind;
	__u16 length; /* of `text` */
	__u32 number;
	__u32 target;
	bool enforce;
	const void *kernel_text; /* instead of `text`; 0: none */
	char text[16];
};

#define TEXT(string) .text = string, .length = sizeof(string) - 1

static __noinline int report_surface(struct subject *subject, struct decision *decision, struct saying *saying)
{
	struct aegis_surface *record;

	judge(subject, decision);
	RUN(temper(subject, decision, saying->enforce));
	count_decision(subject, decision);
	record = reserve_record(subject, struct aegis_surface, !!rule_of(decision));
	if (record) {
		RUN(fill_head(&record->head, subject, saying->kind, sizeof(*record)));
		RUN(fill_decision(&record->head, &record->decision, subject, decision));
		record->number = saying->number;
		record->target = saying->target;
		record->text_length = saying->length;
		__builtin_memset(record->reserved, 0, sizeof(record->reserved));
		__builtin_memcpy(record->text, saying->text, sizeof(saying->text));
		if (saying->kernel_text) {
			long read = bpf_probe_read_kernel_str(record->text, sizeof(record->text), saying->kernel_text);

			record->text_length = read > 0 && read <= sizeof(record->text) ? read - 1 : 0;
		}
		bpf_ringbuf_submit(record, 0);
	}
	return answer(decision);
}

/* What no rule of the policy's speaks of: Aegis guards itself against it. */
static __always_inline int report_self(struct subject *subject, enum aegis_operation operation, __u8 match,
				       struct saying *saying)
{
	struct decision decision = { .operation = operation };

	take_self(subject, &decision, match, 0);
	return report_surface(subject, &decision, saying);
}

static __always_inline int try_module(struct file *file, __u32 id, bool enforce)
{
	struct saying saying = { .kind = AEGIS_MODULE, .number = id, .enforce = enforce, TEXT("memory") };
	struct decision decision = {};
	struct subject subject = {};
	struct dentry *dentry;

	/* The two enumerations are generated from one list (include/linux/kernel_read_file.h). */
	if (id != bpf_core_enum_value(enum kernel_read_file_id, READING_MODULE) &&
	    id != bpf_core_enum_value(enum kernel_read_file_id, READING_KEXEC_IMAGE) &&
	    !(bpf_core_enum_value_exists(enum kernel_read_file_id, READING_MODULE_COMPRESSED) &&
	      id == bpf_core_enum_value(enum kernel_read_file_id, READING_MODULE_COMPRESSED)))
		return 0;
	if (!subject_of_current(&subject, AEGIS_HOOK_MODULE))
		return 0;
	if (file) {
		dentry = BPF_CORE_READ(file, f_path.dentry);
		saying.kernel_text = name_of(dentry);
	}
	take_surface(&subject, &decision, AEGIS_OP_MODULE);
	return report_surface(&subject, &decision, &saying);
}

/* int security_kernel_read_file(struct file *file, enum kernel_read_file_id id, bool contents), security/security.c;
 * contents since 5.10. finit_module(2), kexec_file_load(2). */
SEC("lsm/kernel_read_file")
int BPF_PROG(module_file, struct file *file, unsigned int id)
{
	return try_module(file, id, true);
}

SEC("fentry/security_kernel_read_file")
int BPF_PROG(module_file_watch, struct file *file, unsigned int id)
{
	try_module(file, id, false);
	return 0;
}

/* int security_kernel_load_data(enum kernel_load_data_id id, bool contents), security/security.c, since 4.18.
 * init_module(2), kexec_load(2). */
SEC("lsm/kernel_load_data")
int BPF_PROG(module_data, unsigned int id)
{
	return try_module(NULL, id, true);
}

SEC("fentry/security_kernel_load_data")
int BPF_PROG(module_data_watch, unsigned int id)
{
	try_module(NULL, id, false);
	return 0;
}

/* int security_kernel_module_request(char *kmod_name), security/security.c, since 2.6.30. kernel/module/kmod.c: a module that
 * the kernel wants for what somebody asked (a protocol, a file system). */
SEC("lsm/kernel_module_request")
int BPF_PROG(module_request, char *name)
{
	struct saying saying = { .kind = AEGIS_MODULE, .kernel_text = name, .enforce = true };
	struct decision decision = {};
	struct subject subject = {};

	if (!subject_of_current(&subject, AEGIS_HOOK_MODULE))
		return 0;
	take_surface(&subject, &decision, AEGIS_OP_MODULE);
	return report_surface(&subject, &decision, &saying);
}

static __always_inline int try_bpf(int command, bool enforce)
{
	struct saying saying = { .kind = AEGIS_BPF, .number = command, .enforce = enforce };
	struct decision decision = {};
	struct subject subject = {};

	if (!subject_of_current(&subject, AEGIS_HOOK_BPF))
		return 0;
	take_surface(&subject, &decision, AEGIS_OP_BPF);
	take_self(&subject, &decision, AEGIS_MATCH_SURFACE, 0);
	return report_surface(&subject, &decision, &saying);
}

/* int security_bpf(int cmd, union bpf_attr *attr, unsigned int size), security/security.c, since 4.15; more arguments
 * behind these since 6.15. */
SEC("lsm/bpf")
int BPF_PROG(bpf_call, int command)
{
	return try_bpf(command, true);
}

SEC("fentry/security_bpf")
int BPF_PROG(bpf_call_watch, int command)
{
	try_bpf(command, false);
	return 0;
}
