#!/usr/bin/env python3
"""A collector: takes exports by PUT over TLS 1.3 from who has a certificate of its authority. Nothing of ours, and nothing but Python.

usage: collector.py PORT CERTIFICATE KEY CLIENT-AUTHORITY [MODE-FILE]

What it takes is in `taken/`, whole or not at all; a line of each request goes to standard output. The file MODE-FILE, where there is one,
says what it does with the next request: `good` (or nothing), `hang`, `vanish`, or a status to answer with.
"""

import os
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST = 64 * 1024 * 1024


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        length = int(self.headers["Content-Length"])
        mode = "good"
        if len(sys.argv) > 5 and os.path.exists(sys.argv[5]):
            with open(sys.argv[5]) as file:
                mode = file.read().strip() or mode
        names = [value for part in self.connection.getpeercert()["subject"] for _, value in part]
        print(mode, self.command, self.path, length, self.headers["Content-Type"], *names, flush=True)
        if mode == "vanish":
            self.rfile.read(length // 4)
            self.connection.close()
            self.close_connection = True
            return
        body = self.rfile.read(min(length, MOST))
        if mode == "hang":
            time.sleep(600)
        if mode in ("good", "closes"):
            name = os.path.basename(self.path)
            os.makedirs("taken", exist_ok=True)
            with open(f"taken/.{name}", "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            os.rename(f"taken/.{name}", f"taken/{name}")
            self.answer(201, mode == "closes")
        else:
            self.answer(int(mode))

    def answer(self, status, last=False):
        text = b"so it is\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if status == 503:
            self.send_header("Retry-After", "120")
        if last:
            # Sets `close_connection`, too.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        print("error", sys.exc_info()[1], flush=True)


def main():
    port, certificate, key, authority = sys.argv[1:5]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority)
    server = Server(("127.0.0.1", int(port)), Collector)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
