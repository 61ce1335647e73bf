/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * Network: sockets made, connected, bound, listening and accepted; messages to an address; IPv4 and IPv6. Decided by
 * address, port and protocol.
 */

#define NET_CONNECT 1 /* aegis_net_rule.operations */
#define NET_BIND 2

/* One end of a connection. An IPv4 address in IPv6 clothes (::ffff:a.b.c.d) is what it is. */
struct endpoint {
	__u8 address[16];
	__u16 family;
	__u16 port;
	__u8 protocol;
	__u8 type;
};

static __always_inline void unmap_address(struct endpoint *end)
{
	__u64 *words = (__u64 *)end->address;
	__u32 *quarters = (__u32 *)end->address;

	if (words[0] == 0 && quarters[2] == bpf_htonl(0xffff)) {
		end->family = AF_INET;
		quarters[0] = quarters[3];
		words[1] = 0;
		quarters[1] = 0;
	}
}

static __always_inline void socket_of(struct endpoint *end, struct sock *sk)
{
	__u16 protocol = BPF_CORE_READ(sk, sk_protocol);

	/* What is TCP under another name, or falls back to it. */
	if (protocol == IPPROTO_MPTCP || protocol == IPPROTO_SMC ||
	    BPF_CORE_READ(sk, __sk_common.skc_family) == AF_SMC)
		protocol = IPPROTO_TCP;
	end->protocol = protocol;
	end->type = BPF_CORE_READ(sk, sk_type);
}

/* The kernel's copy of an address (net/socket.c:move_addr_to_kernel): the caller can't change it any more. */
static __always_inline bool read_address(struct endpoint *end, const void *address, int length, bool four)
{
	struct sockaddr_in6 found = {}; /* the larger of the two */

	if (length < (int)sizeof(struct sockaddr_in))
		return false;
	bpf_probe_read_kernel(&end->family, sizeof(end->family), address);
	/* No family is IPv4 to an IPv4 socket that is bound or sent by (net/ipv4/af_inet.c:__inet_bind,
	 * net/ipv4/udp.c:udp_sendmsg); connected to, it is the end of a connection. */
	if (end->family == AF_UNSPEC && four)
		end->family = AF_INET;
	if (end->family != AF_INET && (end->family != AF_INET6 || length < SIN6_LEN_MIN))
		return false;
	bpf_probe_read_kernel(&found, end->family == AF_INET ? sizeof(struct sockaddr_in) : SIN6_LEN_MIN, address);
	end->port = bpf_ntohs(found.sin6_port);
	if (end->family == AF_INET) {
		__builtin_memcpy(end->address, ((struct sockaddr_in *)&found)->sin_addr, 4);
	} else {
		__builtin_memcpy(end->address, found.sin6_addr, 16);
		unmap_address(end);
	}
	return true;
}

/* What the rules of a set say of one end, to be judged. Global, as `decide` is. */
__noinline int decide_net(__u32 set, __u32 ruleset, const struct endpoint *end, struct decision *decision)
{
	struct aegis_net_key key = {};
	struct aegis_net *net;
	__u8 bit;

	if (!end || !decision)
		return DONE;
	bit = decision->operation == AEGIS_OP_CONNECT ? NET_CONNECT : NET_BIND;
	key.ruleset = ruleset;
	key.family = end->family;
	key.prefix = end->family == AF_INET ? 64 + 32 : 64 + 128;
	__builtin_memcpy(key.address, end->address, 16);
	net = set ? bpf_map_lookup_elem(&nets_1, &key) : bpf_map_lookup_elem(&nets_0, &key);
	if (!net)
		return DONE;
#pragma unroll
	for (int i = 0; i < AEGIS_NET_RULES_MAX; i++) {
		struct aegis_net_rule *rule = &net->rules[i];
		__u64 below = (__u64)end->port - rule->first_port, above = (__u64)rule->last_port - end->port;
		__u64 differs; /* 0: the rule speaks of this; reckoned without a branch, as in take() */

		differs = (below | above) >> 63;
		differs |= rule->protocol * (rule->protocol ^ end->protocol);
		differs |= bit & ~rule->operations;
		take(decision, rule->rule, rule->effect & same(differs, 0), AEGIS_MATCH_NET, 0, 0);
	}
	return DONE;
}

