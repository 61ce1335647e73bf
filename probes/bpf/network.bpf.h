/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Network: connecting a socket, IPv4 and IPv6. Watched; no rule speaks of it yet.
 */

static __always_inline void try_connect(struct socket *sock, const void *address, int length)
{
	struct subject subject = {};
	struct aegis_connect *record;
	struct sockaddr_in6 remote = {}; /* the larger of the two */
	__u16 family = 0;

	if (length < (int)sizeof(struct sockaddr_in))
		return;
	if (!subject_of_current(&subject, AEGIS_HOOK_CONNECT))
		return;
	/* The kernel's copy of the address (net/socket.c:move_addr_to_kernel): the caller can't change it any more. */
	bpf_probe_read_kernel(&family, sizeof(family), address);
	if (family != AF_INET && (family != AF_INET6 || length < SIN6_LEN_MIN))
		return;
	record = reserve_record(&subject, struct aegis_connect);
	if (!record)
		return;
	fill_head(&record->head, &subject, AEGIS_CONNECT, sizeof(*record));
	record->family = family;
	record->protocol = BPF_CORE_READ(sock, sk, sk_protocol); /* newer verifiers: sk may be NULL */
	__builtin_memset(record->reserved, 0, sizeof(record->reserved));
	__builtin_memset(record->address, 0, sizeof(record->address));
	bpf_probe_read_kernel(&remote, SIN6_LEN_MIN, address);
	record->port = bpf_ntohs(remote.sin6_port);
	if (family == AF_INET)
		__builtin_memcpy(record->address, ((struct sockaddr_in *)&remote)->sin_addr, 4);
	else
		__builtin_memcpy(record->address, remote.sin6_addr, 16);
	bpf_ringbuf_submit(record, 0);
}

/* int security_socket_connect(struct socket *sock, struct sockaddr *address, int addrlen), security/security.c,
 * since 2.6. net/socket.c:__sys_connect_file. UDP too; TCP fast open by sendto(2) does not come here. */
SEC("lsm/socket_connect")
int BPF_PROG(socket_connect, struct socket *sock, struct sockaddr *address, int length)
{
	try_connect(sock, address, length);
	return 0;
}

SEC("fentry/security_socket_connect")
int BPF_PROG(socket_connect_watch, struct socket *sock, struct sockaddr *address, int length)
{
	try_connect(sock, address, length);
	return 0;
}