static __always_inline void decide_end(const struct subject *subject, const struct endpoint *end,
				       struct decision *decision)
{
	if (!(subject->features & AEGIS_HAS_NETS))
		return;
	RUN(decide_net(subject->set, subject->ruleset, end, decision));
	judge(subject, decision);
}

static __noinline int report_net(struct subject *subject, struct decision *decision, __u16 kind,
				 const struct endpoint *end)
{
	struct aegis_network *record;

	count_decision(subject, decision);
	record = reserve_record(subject, struct aegis_network, !!rule_of(decision));
	if (record) {
		RUN(fill_head(&record->head, subject, kind, sizeof(*record)));
		RUN(fill_decision(&record->head, &record->decision, subject, decision));
		record->family = end->family;
		record->port = end->port;
		record->protocol = end->protocol;
		record->type = end->type;
		record->reserved[0] = record->reserved[1] = 0;
		__builtin_memcpy(record->address, end->address, 16);
		bpf_ringbuf_submit(record, 0);
	}
	return answer(decision);
}

static __always_inline int try_address(struct socket *sock, const void *address, int length, enum aegis_hook hook,
				       __u16 kind, __u8 operation, bool enforce)
{
	struct subject subject = {};
	struct endpoint end = {};
	struct decision decision = { .operation = operation };
	struct sock *sk = BPF_CORE_READ(sock, sk); /* newer verifiers: it may be NULL */
	bool four = hook != AEGIS_HOOK_SOCKET_CONNECT && BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET;

	if (!subject_of_current(&subject, hook) || !read_address(&end, address, length, four))
		return 0;
	socket_of(&end, sk);
	decide_end(&subject, &end, &decision);
	/* Of messages there are as many as there like to be: told where a rule speaks of them. */
	if (hook == AEGIS_HOOK_SOCKET_SENDMSG && !rule_of(&decision))
		return 0;
	RUN(temper(&subject, &decision, enforce));
	return report_net(&subject, &decision, kind, &end);
}

/* int security_socket_connect(struct socket *sock, struct sockaddr *address, int addrlen), security/security.c,
 * since 2.6. net/socket.c:__sys_connect_file. UDP too. */
SEC("lsm/socket_connect")
int BPF_PROG(socket_connect, struct socket *sock, struct sockaddr *address, int length)
{
	return try_address(sock, address, length, AEGIS_HOOK_SOCKET_CONNECT, AEGIS_CONNECT, AEGIS_OP_CONNECT, true);
}

SEC("fentry/security_socket_connect")
int BPF_PROG(socket_connect_watch, struct socket *sock, struct sockaddr *address, int length)
{
	try_address(sock, address, length, AEGIS_HOOK_SOCKET_CONNECT, AEGIS_CONNECT, AEGIS_OP_CONNECT, false);
	return 0;
}

/* int security_socket_bind(struct socket *sock, struct sockaddr *address, int addrlen), security/security.c, since 2.6. */
SEC("lsm/socket_bind")
int BPF_PROG(socket_bind, struct socket *sock, struct sockaddr *address, int length)
{
	return try_address(sock, address, length, AEGIS_HOOK_SOCKET_BIND, AEGIS_BIND, AEGIS_OP_BIND, true);
}

SEC("fentry/security_socket_bind")
int BPF_PROG(socket_bind_watch, struct socket *sock, struct sockaddr *address, int length)
{
	try_address(sock, address, length, AEGIS_HOOK_SOCKET_BIND, AEGIS_BIND, AEGIS_OP_BIND, false);
	return 0;
}

/* Bytes of a socket that does not count them itself: all but TCP. Of MPTCP those that count are sockets of the kernel's own. */
static __always_inline void count_traffic(const struct subject *subject, struct sock *sk, __u64 received, __u64 sent)
{
	struct traffic fresh = {}, *traffic;
	__u64 key = (__u64)sk;

	if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP)
		return;
	traffic = bpf_map_lookup_elem(&traffics, &key);
	if (!traffic) {
		bpf_map_update_elem(&traffics, &key, &fresh, BPF_NOEXIST);
		traffic = bpf_map_lookup_elem(&traffics, &key);
	}
	if (!traffic) {
		__sync_fetch_and_add(&subject->counters->flows_full, 1);
		return;
	}
	/* Of an addition of 0 the compiler makes an atomic operation that kernels before 5.12 do not know. */
	if (received)
		__sync_fetch_and_add(&traffic->received, received);
	if (sent)
		__sync_fetch_and_add(&traffic->sent, sent);
}

static __always_inline int try_sendmsg(struct socket *sock, struct msghdr *msg, int size, bool enforce)
{
	void *name = BPF_CORE_READ(msg, msg_name);
	int answered = 0;

	/* UDP, and TCP fast open: both connect without connect(2). */
	if (name)
		answered = try_address(sock, name, BPF_CORE_READ(msg, msg_namelen), AEGIS_HOOK_SOCKET_SENDMSG,
				       AEGIS_CONNECT, AEGIS_OP_CONNECT, enforce);
	return answered;
}

/* int security_socket_sendmsg(struct socket *sock, struct msghdr *msg, int size), security/security.c, since 2.6.
 * net/socket.c:sock_sendmsg, for every message. */
SEC("lsm/socket_sendmsg")
int BPF_PROG(socket_sendmsg, struct socket *sock, struct msghdr *msg, int size)
{
	return try_sendmsg(sock, msg, size, true);
}

SEC("fentry/security_socket_sendmsg")
int BPF_PROG(socket_sendmsg_watch, struct socket *sock, struct msghdr *msg, int size)
{
	try_sendmsg(sock, msg, size, false);
	return 0;
}

/* Our own end of a socket. */
static __noinline int own_end(struct endpoint *end, struct sock *sk)
{
	end->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	end->port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (end->family == AF_INET) {
		bpf_core_read(end->address, 4, &sk->__sk_common.skc_rcv_saddr);
	} else if (end->family == AF_INET6) {
		bpf_core_read(end->address, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		unmap_address(end);
	}
	socket_of(end, sk);
	return DONE;
}

/* The other end. */
static __noinline int other_end(struct endpoint *end, struct sock *sk)
{
	end->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	end->port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (end->family == AF_INET) {
		bpf_core_read(end->address, 4, &sk->__sk_common.skc_daddr);
	} else if (end->family == AF_INET6) {
		bpf_core_read(end->address, 16, &sk->__sk_common.skc_v6_daddr);
		unmap_address(end);
	}
	socket_of(end, sk);
	return DONE;
}

static __always_inline bool is_inet(__u16 family)
{
	return family == AF_INET || family == AF_INET6;
}

static __always_inline int try_listen(struct socket *sock, bool enforce)
{
	struct subject subject = {};
	struct endpoint end = {};
	struct decision decision = { .operation = AEGIS_OP_BIND };

	if (!subject_of_current(&subject, AEGIS_HOOK_SOCKET_LISTEN))
		return 0;
	RUN(own_end(&end, BPF_CORE_READ(sock, sk)));
	if (!is_inet(end.family))
		return 0;
	decide_end(&subject, &end, &decision);
	RUN(temper(&subject, &decision, enforce));
	return report_net(&subject, &decision, AEGIS_LISTEN, &end);
}

/* int security_socket_listen(struct socket *sock, int backlog), security/security.c, since 2.6. What was not bound gets its
 * port only afterwards: 0 here. */
SEC("lsm/socket_listen")
int BPF_PROG(socket_listen, struct socket *sock, int backlog)
{
	return try_listen(sock, true);
}

SEC("fentry/security_socket_listen")
int BPF_PROG(socket_listen_watch, struct socket *sock, int backlog)
{
	try_listen(sock, false);
	return 0;
}

/* int security_socket_create(int family, int type, int protocol, int kern), security/security.c, since 2.6. Watched. */
SEC("fentry/security_socket_create")
int BPF_PROG(socket_create, int family, int type, int protocol, int kern)
{
	struct subject subject = {};
	struct decision decision = {};
	struct endpoint end = { .family = family, .type = type & 0xf, .protocol = protocol };

	if (kern || !subject_of_current(&subject, AEGIS_HOOK_SOCKET_CREATE))
		return 0;
	report_net(&subject, &decision, AEGIS_SOCKET, &end);
	return 0;
}

/* void security_sock_graft(struct sock *sk, struct socket *parent), security/security.c, since 2.6.
 * include/net/sock.h:sock_graft, by accept(2) when there is a connection. Watched. */
SEC("fentry/security_sock_graft")
int BPF_PROG(socket_accept, struct sock *sk, struct socket *parent)
{
	struct subject subject = {};
	struct decision decision = {};
	struct endpoint end = {};

	RUN(other_end(&end, sk));
	if (!is_inet(end.family) || end.protocol != IPPROTO_TCP)
		return 0;
	if (!subject_of_current(&subject, AEGIS_HOOK_SOCKET_ACCEPT))
		return 0;
	report_net(&subject, &decision, AEGIS_ACCEPT, &end);
	return 0;
}

static __always_inline int try_received(struct socket *sock, int flags, int received)
{
	struct subject subject = {};

	/* What was only looked at comes once more; what comes with an error is what was sent. */
	if (received > 0 && !(flags & (MSG_PEEK | MSG_ERRQUEUE)) && subject_of_current(&subject, AEGIS_HOOK_FLOW))
		count_traffic(&subject, BPF_CORE_READ(sock, sk), received, 0);
	return 0;
}

/* int inet_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags), net/ipv4/af_inet.c: TCP, UDP and raw
 * sockets, each message of recvmmsg(2); what it returns comes last. */
SEC("fexit/inet_recvmsg")
int BPF_PROG(inet_received, struct socket *sock, struct msghdr *msg, unsigned long size, int flags, int received)
{
	return try_received(sock, flags, received);
}

/* int inet6_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags), net/ipv6/af_inet6.c, since 4.20. */
SEC("fexit/inet6_recvmsg")
int BPF_PROG(inet6_received, struct socket *sock, struct msghdr *msg, unsigned long size, int flags, int received)
{
	return try_received(sock, flags, received);
}

static __always_inline int try_sent(struct socket *sock, int sent)
{
	struct subject subject = {};

	if (sent > 0 && subject_of_current(&subject, AEGIS_HOOK_FLOW))
		count_traffic(&subject, BPF_CORE_READ(sock, sk), 0, sent);
	return 0;
}

/* int inet_sendmsg(struct socket *sock, struct msghdr *msg, size_t size), net/ipv4/af_inet.c: each message of sendmmsg(2). */
SEC("fexit/inet_sendmsg")
int BPF_PROG(inet_sent, struct socket *sock, struct msghdr *msg, unsigned long size, int sent)
{
	return try_sent(sock, sent);
}

/* int inet6_sendmsg(struct socket *sock, struct msghdr *msg, size_t size), net/ipv6/af_inet6.c, since 4.20. */
SEC("fexit/inet6_sendmsg")
int BPF_PROG(inet6_sent, struct socket *sock, struct msghdr *msg, unsigned long size, int sent)
{
	return try_sent(sock, sent);
}

/* What TCP received. Its own count has the other's FIN in it (net/ipv4/tcp_input.c:tcp_rcv_nxt_update), which leaves a mark
 * (tcp_fin). */
static __always_inline __u64 tcp_received(struct tcp_sock *tcp, struct sock *sk)
{
	__u64 received = BPF_CORE_READ(tcp, bytes_received);

	return received - (received && BPF_CORE_READ(sk, __sk_common.skc_flags) & (1UL << SOCK_DONE));
}

/* What TCP took to be sent: what went out, each byte once, and what waits, which goes out after the close. A FIN of one's own
 * (shutdown(2)) that waits is the last of it. */
static __always_inline __u64 tcp_sent(struct tcp_sock *tcp, struct sock *sk)
{
	__u32 state = 1 << BPF_CORE_READ(sk, __sk_common.skc_state);
	__u32 waiting = BPF_CORE_READ(tcp, write_seq) - BPF_CORE_READ(tcp, snd_nxt);

	if (!(state & (TCPF_OPEN | TCPF_FIN)))
		waiting = 0;
	else if (waiting && state & TCPF_FIN)
		waiting--;
	return BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans) + waiting;
}

/* int inet_release(struct socket *sock), net/ipv4/af_inet.c: the last descriptor of a socket is closed; of IPv6 too. */
SEC("fentry/inet_release")
int BPF_PROG(flow_end, struct socket *sock)
{
	struct sock *sk = BPF_CORE_READ(sock, sk);
	struct endpoint own = {}, other = {};
	struct subject subject = {};
	struct traffic *traffic, counted = {};
	__u64 received, sent, key = (__u64)sk;
	struct aegis_flow *record;

	if (!sk)
		return 0;
	/* Whoever closes it: the next socket that the kernel has in its place begins at 0. */
	traffic = bpf_map_lookup_elem(&traffics, &key);
	if (traffic) {
		counted = *traffic;
		bpf_map_delete_elem(&traffics, &key);
	}
	if (!subject_of_current(&subject, AEGIS_HOOK_FLOW))
		return 0;
	RUN(own_end(&own, sk));
	if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP) {
		struct tcp_sock *tcp = (struct tcp_sock *)sk;

		received = tcp_received(tcp, sk);
		sent = tcp_sent(tcp, sk);
	} else {
		received = counted.received;
		sent = counted.sent;
	}
	if (!received && !sent)
		return 0;
	RUN(other_end(&other, sk));
	record = reserve_record(&subject, struct aegis_flow, false);
	if (!record)
		return 0;
	RUN(fill_head(&record->head, &subject, AEGIS_FLOW, sizeof(*record)));
	/* A socket for both may have an IPv4 end only on the other side. */
	record->family = other.family == AF_INET ? AF_INET : own.family;
	record->local_port = own.port;
	record->remote_port = other.port;
	record->protocol = own.protocol;
	record->reserved = 0;
	__builtin_memcpy(record->local, own.address, 16);
	__builtin_memcpy(record->remote, other.address, 16);
	record->received = received;
	record->sent = sent;
	bpf_ringbuf_submit(record, 0);
	return 0;
}

/* A Unix socket with a place in a file system: a rule on that file decides. */
static __noinline int try_unix(struct sock *other, enum aegis_hook hook, bool enforce)
{
	struct unix_sock *target = (struct unix_sock *)other;
	struct dentry *dentry = BPF_CORE_READ(target, path.dentry);
	struct vfsmount *mount = BPF_CORE_READ(target, path.mnt);
	struct subject subject = {};
	struct inquiry inquiry;
	struct decision *decision;

	if (!dentry)
		return 0; /* abstract or without a name */
	if (!subject_of_current(&subject, hook))
		return 0;
	decision = decide_file(&inquiry, &subject, dentry, mount, AEGIS_OP_UNIX_CONNECT, false);
	judge(&subject, decision);
	/* Of datagrams there are as many as there like to be. */
	if (hook == AEGIS_HOOK_UNIX_MAY_SEND && !rule_of(decision))
		return 0;
	RUN(temper(&subject, decision, enforce));
	return report_dentry(&subject, decision, AEGIS_UNIX_CONNECT, dentry, mount);
}

/* int security_unix_stream_connect(struct sock *sock, struct sock *other, struct sock *newsk), security/security.c.
 * net/unix/af_unix.c:unix_stream_connect. */
SEC("lsm/unix_stream_connect")
int BPF_PROG(unix_stream_connect, struct sock *sock, struct sock *other, struct sock *newsk)
{
	return try_unix(other, AEGIS_HOOK_UNIX_STREAM_CONNECT, true);
}

SEC("fentry/security_unix_stream_connect")
int BPF_PROG(unix_stream_connect_watch, struct sock *sock, struct sock *other, struct sock *newsk)
{
	try_unix(other, AEGIS_HOOK_UNIX_STREAM_CONNECT, false);
	return 0;
}

/* int security_unix_may_send(struct socket *sock, struct socket *other), security/security.c.
 * net/unix/af_unix.c:unix_dgram_connect, unix_dgram_sendmsg. */
SEC("lsm/unix_may_send")
int BPF_PROG(unix_may_send, struct socket *sock, struct socket *other)
{
	return try_unix(BPF_CORE_READ(other, sk), AEGIS_HOOK_UNIX_MAY_SEND, true);
}

SEC("fentry/security_unix_may_send")
int BPF_PROG(unix_may_send_watch, struct socket *sock, struct socket *other)
{
	try_unix(BPF_CORE_READ(other, sk), AEGIS_HOOK_UNIX_MAY_SEND, false);
	return 0;
}
